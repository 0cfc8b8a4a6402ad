"""Cancelled and terminated engines: they end at once, their steps end with them, and the log says so."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    add_job,
    add_schedule,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_until_held,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]

CANCEL_SECONDS = 1.0
"""About half a second is promised; the rest is for a busy machine."""

REAP_SECONDS = 5.0

STEP_SESSIONS = """
    select count(*) from pg_stat_activity
    where datname = current_database() and application_name like 'pgagent_py step %' and state = 'active'
"""


@pytest.fixture
def engine(database: Database) -> Iterator[Connection]:
    """The session that runs the jobs and is cancelled or terminated."""
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        yield conn


@contextmanager
def running(connection: Connection, engine: Connection, steps: int = 1) -> Iterator[None]:
    """Let the engine run its steps in a thread; inside the block all of them are executing."""
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(run_due, engine, "60 s")
        wait_until(lambda: held_steps(connection) == steps, what="the steps to start")
        yield
        start = time.monotonic()
        with pytest.raises(psycopg.Error):
            call.result(20)
        assert time.monotonic() - start < CANCEL_SECONDS


def add_waiting_job(connection: Connection) -> int:
    """Add a job, due, whose first step succeeds and whose second waits."""
    jobid = add_job(connection, "job", sql_step("select 1"), sql_step(WAITING_CODE), sql_step("select 1"))
    make_due(connection, jobid)
    return jobid


def assert_aborted(connection: Connection, jobid: int) -> None:
    """Check the log of a run that ended in its second step, and that the job is free."""
    (run,) = runs(connection, jobid)
    assert run.status == "d"
    assert run.duration is not None
    done, aborted = step_logs(connection, run)
    assert (done.status, done.result, done.output) == ("s", 1, "")
    assert aborted.status == "d"
    assert aborted.duration is not None
    assert "aborted" in (aborted.output or "")
    assert value(connection, "select jobagentid from pgagent.pga_job where jobid = %s", jobid) is None


def assert_runs_again(connection: Connection, engine: Connection, jobid: int) -> None:
    """Check that the job's next run succeeds."""
    release_steps(connection)
    make_due(connection, jobid)
    assert run_due(engine)[-1].status == "succeeded"
    assert runs(connection, jobid)[-1].status == "s"


def test_statement_timeout_ends_the_call_and_its_steps(connection: Connection, engine: Connection) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    engine.execute("set statement_timeout = '1500 ms'")
    start = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        run_due(engine, "60 s")
    assert time.monotonic() - start < 1.5 + CANCEL_SECONDS
    engine.execute("reset statement_timeout")
    assert value(connection, STEP_SESSIONS) == 0
    assert_aborted(connection, jobid)
    assert_runs_again(connection, engine, jobid)


def test_cancel_from_another_session_ends_the_call_and_its_steps(connection: Connection, engine: Connection) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    with running(connection, engine):
        connection.execute("select pg_cancel_backend(%s)", [engine.info.backend_pid])
    assert value(connection, STEP_SESSIONS) == 0
    assert_aborted(connection, jobid)
    assert_runs_again(connection, engine, jobid)


def test_cancel_ends_many_runs_at_once(connection: Connection, engine: Connection) -> None:
    jobids = [add_waiting_job(connection) for _ in range(16)]
    hold_steps(connection)
    with running(connection, engine, steps=16):
        connection.execute("select pg_cancel_backend(%s)", [engine.info.backend_pid])
    assert value(connection, STEP_SESSIONS) == 0
    for jobid in jobids:
        assert_aborted(connection, jobid)


def test_cancel_while_a_step_is_connecting(connection: Connection, engine: Connection) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        connstr = f"host=127.0.0.1 port={silent.getsockname()[1]} user=postgres"
        jobid = add_job(connection, "job", sql_step("select 1", connstr=connstr))
        make_due(connection, jobid)
        engine.execute("set statement_timeout = '1500 ms'")
        start = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            run_due(engine, "60 s")
        assert time.monotonic() - start < 1.5 + CANCEL_SECONDS
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status) == ("d", "d")
    assert None not in (run.duration, log.duration)


def test_cancel_of_a_step_elsewhere_ends_its_statement_too(
    connection: Connection, engine: Connection, database: Database
) -> None:
    connstr = f"{database.conninfo} application_name=elsewhere"
    jobid = add_job(connection, "job", sql_step(WAITING_CODE, connstr=connstr))
    make_due(connection, jobid)
    hold_steps(connection)
    with running(connection, engine):
        connection.execute("select pg_cancel_backend(%s)", [engine.info.backend_pid])
    assert [run.status for run in runs(connection, jobid)] == ["d"]
    wait_until(lambda: not held_steps(connection), REAP_SECONDS, "the statement to end")


