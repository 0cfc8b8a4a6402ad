"""A standby runs nothing and says so; promoted, it takes over with what the primary had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from harness import Cluster, Ticker, add_job, make_due, run_due, runs, sql_step, value, wait_until


@contextmanager
def standby_of(primary: Cluster) -> Iterator[Cluster]:
    """A running standby."""
    made = Cluster()
    try:
        made.follow(primary)
        made.start()
        yield made
    finally:
        made.remove()


def caught_up(primary: psycopg.Connection, standby: psycopg.Connection) -> None:
    written = value(primary, "select pg_current_wal_lsn()::text")
    replayed = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
    wait_until(lambda: bool(value(standby, replayed, written)), what="the standby to catch up")


def test_standby_runs_nothing_and_goes_on_when_promoted(new_cluster: Callable[..., Cluster]) -> None:
    primary = new_cluster()
    made = primary.create_database("jobs")
    with primary.connect(made.name) as writer:
        jobid = add_job(writer, "job", sql_step("select 1"))
        make_due(writer, jobid)
        with standby_of(primary) as standby, standby.connect(made.name) as reader:
            notices: list[str | None] = []
            reader.add_notice_handler(lambda notice: notices.append(notice.message_primary))
            caught_up(writer, reader)
            assert run_due(reader) == []
            assert run_due(reader) == []
            assert notices == ["run_due does nothing on a standby"]
            assert value(reader, "select count(*) from pgagent.upcoming(%s)", jobid) == 1
            with Ticker(standby.conninfo(made.name), "-t", "1") as ticker:
                wait_until(lambda: "standby" in ticker.log, what="the ticker to say that it has found a standby")
                assert runs(reader, jobid) == []
                primary.stop()
                standby.promote()
                wait_until(lambda: [run.status for run in runs(reader, jobid)] == ["s"], 30, "the job to run")
