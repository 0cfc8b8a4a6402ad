"""The queue of batch steps, without a ticker process: the tests take and finish the steps themselves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
import pytest
from psycopg.rows import TupleRow, class_row

from harness import (
    Cluster,
    Database,
    add_job,
    add_schedule,
    batch_step,
    make_due,
    run_due,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]


pytestmark = pytest.mark.shared_database


FREE = "select jobagentid is null from pgagent.pga_job where jobid = %s"


@dataclass(frozen=True, slots=True)
class Taken:
    """A row that take_batch_steps returns."""

    jslid: int
    jlgid: int
    jobid: int
    jobname: str
    jstid: int
    jstname: str
    code: str
    output_limit: int
    time_limit: timedelta | None
    due: datetime


@pytest.fixture
def ticker(database: Database) -> Iterator[Connection]:
    """The session of a ticker."""
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        yield conn


def take(ticker: Connection, station: str | None = "host", most: int = 100) -> list[Taken]:
    """Take waiting batch steps."""
    with ticker.cursor(row_factory=class_row(Taken)) as cursor:
        return cursor.execute("select * from pgagent.take_batch_steps(%s, %s)", (station, most)).fetchall()


def finish(ticker: Connection, jslid: int, exit_code: int | None, output: str = "", aborted: bool = False) -> bool:
    """Report the end of a batch step."""
    call = "select pgagent.finish_batch_step(%s, %s, %s, %s)"
    return bool(value(ticker, call, jslid, exit_code, output, aborted))


def take_one(connection: Connection, ticker: Connection) -> Taken:
    """Add a job with one batch step, let it reach the queue and take the step."""
    jobid = add_job(connection, "job", batch_step("echo hello", name="the script"))
    make_due(connection, jobid)
    run_due(connection)
    (taken,) = take(ticker)
    return taken


def test_batch_step_waits_for_a_ticker_and_is_shown_so(connection: Connection, ticker: Connection) -> None:
    jobid = add_job(connection, "job", batch_step("echo hello", name="the script"))
    make_due(connection, jobid)
    for _ in range(2):
        (row,) = run_due(connection)
        assert (row.jobname, row.status) == ("job", "waiting for ticker")
        assert row.detail == 'step "the script" is waiting for a ticker'
        assert row.duration is not None
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status, log.name) == ("r", "r", "the script")
    assert value(connection, FREE, jobid) is False
    (taken,) = take(ticker)
    assert (taken.jslid, taken.jlgid, taken.jobid) == (log.id, run.id, jobid)
    assert (taken.jobname, taken.jstname, taken.code) == ("job", "the script", "echo hello")
    assert taken.output_limit == 1048576
    query = "select jobagentid from pgagent.pga_job"
    assert value(connection, query) == ticker.info.backend_pid
    assert value(connection, "select jagstation from pgagent.pga_jobagent where jagtakesbatch") == "host"
    assert finish(ticker, taken.jslid, 0, "hello\n")
    assert [(row.jlgid, row.status) for row in run_due(connection)] == [(run.id, "succeeded")]
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status, log.result, log.output) == ("s", "s", 0, "hello\n")
    assert None not in (run.duration, log.duration)
    assert value(connection, FREE, jobid)
    assert run_due(connection) == []
    assert take(ticker) == []


def test_steps_around_a_batch_step_run_in_order(connection: Connection, ticker: Connection) -> None:
    connection.execute("create table trace (position serial, step text)")
    insert = "insert into trace (step) values ('{}')"
    steps = [
        sql_step(insert.format("a")),
        batch_step("b"),
        sql_step(insert.format("c")),
        batch_step("d"),
        batch_step("e"),
        sql_step(insert.format("f")),
    ]
    jobid = add_job(connection, "job", *steps)
    make_due(connection, jobid)
    run_due(connection)
    for code in "bde":
        (taken,) = take(ticker)
        assert taken.code == code
        connection.execute(insert.format(code))
        assert finish(ticker, taken.jslid, 0)
        run_due(connection)
    assert "".join(row[0] for row in connection.execute("select step from trace order by position")) == "abcdef"
    (run,) = runs(connection, jobid)
    assert run.status == "s"
    assert [log.status for log in step_logs(connection, run)] == ["s"] * 6


@pytest.mark.parametrize("another_engine", [False, True])
def test_any_engine_goes_on_after_a_batch_step(
    connection: Connection, ticker: Connection, database: Database, another_engine: bool
) -> None:
    jobid = add_job(connection, "job", batch_step("b"), sql_step("select 1"))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_due(engine)
        (taken,) = take(ticker)
        assert finish(ticker, taken.jslid, 0)
        rows = run_due(connection if another_engine else engine)
        assert [(row.jobid, row.status) for row in rows] == [(jobid, "succeeded")]
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_waiting_step_outlives_the_engine_that_brought_it(
    connection: Connection, ticker: Connection, database: Database
) -> None:
    """No agent is at work on it, so its engine's end changes nothing, or it ends as 'd': never 'r' for ever."""
    jobid = add_job(connection, "job", batch_step("b"))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_due(engine)
        pid = engine.info.backend_pid
    alive = "select count(*) from pg_stat_activity where pid = %s"
    wait_until(lambda: value(connection, alive, pid) == 0, what="the engine to end")

    def is_settled() -> bool:
        run_due(connection, "0.2 s")
        for taken in take(ticker):
            assert finish(ticker, taken.jslid, 0)
        return runs(connection, jobid)[0].status in {"s", "d"}

    wait_until(is_settled)
    assert value(connection, FREE, jobid)
    assert take(ticker) == []


