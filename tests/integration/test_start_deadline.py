"""Jobs that must not start too late: pga_job.jobstartdeadline."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Step, add_job, add_schedule, batch_step, run_due, runs, sql_step, step_logs, value

pytestmark = pytest.mark.shared_database


def late_job(conn: Connection[TupleRow], *steps: Step, late: str = "2 hours", deadline: str | None = "10 min") -> int:
    """Add a daily job that is late."""
    jobid = add_job(conn, "job", *steps)
    add_schedule(conn, jobid, hours=[12], minutes=[0])
    conn.execute(
        "update pgagent.pga_job set jobstartdeadline = %s, jobnextrun = now() - %s::interval where jobid = %s",
        (deadline, late, jobid),
    )
    return jobid


@pytest.mark.parametrize("step", [sql_step("select 1"), batch_step("echo done")])
def test_too_late_is_not_started_and_logged(connection: Connection[TupleRow], step: Step) -> None:
    jobid = late_job(connection, step, sql_step("select 2"))
    (touched,) = run_due(connection)
    assert touched.status == "aborted"
    assert "jobstartdeadline is 00:10:00" in touched.detail
    (run,) = runs(connection, jobid)
    assert run.status == "d"
    assert run.duration is not None
    (log,) = step_logs(connection, run)
    assert (log.status, log.result, log.output) == ("d", None, touched.detail)
    assert touched.detail.startswith("not started: it was due at ")
    row = connection.execute("select jobnextrun > now(), jobagentid from pgagent.pga_job").fetchone()
    assert row == (True, None)


def test_too_late_without_steps(connection: Connection[TupleRow]) -> None:
    jobid = late_job(connection)
    (touched,) = run_due(connection)
    assert (touched.status, [run.status for run in runs(connection, jobid)]) == ("aborted", ["d"])


@pytest.mark.parametrize(("late", "deadline"), [("2 hours", None), ("2 hours", "3 hours"), ("1 s", "1 min")])
def test_in_time_is_started(connection: Connection[TupleRow], late: str, deadline: str | None) -> None:
    jobid = late_job(connection, sql_step("select 1"), late=late, deadline=deadline)
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_run_now_is_never_late(connection: Connection[TupleRow]) -> None:
    jobid = late_job(connection, sql_step("select 1"), deadline="1 ms")
    run_due(connection)
    connection.execute("update pgagent.pga_job set jobstartdeadline = '1 min', jobnextrun = now()")
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["d", "s"]


def test_what_was_asked_for_during_a_run_is_not_late_when_the_run_ends(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "job", sql_step("select pg_sleep(0.3)"))
    connection.execute("update pgagent.pga_job set jobstartdeadline = '0.1 s', jobnextrun = now()")
    run_due(connection, "0.05 s")
    connection.execute("update pgagent.pga_job set jobnextrun = now()")
    run_due(connection)
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["s", "s"]


@pytest.mark.parametrize("deadline", ["0", "-1 s"])
def test_a_deadline_is_positive(connection: Connection[TupleRow], deadline: str) -> None:
    add_job(connection, "job")
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("update pgagent.pga_job set jobstartdeadline = %s", (deadline,))


def test_many_late_jobs_hold_up_no_other(connection: Connection[TupleRow]) -> None:
    late = [late_job(connection, sql_step("select 1")) for _ in range(40)]
    other = add_job(connection, "other", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobnextrun = now() where jobid = %s", (other,))
    run_due(connection)
    counts = connection.execute("select jlgstatus, count(*) from pgagent.pga_joblog group by 1 order by 1").fetchall()
    assert counts == [("d", len(late)), ("s", 1)]
    assert value(connection, "select count(*) from pgagent.pga_jobsteplog where jslstatus = 'r'") == 0


@pytest.mark.parametrize("deadline", [None, "1 min"])
def test_due_since_ever(connection: Connection[TupleRow], deadline: str | None) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    other = add_job(connection, "other", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobstartdeadline = %s, jobnextrun = now()", (deadline,))
    connection.execute("update pgagent.pga_job set jobnextrun = '-infinity' where jobid = %s", (jobid,))
    run_due(connection)
    assert [runs(connection, each)[0].status for each in (jobid, other)] == ["s", "s"]


def test_a_run_that_did_not_start_is_no_last_run(connection: Connection[TupleRow]) -> None:
    late_job(connection, sql_step("select 1"))
    run_due(connection)
    assert value(connection, "select joblastrun from pgagent.pga_job") is None