def test_cancel_inside_a_transaction_leaves_the_log_committed(connection: Connection, engine: Connection) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    engine.execute("begin")
    engine.execute("set local statement_timeout = '1500 ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        run_due(engine, "60 s")
    engine.execute("rollback")
    assert_aborted(connection, jobid)


def test_cancel_of_run_until_idle(connection: Connection, engine: Connection) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    engine.execute("set statement_timeout = '1500 ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        engine.execute("call pgagent.run_until_idle()")
    engine.execute("reset statement_timeout")
    run_due(engine)
    assert_aborted(connection, jobid)


def test_cancelled_job_runs_next_by_its_schedule(connection: Connection, engine: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    add_schedule(connection, jobid, minutes=[0])
    make_due(connection, jobid)
    hold_steps(connection)
    engine.execute("set statement_timeout = '1500 ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        run_due(engine, "60 s")
    assert value(connection, "select jobnextrun > now() from pgagent.pga_job")


def test_step_cancelled_by_an_administrator_fails_alone(connection: Connection, engine: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(engine)
    connection.execute("select pg_cancel_backend(pid) from pg_stat_activity where query = %s", [WAITING_CODE])
    assert [row.status for row in run_due(engine)] == ["failed"]
    (log,) = step_logs(connection, runs(connection, jobid)[0])
    assert (log.status, log.result) == ("f", -1)
    assert (log.output or "").startswith("ERROR:  canceling statement due to user request")


def test_step_session_terminated_by_an_administrator_fails_the_step_alone(
    connection: Connection, engine: Connection
) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    other = add_job(connection, "other", sql_step("select 1"))
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(engine)
    make_due(connection, other)
    connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where query = %s", [WAITING_CODE])
    assert {row.jobname: row.status for row in run_due(engine)} == {"job": "failed", "other": "succeeded"}
    (log,) = step_logs(connection, runs(connection, jobid)[0])
    assert (log.output or "").startswith("FATAL:  terminating connection due to administrator command")


def reaped(connection: Connection, jobid: int) -> bool:
    """Let this session look for work, and tell whether the job's run has been given up."""
    run_due(connection, "0.2 s")
    return runs(connection, jobid)[0].status == "d"


def test_terminated_engine_is_cleaned_up_by_another_session(connection: Connection, engine: Connection) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    with running(connection, engine):
        connection.execute("select pg_terminate_backend(%s)", [engine.info.backend_pid])
    wait_until(lambda: reaped(connection, jobid), REAP_SECONDS)
    wait_until(lambda: not held_steps(connection), REAP_SECONDS, "the orphaned statement to end")
    assert_aborted(connection, jobid)
    assert_runs_again(connection, connection, jobid)


@pytest.mark.parametrize("table", ["pga_joblog", "pga_jobsteplog"])
def test_dead_engines_job_is_not_free_while_a_client_holds_its_log(
    connection: Connection, engine: Connection, database: Database, table: str
) -> None:
    """Else the next run would begin while the log says that the last one is running."""
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    run_until_held(engine)
    with psycopg.connect(database.conninfo) as client:
        client.execute(f"select from pgagent.{table} for update")
        connection.execute("select pg_terminate_backend(%s)", [engine.info.backend_pid])
        wait_until(lambda: not held_steps(connection), REAP_SECONDS, "the orphaned statement to end")
        make_due(connection, jobid)
        run_due(connection, "0.5 s")
        assert [run.status for run in runs(connection, jobid)] == ["r"]
    release_steps(connection)
    wait_until(lambda: reaped(connection, jobid), REAP_SECONDS)
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["d", "s"]


def test_lost_claim_of_pgagents_daemon_does_not_end_a_living_engines_run(
    connection: Connection, engine: Connection
) -> None:
    """The daemon logs a claim that it has lost as a newer row of the same job."""
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    run_until_held(engine)
    connection.execute("insert into pgagent.pga_joblog (jlgjobid, jlgstatus) values (%s, 'i')", [jobid])
    dead = "insert into pgagent.pga_jobagent (jagpid, jagstation) values (1, 'dead')"
    connection.execute(dead)
    run_due(connection, "0.3 s")
    assert value(connection, "select count(*) from pgagent.pga_jobagent where jagstation = 'dead'") == 0
    assert [run.status for run in runs(connection, jobid)] == ["r", "i"]
    release_steps(connection)
    run_due(engine)
    assert [run.status for run in runs(connection, jobid)] == ["s", "i"]


def test_run_that_another_agent_has_given_up_goes_no_further(connection: Connection, engine: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), sql_step("create table too_late ()"))
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(engine)
    connection.execute(
        "update pgagent.pga_joblog set jlgstatus = 'd', jlgduration = '1 s' where jlgjobid = %s", [jobid]
    )
    release_steps(connection)
    assert [row.status for row in run_due(engine)] == ["aborted"]
    assert value(connection, "select to_regclass('too_late')") is None
    (run,) = runs(connection, jobid)
    assert [log.status for log in step_logs(connection, run)] == ["d"]
    assert value(connection, "select jobagentid from pgagent.pga_job where jobid = %s", jobid) is None


def test_step_that_is_running_in_a_run_that_is_not_becomes_aborted(connection: Connection) -> None:
    """A dying engine's last submission may come after its run was given up."""
    jobid = add_job(connection, "job", sql_step("select 1"))
    make_due(connection, jobid)
    run_due(connection)
    connection.execute("update pgagent.pga_jobsteplog set jslstatus = 'r', jslduration = null")
    run_due(connection)
    (log,) = step_logs(connection, runs(connection, jobid)[0])
    assert log.status == "d"
    assert log.duration is not None


def test_terminated_engines_statement_elsewhere_ends_too(
    connection: Connection, engine: Connection, database: Database
) -> None:
    connstr = f"{database.conninfo} application_name=elsewhere"
    jobid = add_job(connection, "job", sql_step(WAITING_CODE, connstr=connstr))
    make_due(connection, jobid)
    hold_steps(connection)
    with running(connection, engine):
        connection.execute("select pg_terminate_backend(%s)", [engine.info.backend_pid])
    wait_until(lambda: reaped(connection, jobid), REAP_SECONDS)
    wait_until(lambda: not held_steps(connection), REAP_SECONDS, "the orphaned statement to end")


def test_run_that_had_ended_before_its_engine_did_stays_as_it_ended(
    connection: Connection, engine: Connection, database: Database
) -> None:
    """A client's lock kept the engine from releasing the job."""
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(engine)
    with psycopg.connect(database.conninfo) as client:
        client.execute("update pgagent.pga_job set jobdesc = 'new'")
        release_steps(connection)
        assert [row.status for row in run_due(engine, "0.2 s")] == ["succeeded"]
        connection.execute("select pg_terminate_backend(%s)", [engine.info.backend_pid])
        run_due(connection, "0.2 s")
    free = "select jobagentid is null from pgagent.pga_job"
    wait_until(lambda: run_due(connection, "0.2 s") or value(connection, free), REAP_SECONDS)
    (run,) = runs(connection, jobid)
    assert (run.status, [log.status for log in step_logs(connection, run)]) == ("s", ["s"])


def test_orphaned_statement_ends_without_anybody_calling(connection: Connection, engine: Connection) -> None:
    add_waiting_job(connection)
    hold_steps(connection)
    with running(connection, engine):
        connection.execute("select pg_terminate_backend(%s)", [engine.info.backend_pid])
    wait_until(lambda: not held_steps(connection), REAP_SECONDS, "the orphaned statement to end")


@pytest.mark.parametrize("how", ["terminate", "close"])
def test_engine_that_ends_between_two_calls_is_cleaned_up(connection: Connection, engine: Connection, how: str) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    run_until_held(engine)
    assert held_steps(connection) == 1
    pid = engine.info.backend_pid
    if how == "close":
        engine.close()
    else:
        connection.execute("select pg_terminate_backend(%s)", [pid])
    wait_until(lambda: reaped(connection, jobid), REAP_SECONDS)
    wait_until(lambda: not held_steps(connection), REAP_SECONDS, "the orphaned statement to end")
    assert_aborted(connection, jobid)
    assert value(connection, "select count(*) from pgagent.pga_jobagent where jagpid = %s", pid) == 0


def test_living_engines_runs_are_left_to_it(connection: Connection, engine: Connection) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    run_until_held(engine)
    for _ in range(3):
        assert run_due(connection, "0.1 s") == []
    assert [run.status for run in runs(connection, jobid)] == ["r"]
    release_steps(connection)
    assert [row.status for row in run_due(engine)] == ["succeeded"]


def test_terminated_control_session_loses_nothing(connection: Connection, engine: Connection) -> None:
    jobid = add_waiting_job(connection)
    hold_steps(connection)
    run_until_held(engine)
    terminate = (
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'pgagent_py engine'"
    )
    assert value(connection, terminate) == 1
    release_steps(connection)
    assert [row.status for row in run_due(engine)] == ["succeeded"]
    (run,) = runs(connection, jobid)
    assert [log.status for log in step_logs(connection, run)] == ["s", "s", "s"]
    assert value(connection, "select jobagentid from pgagent.pga_job") is None


def test_claim_of_an_agent_that_is_gone_and_left_no_row_is_freed(connection: Connection) -> None:
    """Its row in pga_jobagent may be deleted by pgAgent's daemon: the foreign key frees the job."""
    jobid = add_waiting_job(connection)
    connection.execute("insert into pgagent.pga_jobagent (jagpid, jagstation) values (999999999, 'gone')")
    connection.execute("update pgagent.pga_job set jobagentid = 999999999")
    connection.execute("insert into pgagent.pga_joblog (jlgjobid) values (%s)", [jobid])
    connection.execute("delete from pgagent.pga_jobagent")
    wait_until(lambda: reaped(connection, jobid), REAP_SECONDS)
    assert runs(connection, jobid)[0].duration is not None