def test_exit_code_and_on_error(connection: Connection, ticker: Connection) -> None:
    for exit_code, on_error, step_status, run_status in (
        (0, "f", "s", "s"),
        (1, "f", "f", "f"),
        (137, "f", "f", "f"),
        (-1, "f", "f", "f"),
        (3, "s", "s", "s"),
        (3, "i", "i", "s"),
    ):
        jobid = add_job(connection, "job", batch_step("b", on_error=on_error), sql_step("select 1"))
        make_due(connection, jobid)
        run_due(connection)
        (taken,) = take(ticker)
        assert finish(ticker, taken.jslid, exit_code, "said\nmuch\n")
        run_due(connection)
        (run,) = runs(connection, jobid)
        first, *others = step_logs(connection, run)
        assert (first.status, first.result, first.output) == (step_status, exit_code, "said\nmuch\n")
        assert run.status == run_status
        assert [log.status for log in others] == ([] if run_status == "f" else ["s"])


def test_aborted_script_aborts_the_run_at_once(connection: Connection, ticker: Connection) -> None:
    """No engine need come by: a ticker that shuts down may be the only one."""
    for on_error in "fsi":
        jobid = add_job(connection, "job", batch_step("b", on_error=on_error), sql_step("select 1"))
        make_due(connection, jobid)
        run_due(connection)
        (taken,) = take(ticker)
        assert finish(ticker, taken.jslid, 143, "half", aborted=True)
        (run,) = runs(connection, jobid)
        (log,) = step_logs(connection, run)
        assert (run.status, log.status, log.result, log.output) == ("d", "d", 143, "half")
        assert None not in (run.duration, log.duration)
        assert value(connection, FREE, jobid)
        assert run_due(connection) == []


def test_aborted_script_of_a_job_that_a_client_has_locked(
    connection: Connection, ticker: Connection, database: Database
) -> None:
    taken = take_one(connection, ticker)
    ticker.execute("set lock_timeout = '5 s'")
    with psycopg.connect(database.conninfo) as client:
        client.execute("update pgagent.pga_job set jobdesc = 'new'")
        assert finish(ticker, taken.jslid, 143, aborted=True)
        run_due(connection, "0.2 s")
    run_due(connection)
    (run,) = runs(connection, taken.jobid)
    assert (run.status, [log.status for log in step_logs(connection, run)]) == ("d", ["d"])
    assert value(connection, FREE, taken.jobid)


def test_job_for_another_host_is_not_handed_out(connection: Connection, ticker: Connection) -> None:
    jobid = add_job(connection, "job", batch_step("b"), host="Alpha")
    make_due(connection, jobid)
    run_due(connection, "10 s", "Alpha")
    for station in (None, "", "alpha", "beta"):
        assert take(ticker, station) == [], station
    (taken,) = take(ticker, "Alpha")
    assert taken.jobid == jobid


def test_step_is_taken_once(connection: Connection, ticker: Connection, database: Database) -> None:
    take_one(connection, ticker)
    assert take(ticker) == []
    with psycopg.connect(database.conninfo, autocommit=True) as other:
        assert take(other) == []


