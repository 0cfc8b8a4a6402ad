"""Logs of runs go by age and by number, a few at a time, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import Database, add_job, make_due, run_due, sql_step, value, wait_until

Connection = psycopg.Connection[TupleRow]

pytestmark = pytest.mark.shared_database

_ADD_RUN = """
    with run as (
        insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)
        values (%(job)s, %(status)s, now() - %(age)s::interval, '1 s')
        returning jlgid, jlgjobid, jlgstatus, jlgstart, jlgduration
    ), step as (
        insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslstart, jslduration)
        select r.jlgid, s.jstid, r.jlgstatus, r.jlgstart, r.jlgduration
          from run r
          join pgagent.pga_jobstep s on s.jstjobid = r.jlgjobid
    )
    select jlgid from run
"""

_PAGES_READ = """
    select sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::int8
      from pg_statio_user_tables where relid in ('pgagent.pga_joblog'::regclass, 'pgagent.pga_jobsteplog'::regclass)
"""


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """A second session."""
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        yield conn


@pytest.fixture
def job(connection: Connection) -> int:
    """A job with a step; the walks are at their beginning."""
    begin_walks(connection)
    return add_job(connection, "job", sql_step("select 1"))


def begin_walks(conn: Connection) -> None:
    """Let the next call look at all runs and all jobs."""
    conn.execute("update pgagent._prune_walk set passed_run = 0, passed_job = 0")


def add_run(conn: Connection, job: int, age: str, status: str = "s") -> int:
    """Add a run, and its steps', with the same status."""
    row = conn.execute(_ADD_RUN, {"job": job, "status": status, "age": age}).fetchone()
    assert row is not None
    return int(row[0])


def add_runs(conn: Connection, job: int, number: int, age: str, status: str = "s") -> None:
    """Add many runs of the same age."""
    conn.execute(
        "insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)"
        " select %s, %s, now() - %s::interval, '1 s' from generate_series(1, %s)",
        (job, status, age, number),
    )


def keep(conn: Connection, runs: str | None, failed: str | None, per_job: int | None) -> None:
    """Change the settings."""
    conn.execute(
        "update pgagent.settings set keep_runs = %s, keep_failed_runs = %s, keep_runs_per_job = %s",
        (runs, failed, per_job),
    )


def prune(conn: Connection, most: int = 1000) -> int:
    """Call prune_runs once."""
    return int(value(conn, "select pgagent.prune_runs(%s)", most))


def prune_all(conn: Connection) -> int:
    """Call prune_runs until it finds nothing."""
    total = 0
    while deleted := prune(conn):
        total += deleted
    return total


def kept(conn: Connection, job: int) -> list[int]:
    """The ids of the runs that are left."""
    query = "select jlgid from pgagent.pga_joblog where jlgjobid = %s order by jlgid"
    return [row[0] for row in conn.execute(query, (job,))]


def pages_read(conn: Connection, statement: str) -> int:
    """How many pages of the logs and their indexes a statement touches."""
    before = _read_pages(conn)
    conn.execute(statement)
    return _read_pages(conn) - before


def _read_pages(conn: Connection) -> int:
    conn.execute("select pg_stat_force_next_flush()")
    conn.execute("select pg_stat_clear_snapshot()")
    return int(value(conn, _PAGES_READ))


def test_old_runs_go_and_young_ones_stay(connection: Connection, job: int) -> None:
    add_run(connection, job, "91 days")
    add_run(connection, job, "90 days 1 s")
    young = [add_run(connection, job, "89 days"), add_run(connection, job, "1 s")]
    assert prune(connection) == 2
    assert kept(connection, job) == young


def test_steps_go_with_their_runs(connection: Connection, job: int) -> None:
    add_run(connection, job, "91 days")
    young = add_run(connection, job, "1 day")
    assert prune(connection) == 1
    assert value(connection, "select array_agg(jsljlgid) from pgagent.pga_jobsteplog") == [young]


