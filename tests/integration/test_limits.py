"""Time limits of steps and runs, and runs that somebody cancels."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    Step,
    add_job,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    run_due,
    run_until_held,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)

pytestmark = pytest.mark.shared_database


def limited(conn: Connection[TupleRow], *steps: Step, step: str | None = None, job: str | None = None) -> int:
    """Add a due job with a time limit of its first step, or of the whole."""
    jobid = add_job(conn, "job", *steps)
    conn.execute("update pgagent.pga_jobstep set jsttimeout = %s where jstname = 'step 001'", (step,))
    conn.execute("update pgagent.pga_job set jobtimeout = %s", (job,))
    make_due(conn, jobid)
    return jobid


@pytest.mark.parametrize(("on_error", "step_status", "run_status"), [("f", "f", "f"), ("s", "s", "s"), ("i", "i", "s")])
def test_step_over_its_time_counts_as_failed(
    connection: Connection[TupleRow], on_error: str, step_status: str, run_status: str
) -> None:
    slow = sql_step("select pg_sleep(60)", on_error=on_error)
    jobid = limited(connection, slow, sql_step("select 1"), step="0.2 s")
    run_due(connection)
    (run,) = runs(connection, jobid)
    first, *rest = step_logs(connection, run)
    assert (run.status, first.status, first.result) == (run_status, step_status, -1)
    assert "jsttimeout, 0.2 s" in (first.output or "")
    assert first.duration is not None
    assert 0.2 <= first.duration.total_seconds() < 2
    assert [log.status for log in rest] == ([] if on_error == "f" else ["s"])


def test_step_within_its_time(connection: Connection[TupleRow]) -> None:
    jobid = limited(connection, sql_step("select 1"), step="1 min", job="1 min")
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_step_that_does_not_heed_a_cancel_is_ended_all_the_same(connection: Connection[TupleRow]) -> None:
    stubborn = (
        "do $$ begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end $$"
    )
    jobid = limited(connection, sql_step(stubborn), step="0.1 s")
    run_due(connection)
    (run,) = runs(connection, jobid)
    assert run.status == "f"
    sessions = "select count(*) from pg_stat_activity where query like '%%query_canceled%%' and pid <> pg_backend_pid()"
    wait_until(lambda: value(connection, sessions) == 0, what="the end of the stubborn session")


def test_run_over_its_time_has_failed_and_its_step_is_aborted(connection: Connection[TupleRow]) -> None:
    jobid = limited(
        connection, sql_step("select 1"), sql_step("select pg_sleep(60)"), sql_step("select 2"), job="0.3 s"
    )
    (touched,) = run_due(connection)
    (run,) = runs(connection, jobid)
    assert (touched.status, run.status) == ("failed", "f")
    logs = step_logs(connection, run)
    assert [log.status for log in logs] == ["s", "d"]
    assert "jobtimeout, 0.3 s" in (logs[1].output or "")


def test_limits_do_not_touch_the_next_step_of_the_same_session(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 1")
    slow = limited(connection, sql_step("select pg_sleep(60)"), step="0.1 s")
    others = [add_job(connection, f"other {number}", sql_step("select pg_sleep(0.01)")) for number in range(20)]
    make_due(connection, *others)
    run_due(connection)
    assert [runs(connection, jobid)[0].status for jobid in (slow, *others)] == ["f"] + ["s"] * 20


def test_cancelled_while_it_executes(connection: Connection[TupleRow], database: Database) -> None:
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), sql_step("select 1"))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_until_held(engine)
        (run,) = runs(connection, jobid)
        assert value(connection, "select pgagent.cancel_run(%s)", run.id) is True
        (touched,) = run_due(engine)
    assert touched.status == "aborted"
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status) == ("d", "d")
    assert "cancelled by postgres" in (log.output or "")
    assert held_steps(connection) == 0
    assert value(connection, "select jobagentid is null from pgagent.pga_job")
    assert value(connection, "select pgagent.cancel_run(%s)", run.id) is False


def test_cancelled_during_a_call(connection: Connection[TupleRow], database: Database) -> None:
    """The engine hears of it at once: the call ends long before its time."""
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_until_held(engine)
        engine.pgconn.send_query(b"select status from pgagent.run_due('1 min')")
        connection.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog")
        wait_until(lambda: runs(connection, jobid)[0].status == "d", what="the cancelled run to end")
        while (result := engine.pgconn.get_result()) is not None:
            assert result.get_value(0, 0) == b"aborted"


@pytest.mark.parametrize("taken", [False, True])
def test_cancelled_at_a_batch_step(connection: Connection[TupleRow], database: Database, taken: bool) -> None:
    jobid = add_job(connection, "job", batch_step("sleep 60"), sql_step("select 1"))
    make_due(connection, jobid)
    run_due(connection)
    (run,) = runs(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as ticker:
        if taken:
            jslid = value(ticker, "select jslid from pgagent.take_batch_steps('here', 1)")
        assert value(connection, "select pgagent.cancel_run(%s)", run.id) is True
        if taken:
            run_due(connection)
            cancelled = ticker.execute("select * from pgagent.cancelled_batch_steps()").fetchall()
            assert cancelled == [(jslid, "postgres")]
            ticker.execute("select pgagent.finish_batch_step(%s, 143, 'cancelled', true)", (jslid,))
        run_due(connection)
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status) == ("d", "d")
    assert "cancelled" in (log.output or "")
    assert value(connection, "select jobagentid is null from pgagent.pga_job")


def test_a_run_whose_ticker_does_not_come_in_time_has_failed(connection: Connection[TupleRow]) -> None:
    jobid = limited(connection, batch_step("true"), job="0.2 s")

    def has_ended() -> bool:
        run_due(connection, "0.1 s")
        return runs(connection, jobid)[0].status != "r"

    wait_until(has_ended, what="the end of the run")
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status) == ("f", "d")
    assert "not started within the time limit" in (log.output or "")


def test_time_limit_of_a_script_is_the_nearer_one(connection: Connection[TupleRow], database: Database) -> None:
    limited(connection, batch_step("true"), step="1 hour", job="1 min")
    run_due(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as ticker:
        limit = value(ticker, "select extract(epoch from time_limit)::float8 from pgagent.take_batch_steps('', 1)")
        assert 30 < limit <= 60
        ticker.execute("select pgagent.finish_batch_step(jslid, 0, '') from pgagent._batch_step")


def test_cancel_of_a_run_that_is_not_there(connection: Connection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject) as caught:
        connection.execute("select pgagent.cancel_run(4711)")
    assert "4711" in (caught.value.diag.message_primary or "")


def test_cancel_that_is_rolled_back_cancels_nothing(connection: Connection[TupleRow], database: Database) -> None:
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_until_held(engine)
        with connection.transaction(force_rollback=True):
            connection.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog")
        run_due(engine, "0.3 s")
        assert runs(connection, jobid)[0].status == "r"
        connection.execute("select pg_advisory_unlock_all()")
        run_due(engine)
    assert runs(connection, jobid)[0].status == "s"


@pytest.mark.parametrize(("on_error", "more", "expected"), [("s", True, "f"), ("s", False, "s"), ("f", True, "f")])
def test_script_that_ends_after_the_time_of_its_run(
    connection: Connection[TupleRow], database: Database, on_error: str, more: bool, expected: str
) -> None:
    steps = [batch_step("true", on_error=on_error)] + [sql_step("select 1")] * more
    jobid = limited(connection, *steps, job="0.5 s")
    run_due(connection, "0 s")
    with psycopg.connect(database.conninfo, autocommit=True) as ticker:
        wait_until(
            lambda: (
                run_due(connection, "0 s") is not None
                and value(connection, "select count(*) from pgagent._batch_step") == 1
            ),
            what="the step to be in the queue",
        )
        jslid = value(ticker, "select jslid from pgagent.take_batch_steps('', 1)")
        over = "select clock_timestamp() > started + timeout from pgagent._batch_step"
        wait_until(lambda: bool(value(connection, over)), what="the run's time to be over")
        ticker.execute("select pgagent.finish_batch_step(%s, 1, '')", (jslid,))
    run_due(connection)
    (run,) = runs(connection, jobid)
    assert run.status == expected
    last = step_logs(connection, run)[-1]
    assert last.status == ("d" if on_error == "s" and more else on_error)