def test_takers_at_the_same_time_never_get_the_same_step(connection: Connection, database: Database) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 100")
    make_due(connection, *[add_job(connection, f"job {n}", batch_step("b")) for n in range(100)])
    assert len(run_due(connection)) == 100

    def take_all(_: int) -> list[int]:
        with psycopg.connect(database.conninfo, autocommit=True) as ticker:
            found = []
            while taken := take(ticker, most=3):
                found += [step.jslid for step in taken]
                assert all(finish(ticker, step.jslid, 0) for step in taken)
            return found

    with ThreadPoolExecutor(4) as threads:
        taken = [jslid for found in threads.map(take_all, range(4)) for jslid in found]
    assert len(taken) == len(set(taken)) == 100
    run_due(connection)
    assert value(connection, "select count(*) from pgagent.pga_joblog where jlgstatus = 's'") == 100


def test_no_more_steps_than_asked_for(connection: Connection, ticker: Connection) -> None:
    make_due(connection, *[add_job(connection, f"job {n}", batch_step("b")) for n in range(5)])
    run_due(connection)
    assert [len(take(ticker, most=2)) for _ in range(4)] == [2, 2, 1, 0]
    assert take(ticker, most=0) == []


def test_step_of_a_session_that_ended_becomes_d_and_the_job_is_free(connection: Connection, ticker: Connection) -> None:
    jobid = add_job(connection, "job", batch_step("b"), sql_step("select 1"))
    add_schedule(connection, jobid, minutes=[0])
    make_due(connection, jobid)
    run_due(connection)
    (taken,) = take(ticker)
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["r"]
    ticker.close()

    def is_reaped() -> bool:
        run_due(connection, "0.2 s")
        return runs(connection, jobid)[0].status == "d"

    wait_until(is_reaped, 5)
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert log.status == "d"
    assert None not in (run.duration, log.duration)
    assert "aborted" in (log.output or "")
    assert value(connection, FREE, jobid)
    assert value(connection, "select jobnextrun > now() from pgagent.pga_job")
    assert finish(connection, taken.jslid, 0) is False
    make_due(connection, jobid)
    assert [row.status for row in run_due(connection)] == ["waiting for ticker"]


def test_step_that_had_ended_before_its_session_did_counts(connection: Connection, ticker: Connection) -> None:
    jobid = add_job(connection, "job", batch_step("b"), sql_step("select 1"))
    make_due(connection, jobid)
    run_due(connection)
    (taken,) = take(ticker)
    assert finish(ticker, taken.jslid, 0, "done")
    ticker.close()
    run_due(connection)
    (run,) = runs(connection, jobid)
    assert run.status == "s"
    assert [(log.status, log.output) for log in step_logs(connection, run)] == [("s", "done"), ("s", "")]


def test_finish_by_a_session_that_did_not_take_the_step(connection: Connection, ticker: Connection) -> None:
    taken = take_one(connection, ticker)
    assert finish(connection, taken.jslid, 0) is False
    assert finish(ticker, taken.jslid, 0) is True
    assert finish(ticker, taken.jslid, 1) is False
    assert finish(ticker, 4711, 0) is False
    assert [row.status for row in run_due(connection)] == ["succeeded"]
    assert finish(ticker, taken.jslid, 1) is False


def test_job_deleted_while_its_step_is_taken(connection: Connection, ticker: Connection) -> None:
    taken = take_one(connection, ticker)
    connection.execute("delete from pgagent.pga_job")
    assert finish(ticker, taken.jslid, 0, "output") in {True, False}
    run_due(connection)
    assert run_due(connection) == []
    assert value(connection, "select count(*) from pgagent._batch_step") == 0
    assert value(connection, "select count(*) from pgagent.pga_joblog") == 0


def test_job_deleted_while_its_step_waits(connection: Connection, ticker: Connection) -> None:
    make_due(connection, add_job(connection, "job", batch_step("b")))
    run_due(connection)
    connection.execute("delete from pgagent.pga_job")
    for taken in take(ticker):
        finish(ticker, taken.jslid, 0)
    run_due(connection)
    assert run_due(connection) == []
    assert value(connection, "select count(*) from pgagent._batch_step") == 0


def test_step_deleted_while_it_is_taken(connection: Connection, ticker: Connection) -> None:
    taken = take_one(connection, ticker)
    connection.execute("delete from pgagent.pga_jobstep")
    assert finish(ticker, taken.jslid, 0, "output") in {True, False}
    run_due(connection)
    assert [run.status for run in runs(connection, taken.jobid)] == ["s"]
    assert value(connection, FREE, taken.jobid)


