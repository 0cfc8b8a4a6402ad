"""From a job's definition to its log: a scheduled job of SQL and batch steps through a ticker."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
from psycopg.rows import TupleRow

from harness import (
    Database,
    Ticker,
    add_job,
    add_schedule,
    batch_step,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.following import is_free, wait_for_jobs, wait_for_runs

Connection = psycopg.Connection[TupleRow]

MINUTE = timedelta(minutes=1)
WITHIN_THE_MINUTE_SECONDS = 75.0
MOST_LATENCY = timedelta(seconds=5)
JOBS_AT_ONCE = 20


def test_scheduled_job_runs_at_its_minute(connection: Connection, database: Database) -> None:
    """The one test that waits for a schedule: the next full minute. The same minute shows the start latency, and that
    a transaction that is older than a run does not bring the run's time back.
    """
    connection.execute("create table t (n int)")
    jobid = add_job(
        connection,
        "nightly",
        sql_step("insert into t select generate_series(1, 3)", name="1 insert"),
        sql_step("vacuum analyze t", name="2 vacuum"),
        batch_step('echo "run $PGAGENT_RUNID"; echo "of $PGAGENT_JOBNAME" >&2', name="3 report"),
    )
    others = [add_job(connection, f"job {number}", sql_step("select 1")) for number in range(JOBS_AT_ONCE)]
    with Ticker(database.conninfo, "-t", "300", "-l", "2", "--station", "the station") as ticker:
        with connection.transaction():
            for each in (jobid, *others):
                add_schedule(connection, each)
            due = next_run(connection, jobid)
        older = psycopg.connect(database.conninfo)
        assert value(older, "select now()") < due
        (run,) = wait_for_runs(connection, jobid, deadline_seconds=WITHIN_THE_MINUTE_SECONDS)
        wait_for_jobs(connection, others)
        ticker.wait_for_line(f"run succeeded run={run.id} job={jobid} name=nightly")
        latencies = [runs(connection, other)[0].start - due for other in others]
        print_latencies(latencies)
        with older:
            older.execute("update pgagent.pga_schedule set jscdesc = 'changed'")
        assert min(next_run(connection, each) for each in (jobid, *others)) > due
    assert due.second == due.microsecond == 0
    assert all(timedelta(0) <= latency < MOST_LATENCY for latency in [run.start - due, *latencies])
    assert next_run(connection, jobid) >= due + MINUTE
    assert run.status == "s"
    logs = step_logs(connection, run)
    assert [(log.name, log.status, log.result, log.output) for log in logs] == [
        ("1 insert", "s", 3, ""),
        ("2 vacuum", "s", 0, ""),
        ("3 report", "s", 0, f"run {run.id}\n\nScript Error: \nof nightly\n\n"),
    ]
    assert run.duration is not None
    for earlier, later in pairwise(logs):
        assert earlier.duration is not None
        assert run.start <= earlier.start <= earlier.start + earlier.duration <= later.start
    last = logs[-1]
    assert last.duration is not None
    assert last.start + last.duration <= run.start + run.duration
    assert value(connection, "select joblastrun from pgagent.pga_job where jobid = %s", jobid) is not None
    assert value(connection, "select vacuum_count from pg_stat_user_tables where relname = 't'") == 1


def test_overdue_job_runs_once_when_a_ticker_comes_back(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"), batch_step("true"))
    add_schedule(connection, jobid)
    for number in (1, 2, 3):
        connection.execute(
            "update pgagent.pga_job set jobnextrun = now() - interval '3 days' where jobid = %s", (jobid,)
        )
        with Ticker(database.conninfo):
            assert [run.status for run in wait_for_runs(connection, jobid, number)] == ["s"] * number
            assert next_run(connection, jobid) > value(connection, "select now()")


def test_job_and_schedule_changed_while_a_ticker_runs(connection: Connection, database: Database) -> None:
    """Disabled, it does not run; with another schedule, enabled again and due, it does."""
    jobid = add_job(connection, "job", sql_step("select 1"))
    jscid = add_schedule(connection, jobid, start=datetime.fromisoformat("2200-01-01T00:00+00:00"))
    with Ticker(database.conninfo, "-t", "60"):
        assert next_run(connection, jobid).year == 2200
        connection.execute("update pgagent.pga_job set jobenabled = false where jobid = %s", (jobid,))
        connection.execute("update pgagent.pga_schedule set jscstart = '2020-01-01 UTC' where jscid = %s", (jscid,))
        assert value(connection, "select jobnextrun from pgagent.pga_job where jobid = %s", jobid) is None
        connection.execute("update pgagent.pga_job set jobenabled = true where jobid = %s", (jobid,))
        assert next_run(connection, jobid) - value(connection, "select now()") <= 2 * MINUTE
        connection.execute("update pgagent.pga_job set jobnextrun = now() where jobid = %s", (jobid,))
        wait_until(lambda: runs(connection, jobid), what="the run")
        assert [run.status for run in wait_for_runs(connection, jobid)] == ["s"]
        assert is_free(connection, jobid)


def next_run(conn: Connection, jobid: int) -> datetime:
    found = value(conn, "select jobnextrun from pgagent.pga_job where jobid = %s", jobid)
    assert isinstance(found, datetime), "the job has no next run"
    return found


def print_latencies(latencies: list[timedelta]) -> None:
    milliseconds = sorted(latency.total_seconds() * 1000 for latency in latencies)
    print(
        f"{len(milliseconds)} jobs due at once started "
        f"{statistics.median(milliseconds):.1f} ms (median) to {milliseconds[-1]:.1f} ms (last) after their due time"
    )