@pytest.mark.parametrize("status", ["f", "i", "d"])
def test_runs_that_did_not_succeed_are_kept_longer(connection: Connection, job: int, status: str) -> None:
    add_run(connection, job, "370 days", status)
    add_run(connection, job, "360 days")
    rest = [add_run(connection, job, "350 days", status), add_run(connection, job, "1 day")]
    assert prune(connection) == 2
    assert kept(connection, job) == rest


def test_failures_may_be_kept_for_a_shorter_time(connection: Connection, job: int) -> None:
    keep(connection, "30 days", "10 days", None)
    rest = [add_run(connection, job, "20 days")]
    add_run(connection, job, "15 days", "f")
    rest += [add_run(connection, job, "5 days", "f"), add_run(connection, job, "1 day")]
    assert prune(connection) == 1
    assert kept(connection, job) == rest


def test_so_many_runs_of_each_job_stay(connection: Connection, job: int) -> None:
    few = add_job(connection, "few", sql_step("select 1"))
    for age in range(20, 0, -1):
        add_run(connection, job, f"{age} min", "f" if age % 2 else "s")
    add_run(connection, few, "1 min")
    keep(connection, "90 days", "1 year", 5)
    latest = kept(connection, job)[-5:]
    assert prune(connection) == 15
    assert kept(connection, job) == latest
    assert len(kept(connection, few)) == 1
    assert value(connection, "select count(*) from pgagent.pga_jobsteplog") == 6


def test_null_keeps_all(connection: Connection, job: int) -> None:
    keep(connection, None, None, None)
    for age in ("1000 years", "10 years", "1 s"):
        add_run(connection, job, age)
        add_run(connection, job, age, "f")
    assert prune(connection) == 0
    assert len(kept(connection, job)) == 6


def test_null_for_successes_alone(connection: Connection, job: int) -> None:
    keep(connection, None, "1 year", None)
    rest = [add_run(connection, job, "10 years")]
    add_run(connection, job, "10 years", "f")
    rest += [add_run(connection, job, "1 day")]
    assert prune(connection) == 1
    assert kept(connection, job) == rest


def test_an_age_beyond_the_calendar_keeps_all(connection: Connection, job: int) -> None:
    keep(connection, "100000000 years", "178000000 years", None)
    for _ in range(2):
        add_run(connection, job, "1000 years")
    assert prune(connection) == 0


def test_the_latest_run_stays_whatever_its_age(connection: Connection, job: int) -> None:
    keep(connection, "0 s", "0 s", 1)
    add_run(connection, job, "9 years")
    latest = add_run(connection, job, "8 years", "f")
    assert prune_all(connection) == 1
    assert kept(connection, job) == [latest]


def test_open_runs_stay_and_the_run_that_ended_last(connection: Connection, job: int) -> None:
    keep(connection, "1 day", "1 day", 1)
    stays = [add_run(connection, job, "9 years", "r")]
    add_run(connection, job, "8 years")
    stays += [add_run(connection, job, "7 years"), add_run(connection, job, "6 years", "r")]
    assert prune_all(connection) == 1
    assert kept(connection, job) == stays


def test_a_run_with_an_open_step_stays(connection: Connection, job: int) -> None:
    old = add_run(connection, job, "2 years")
    add_run(connection, job, "1 s")
    connection.execute("update pgagent.pga_jobsteplog set jslstatus = 'r' where jsljlgid = %s", (old,))
    assert prune(connection) == 0


def test_runs_of_the_engine_count_like_others(connection: Connection, job: int) -> None:
    keep(connection, "90 days", "1 year", 2)
    for _ in range(4):
        make_due(connection, job)
        run_due(connection)
    latest = kept(connection, job)[-2:]
    assert prune(connection) == 2
    assert kept(connection, job) == latest


def test_batches_are_small(connection: Connection, job: int) -> None:
    add_runs(connection, job, 10, "2 years")
    add_runs(connection, job, 10, "1 day")
    keep(connection, "90 days", "1 year", 5)
    assert [prune(connection, 4) for _ in range(5)] == [4, 4, 4, 3, 0]
    assert len(kept(connection, job)) == 5