def test_changes_of_the_job_do_not_reach_the_step_taken_later(connection: Connection, ticker: Connection) -> None:
    make_due(connection, add_job(connection, "job", batch_step("old"), sql_step("select 1")))
    run_due(connection)
    connection.execute("update pgagent.pga_jobstep set jstcode = 'new', jstkind = 'b', jstdbname = ''")
    (taken,) = take(ticker)
    assert taken.code == "old"
    assert finish(ticker, taken.jslid, 0)
    assert [row.status for row in run_due(connection)] == ["succeeded"]


def test_run_until_idle_does_not_wait_for_a_ticker_that_is_not_there(connection: Connection) -> None:
    make_due(connection, add_job(connection, "job", batch_step("b")))
    assert connection.execute("call pgagent.run_until_idle()").fetchall() == [(0, 0, 0)]


def test_run_until_idle_waits_for_a_step_that_is_taken(
    connection: Connection, ticker: Connection, database: Database
) -> None:
    jobid = add_job(connection, "job", batch_step("b"), sql_step("select 1"))
    make_due(connection, jobid)
    run_due(connection)
    (taken,) = take(ticker)
    with psycopg.connect(database.conninfo, autocommit=True) as engine, ThreadPoolExecutor(1) as threads:
        call = threads.submit(lambda: engine.execute("call pgagent.run_until_idle()").fetchall())
        waiting = "select count(*) from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
        wait_until(lambda: value(connection, waiting, engine.info.backend_pid), what="the procedure to wait")
        assert finish(ticker, taken.jslid, 0)
        assert call.result(20) == [(1, 0, 0)]


def test_tickers_are_told_of_a_waiting_step_and_engines_of_its_end(connection: Connection, ticker: Connection) -> None:
    ticker.execute("listen pgagent_batch; listen pgagent_due")
    jobid = add_job(connection, "job", batch_step("b"))
    make_due(connection, jobid)
    run_due(connection)
    told = {notice.channel for notice in ticker.notifies(timeout=5, stop_after=2)}
    assert told == {"pgagent_due", "pgagent_batch"}
    (taken,) = take(ticker)
    assert finish(ticker, taken.jslid, 0)
    assert [notice.channel for notice in ticker.notifies(timeout=5, stop_after=1)] == ["pgagent_due"]
    assert value(ticker, "select pgagent.next_due() <= clock_timestamp()")


def test_long_output_is_cut_to_the_limit(connection: Connection, ticker: Connection) -> None:
    connection.execute("update pgagent.settings set output_limit = 2000")
    taken = take_one(connection, ticker)
    assert taken.output_limit == 2000
    assert finish(ticker, taken.jslid, 0, "head" + "x" * 100_000 + "tail")
    (run,) = runs(connection, taken.jobid)
    (log,) = step_logs(connection, run)
    output = log.output or ""
    assert len(output) < 2200
    assert (output[:4], output[-4:]) == ("head", "tail")


def test_output_that_the_databases_encoding_cannot_hold(cluster: Cluster) -> None:
    name = "narrow_batch"
    with cluster.connect() as conn:
        conn.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        with cluster.connect(name) as connection, cluster.connect(name, client_encoding="UTF8") as ticker:
            connection.execute("create extension pgagent_py cascade")
            taken = take_one(connection, ticker)
            # A parameter cannot bring the character into such a database; an escape in the text neither.
            with pytest.raises(psycopg.errors.UntranslatableCharacter):
                finish(ticker, taken.jslid, 0, "5 €")
            assert finish(ticker, taken.jslid, 0, "größer")
            assert [row.status for row in run_due(connection)] == ["succeeded"]
            (log,) = step_logs(connection, runs(connection, taken.jobid)[0])
            assert log.output == "größer"
    finally:
        cluster.drop_database(name)


def test_lock_on_the_job_delays_taking_and_finishing_but_blocks_nothing(
    connection: Connection, ticker: Connection, database: Database
) -> None:
    locked = add_job(connection, "locked", batch_step("b"))
    other = add_job(connection, "other", batch_step("b"))
    make_due(connection, locked, other)
    run_due(connection)
    ticker.execute("set lock_timeout = '5 s'")
    lock = "update pgagent.pga_job set jobdesc = 'new' where jobid = %s"
    with psycopg.connect(database.conninfo) as client:
        client.execute(lock, [locked])
        assert [step.jobid for step in take(ticker)] == [other]
    (taken,) = take(ticker)
    assert taken.jobid == locked
    with psycopg.connect(database.conninfo) as client:
        client.execute(lock, [locked])
        assert finish(ticker, taken.jslid, 0)
        run_due(connection, "0.3 s")
    run_due(connection)
    assert [run.status for run in runs(connection, locked)] == ["s"]
    assert value(connection, FREE, locked)
