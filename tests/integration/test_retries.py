"""Steps that are tried again, and jobs that are disabled after too many failures."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Database, Step, add_job, batch_step, make_due, run_due, runs, sql_step, step_logs, value, wait_until

pytestmark = pytest.mark.shared_database

FAIL_TWICE = """
create sequence if not exists public.attempts;
commit;
do $$ begin
    if nextval('public.attempts') < 3 then
        raise exception using errcode = 'serialization_failure', message = 'not yet';
    end if;
end $$
"""


def persistent(conn: Connection[TupleRow], *steps: Step, retries: int = 3, **columns: Any) -> int:
    """Add a due job whose steps are tried again at once."""
    jobid = add_job(conn, "job", *steps)
    conn.execute("update pgagent.pga_jobstep set jstretries = %s, jstretrydelay = '0 s'", (retries,))
    for column, given in columns.items():
        conn.execute(f"update pgagent.pga_jobstep set {column} = %s", (given,))
    make_due(conn, jobid)
    return jobid


def run_to_its_end(conn: Connection[TupleRow], jobid: int) -> str:
    def has_ended() -> bool:
        run_due(conn, "1 s")
        return runs(conn, jobid)[-1].status != "r"

    wait_until(has_ended, what="the end of the run")
    return runs(conn, jobid)[-1].status


def test_each_attempt_has_a_log_row(connection: Connection[TupleRow]) -> None:
    jobid = persistent(connection, sql_step(FAIL_TWICE), sql_step("select 1"))
    assert run_to_its_end(connection, jobid) == "s"
    (run,) = runs(connection, jobid)
    logs = step_logs(connection, run)
    assert [(log.name, log.status) for log in logs] == [
        ("step 001", "f"),
        ("step 001", "f"),
        ("step 001", "s"),
        ("step 002", "s"),
    ]
    assert "not yet" in (logs[0].output or "")
    assert "attempt 1 of 4 failed" in (logs[0].output or "")


@pytest.mark.parametrize(("on_error", "last", "run_status"), [("f", "f", "f"), ("i", "i", "s"), ("s", "s", "s")])
def test_the_last_failure_counts_by_on_error(
    connection: Connection[TupleRow], on_error: str, last: str, run_status: str
) -> None:
    jobid = persistent(connection, sql_step("select 1/0", on_error=on_error), retries=2)
    assert run_to_its_end(connection, jobid) == run_status
    (run,) = runs(connection, jobid)
    assert [log.status for log in step_logs(connection, run)] == ["f", "f", last]


@pytest.mark.parametrize(
    ("sqlstates", "attempts"),
    [(None, 3), (["22012"], 3), (["40001", "22*"], 3), (["40001", "08*"], 1)],
)
def test_only_some_errors_are_tried_again(
    connection: Connection[TupleRow], sqlstates: list[str] | None, attempts: int
) -> None:
    jobid = persistent(connection, sql_step("select 1/0"), retries=2, jstretrysqlstates=sqlstates)
    assert run_to_its_end(connection, jobid) == "f"
    assert len(step_logs(connection, runs(connection, jobid)[0])) == attempts


def test_a_lost_session_is_a_failure_that_can_be_tried_again(connection: Connection[TupleRow]) -> None:
    suicide = "select pg_terminate_backend(pg_backend_pid())"
    jobid = persistent(connection, sql_step(suicide), retries=1, jstretrysqlstates=["57P01"])
    assert run_to_its_end(connection, jobid) == "f"
    assert len(step_logs(connection, runs(connection, jobid)[0])) == 2


def test_a_run_that_waits_says_so_and_holds_up_no_other(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 1")
    jobid = persistent(connection, sql_step("select 1/0"), jstretrydelay="1 hour", jstretrymaxdelay="1 hour")
    (touched,) = run_due(connection, "0.2 s")
    assert (touched.status, touched.detail) == ("running", 'step "step 001" waits for attempt 2 of 4')
    other = add_job(connection, "other", sql_step("select 1"))
    make_due(connection, other)
    run_due(connection, "0.5 s")
    assert runs(connection, other)[0].status == "s"
    assert [log.status for log in step_logs(connection, runs(connection, jobid)[0])] == ["f"]
    connection.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog where jlgjobid = %s", (jobid,))
    run_due(connection)
    assert runs(connection, jobid)[0].status == "d"


def test_timeout_is_a_failure_that_is_tried_again(connection: Connection[TupleRow]) -> None:
    jobid = persistent(connection, sql_step("select pg_sleep(60)"), retries=1, jsttimeout="0.1 s")
    assert run_to_its_end(connection, jobid) == "f"
    assert [log.status for log in step_logs(connection, runs(connection, jobid)[0])] == ["f", "f"]


def test_batch_step_is_tried_again(connection: Connection[TupleRow], database: Database) -> None:
    jobid = persistent(connection, batch_step("false"), sql_step("select 1"), retries=2)
    with psycopg.connect(database.conninfo, autocommit=True) as ticker:
        for exit_code in (1, 1, 0):
            wait_until(
                lambda: (
                    run_due(connection, "0.1 s") is not None
                    and value(connection, "select count(*) from pgagent._batch_step where not taken") == 1
                ),
                what="the step to wait for a ticker",
            )
            jslid = value(ticker, "select jslid from pgagent.take_batch_steps('', 1)")
            ticker.execute("select pgagent.finish_batch_step(%s, %s, '')", (jslid, exit_code))
    assert run_to_its_end(connection, jobid) == "s"
    assert [log.status for log in step_logs(connection, runs(connection, jobid)[0])] == ["f", "f", "s", "s"]


@pytest.mark.parametrize("on_error", ["s", "i"])
@pytest.mark.parametrize("cancelled", [False, True])
def test_run_that_is_over_goes_on_after_no_attempt_of_a_batch_step(
    connection: Connection[TupleRow], database: Database, cancelled: bool, on_error: str
) -> None:
    """A failure would count as success or be ignored, but this one was to be followed by another attempt."""
    jobid = persistent(connection, batch_step("false", on_error=on_error), sql_step("select 1"), retries=1)
    connection.execute("update pgagent.pga_job set jobtimeout = %s", ("1 hour" if cancelled else "0.5 s",))
    with psycopg.connect(database.conninfo, autocommit=True) as ticker:
        run_due(connection, "0.3 s")
        jslid = value(ticker, "select jslid from pgagent.take_batch_steps('', 1)")
        if cancelled:
            connection.execute("select pgagent.cancel_run(max(jlgid)) from pgagent.pga_joblog")
            told = "select count(*) from pgagent._batch_step where cancelled_by is not null"
            wait_until(lambda: run_due(connection, "0 s") is not None and value(connection, told) == 1)
        else:
            time.sleep(0.5)
        ticker.execute("select pgagent.finish_batch_step(%s, 1, '')", (jslid,))
        assert run_to_its_end(connection, jobid) == ("d" if cancelled else "f")
        assert connection.execute("select * from pgagent.check_invariants()").fetchall() == []
    (run,) = runs(connection, jobid)
    assert [log.status for log in step_logs(connection, run)] == ["f"]
    reason = value(connection, "select jlgreason from pgagent.pga_joblog")
    assert ("cancelled by postgres" if cancelled else "longer than jobtimeout") in reason


@pytest.mark.parametrize(
    "patterns", [["4000"], ["08"], ["*"], ["40001", None], ["x"], ["400011"], ["40*,"], ["40001,08*"], []]
)
def test_sqlstates_are_checked(connection: Connection[TupleRow], patterns: list[str | None]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        persistent(connection, sql_step("select 1"), jstretrysqlstates=patterns)


def fail_times(conn: Connection[TupleRow], jobid: int, times: int) -> None:
    for _ in range(times):
        make_due(conn, jobid)
        run_due(conn)


def test_job_is_disabled_after_failures_in_a_row(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "job", sql_step("select 1/0"))
    connection.execute("update pgagent.pga_job set jobmaxfailures = 3")
    fail_times(connection, jobid, 2)
    assert value(connection, "select jobenabled from pgagent.pga_job") is True
    fail_times(connection, jobid, 1)
    row = connection.execute(
        "select jobenabled, jobnextrun, jobfailures, jobdisabledreason from pgagent.pga_job"
    ).fetchone()
    assert row is not None
    assert row[:3] == (False, None, 3)
    assert row[3].startswith("3 runs in a row have failed")


def test_success_and_enabling_begin_anew(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "job", sql_step("select 1/0"))
    connection.execute("update pgagent.pga_job set jobmaxfailures = 2")
    fail_times(connection, jobid, 1)
    connection.execute("update pgagent.pga_jobstep set jstcode = 'select 1'")
    fail_times(connection, jobid, 1)
    connection.execute("update pgagent.pga_jobstep set jstcode = 'select 1/0'")
    fail_times(connection, jobid, 1)
    assert value(connection, "select jobfailures from pgagent.pga_job") == 1
    fail_times(connection, jobid, 1)
    assert value(connection, "select jobenabled from pgagent.pga_job") is False
    connection.execute("update pgagent.pga_job set jobenabled = true")
    row = connection.execute("select jobfailures, jobdisabledreason from pgagent.pga_job").fetchone()
    assert row == (0, None)


def test_an_attempt_waits_until_the_one_before_is_logged(connection: Connection[TupleRow], database: Database) -> None:
    jobid = persistent(connection, sql_step("select pg_sleep(0.2), 1/0"), retries=1)
    with psycopg.connect(database.conninfo, autocommit=True) as client:
        run_due(connection, "0.1 s")
        with client.transaction():
            client.execute("select from pgagent.pga_jobsteplog for update")
            run_due(connection, "0.8 s")
        assert run_to_its_end(connection, jobid) == "f"
    logs = step_logs(connection, runs(connection, jobid)[0])
    assert [log.status for log in logs] == ["f", "f"]