def test_a_batch_counts_steps_too(connection: Connection, job: int) -> None:
    """Retries may give a run a thousand rows."""
    first = add_run(connection, job, "2 years")
    add_run(connection, job, "2 years")
    add_run(connection, job, "1 day")
    connection.execute(
        "insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)"
        " select %s, jstid, 'f' from pgagent.pga_jobstep, generate_series(1, 30) where jstjobid = %s",
        (first, job),
    )
    assert [prune(connection, 2) for _ in range(3)] == [1, 1, 0]


def test_locked_runs_are_left_out_and_go_later(connection: Connection, job: int, other: Connection) -> None:
    locked, with_locked_step = (add_run(connection, job, "2 years") for _ in range(2))
    add_run(connection, job, "2 years")
    young = add_run(connection, job, "1 day")
    with other.transaction():
        other.execute("select from pgagent.pga_joblog where jlgid = %s for key share", (locked,))
        other.execute("select from pgagent.pga_jobsteplog where jsljlgid = %s for key share", (with_locked_step,))
        assert prune_all(connection) == 1
    assert kept(connection, job) == [locked, with_locked_step, young]
    begin_walks(connection)
    assert prune_all(connection) == 2
    assert kept(connection, job) == [young]


def test_locked_runs_over_number_hold_up_no_others(connection: Connection, job: int, other: Connection) -> None:
    keep(connection, None, None, 1)
    second = add_job(connection, "second", sql_step("select 1"))
    for one in (job, second):
        add_runs(connection, one, 5, "1 day")
    with other.transaction():
        other.execute("select from pgagent.pga_joblog where jlgjobid = %s for update", (job,))
        assert [prune(connection, 2) for _ in range(4)] == [0, 2, 2, 0]
    assert prune_all(connection) == 4
    assert (len(kept(connection, job)), len(kept(connection, second))) == (1, 1)


def test_callers_do_not_wait_for_each_other(connection: Connection, job: int, other: Connection) -> None:
    add_runs(connection, job, 10, "2 years")
    add_runs(connection, job, 10, "1 day")
    keep(connection, "90 days", "1 year", 5)
    other.execute("set lock_timeout = '1 ms'")
    with connection.transaction():
        assert prune(connection, 15) == 15
        assert prune(other, 15) == 0
    assert prune_all(other) == 0
    assert len(kept(connection, job)) == 5


def test_what_a_caller_undoes_another_deletes(connection: Connection, job: int, other: Connection) -> None:
    add_runs(connection, job, 10, "2 years")
    add_runs(connection, job, 1, "1 day")
    with connection.transaction(force_rollback=True):
        assert prune(connection) == 10
    assert prune(other) == 10


def test_a_locked_table_is_not_waited_for(connection: Connection, job: int, other: Connection) -> None:
    add_run(connection, job, "2 years")
    add_run(connection, job, "1 day")
    with other.transaction():
        other.execute("lock table pgagent.pga_joblog in share mode")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            prune(connection)
    assert prune(connection) == 1


def test_a_run_dated_in_the_future_hides_no_old_one(connection: Connection, job: int) -> None:
    add_run(connection, job, "-10 years")
    add_run(connection, job, "2 years")
    add_run(connection, job, "1 day")
    assert prune(connection) == 1


def test_old_failures_are_not_read_again(connection: Connection, job: int) -> None:
    add_runs(connection, job, 3000, "100 days", "f")
    young = add_run(connection, job, "1 day")
    assert prune(connection, 100) == 0
    assert value(connection, "select passed_run from pgagent._prune_walk") < young - 1500
    assert prune_all(connection) == 0
    for _ in range(2):
        prune(connection, 100)
    assert value(connection, "select passed_run from pgagent._prune_walk") == young - 1


