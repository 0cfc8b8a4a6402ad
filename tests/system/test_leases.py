"""Agents that stand still: another agent takes over, and what they do later counts for nothing."""

from __future__ import annotations

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    Ticker,
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

LET_THE_LEASE_RUN_OUT = "update pgagent.pga_jobagent set jagleaseuntil = now() - interval '1 hour' where jagpid = %s"


def test_session_that_does_not_come_back_is_superseded(connection: Connection[TupleRow], database: Database) -> None:
    """Somebody called run_due once and went for lunch."""
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as absent:
        run_until_held(absent)
        run_due(connection, "0 s")
        assert runs(connection, jobid)[0].status == "r"
        connection.execute(LET_THE_LEASE_RUN_OUT, (absent.info.backend_pid,))
        run_due(connection)
        assert runs(connection, jobid)[0].status == "d"
        assert held_steps(connection) == 0
        assert [touched.status for touched in run_due(absent)] != ["succeeded"]
        assert runs(connection, jobid)[0].status == "d"


def test_run_that_waits_for_a_ticker_needs_no_heartbeat(connection: Connection[TupleRow], database: Database) -> None:
    jobid = add_job(connection, "job", batch_step("true"))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_due(engine)
        connection.execute(LET_THE_LEASE_RUN_OUT, (engine.info.backend_pid,))
        run_due(connection)
        run_due(engine)
        assert [run.status for run in runs(connection, jobid)] == ["r"]
        with Ticker(database.conninfo, "-t", "1"):
            wait_until(lambda: runs(connection, jobid)[0].status == "s", 30, "the run to end")


def test_agent_that_works_keeps_its_lease(connection: Connection[TupleRow], database: Database) -> None:
    connection.execute("update pgagent.settings set agent_lease = '5 s'")
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    heartbeats = "select count(*) from pgagent.pga_jobagent where jagleaseuntil > %s::timestamptz + interval '10 s'"
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_until_held(engine)
        began = value(connection, "select clock_timestamp()::text")

        def has_outlived_its_lease() -> bool:
            run_due(engine, "1 s")
            run_due(connection, "0 s")
            return bool(value(connection, heartbeats, began))

        wait_until(has_outlived_its_lease, 30, "a heartbeat after the first lease")
        assert runs(connection, jobid)[0].status == "r"
        connection.execute("select pg_advisory_unlock_all()")
        run_due(engine)
    assert runs(connection, jobid)[0].status == "s"


def test_script_outlives_the_lease_of_a_ticker_that_works(connection: Connection[TupleRow], database: Database) -> None:
    connection.execute("update pgagent.settings set agent_lease = '5 s'")
    jobid = add_job(connection, "job", batch_step("sleep 7"))
    make_due(connection, jobid)
    with Ticker(database.conninfo, "-t", "10"):
        wait_until(
            lambda: (
                run_due(connection, "0 s") is not None
                and runs(connection, jobid)[-1:] != []
                and runs(connection, jobid)[0].status != "r"
            ),
            40,
            "the end of the run",
        )
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_cancel_and_time_limit_reach_the_script(connection: Connection[TupleRow], database: Database) -> None:
    cancelled = add_job(connection, "cancelled", batch_step("echo begun; sleep 600"))
    overtime = add_job(connection, "overtime", batch_step("trap 'exit 0' TERM; sleep 600 & wait", on_error="i"))
    connection.execute("update pgagent.pga_jobstep set jsttimeout = '0.3 s' where jstjobid = %s", (overtime,))
    make_due(connection, cancelled, overtime)
    with Ticker(database.conninfo, "-t", "10"):
        wait_until(lambda: [run.status for run in runs(connection, overtime)] == ["s"], 30, "the end of overtime")
        (log,) = step_logs(connection, runs(connection, overtime)[0])
        assert (log.status, log.result) == ("i", 124)
        assert "longer than its time limit, 0.3 s" in (log.output or "")
        connection.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog where jlgjobid = %s", (cancelled,))
        wait_until(lambda: [run.status for run in runs(connection, cancelled)] == ["d"], 10, "the end of the cancelled")
        (log,) = step_logs(connection, runs(connection, cancelled)[0])
        assert log.status == "d"
        assert "begun" in (log.output or "")
        assert "cancelled by postgres" in (log.output or "")