def test_the_walk_begins_anew_in_time(connection: Connection, job: int) -> None:
    failed = add_run(connection, job, "2 years", "f")
    add_run(connection, job, "1 day")
    keep(connection, None, None, None)
    assert prune(connection) == 0
    connection.execute("update pgagent.pga_joblog set jlgstatus = 's' where jlgid = %s", (failed,))
    keep(connection, "1 year", None, None)
    assert prune(connection) == 1, "other settings begin a new walk at once"
    connection.execute(
        "insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgstart) values (%s, %s, 's', '2001-01-01')",
        (failed, job),
    )
    assert prune(connection) == 0
    connection.execute("update pgagent._prune_walk set began = now() - interval '61 min'")
    assert [prune(connection), prune(connection)] == [0, 1], "the walk that ends is the last of its hour"


def test_nothing_to_do_costs_next_to_nothing(connection: Connection, job: int) -> None:
    """However long the history: neither reads nor writes that grow with it."""
    add_runs(connection, job, 5000, "10 days")
    connection.execute("update pgagent.settings set keep_runs_per_job = 20")
    assert prune_all(connection) == 4980
    add_runs(connection, job, 15, "10 days", "f")
    keep(connection, "90 days", "1 year", 10000)
    connection.execute("vacuum analyze pgagent.pga_joblog, pgagent.pga_jobsteplog")
    prune(connection)
    assert pages_read(connection, "select pgagent.prune_runs()") < 20
    assert pages_read(connection, "select count(*) from pgagent.pga_joblog") > 0, "pages are counted"


def test_nothing_to_do_writes_nothing(connection: Connection, job: int) -> None:
    add_runs(connection, job, 100, "10 days")
    prune(connection)
    with connection.transaction():
        assert prune(connection) == 0
        assert value(connection, "select pg_current_xact_id_if_assigned() is null")


def test_work_is_bounded_with_many_jobs(connection: Connection, job: int) -> None:
    """A few jobs are looked at in each call, and all of them in the end."""
    connection.execute("insert into pgagent.pga_job (jobjclid, jobname) select 1, 'x' from generate_series(1, 300)")
    connection.execute(
        "insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration)"
        " select jobid, 's', '1 s' from pgagent.pga_job, generate_series(1, 2)"
    )
    keep(connection, None, None, 1)
    connection.execute("vacuum analyze pgagent.pga_joblog")
    deleted = [prune(connection, 50) for _ in range(20)]
    assert max(deleted) <= 50
    assert value(connection, "select count(*) from pgagent.pga_joblog") == 301
    assert len(kept(connection, job)) == 1


def test_ages_wait_for_no_analyze(connection: Connection, job: int) -> None:
    """The walks follow the indexes, whatever the planner knows of the table."""
    add_runs(connection, job, 5000, "10 days")
    add_run(connection, job, "1 s")
    connection.execute("set enable_seqscan = off")
    few = pages_read(connection, "select pgagent.prune_runs()")
    connection.execute("reset enable_seqscan")
    begin_walks(connection)
    connection.execute("discard plans")
    assert pages_read(connection, "select pgagent.prune_runs()") <= few * 2


@pytest.mark.parametrize("most", ["0", "-1", "null"])
def test_refused_numbers(connection: Connection, most: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute(f"select pgagent.prune_runs({most})")


def test_the_greatest_number_is_no_overflow(connection: Connection, job: int) -> None:
    add_run(connection, job, "2 years")
    add_run(connection, job, "1 s")
    keep(connection, "90 days", "1 year", 1000000)
    assert prune(connection, 2147483647) == 1


def test_the_engine_deletes_by_itself(connection: Connection, database: Database) -> None:
    connection.execute("update pgagent.settings set keep_runs_per_job = 2")
    jobid = add_job(connection, "job", sql_step("select pg_sleep(0.05)"))
    connection.execute(
        "insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration)"
        " select %s, 's', '1 s' from generate_series(1, 50)",
        (jobid,),
    )
    with psycopg.connect(database.conninfo, autocommit=True) as engine:

        def is_tidy() -> bool:
            make_due(connection, jobid)
            run_due(engine, "1 s")
            return bool(value(connection, "select count(*) < 10 from pgagent.pga_joblog"))

        wait_until(is_tidy, what="the engine to delete old runs")
