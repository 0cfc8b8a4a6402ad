"""Beside pgAgent's own C++ daemon, on the same tables: during a migration both are agents."""

from __future__ import annotations

import socket

import psycopg
import pytest
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
    release_steps,
    run_due,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.daemon import Daemon
from harness.following import statuses, wait_for_jobs, wait_for_runs

Connection = psycopg.Connection[TupleRow]

DAEMONS_STATION = socket.gethostname()
"""pgAgent's daemon knows no other."""

OUR_STATION = "another station"


def test_both_run_jobs_and_none_twice(connection: Connection, database: Database) -> None:
    """In waves; our parallel runs are few, so that the daemon, which looks once a second, finds some left."""
    connection.execute("update pgagent.settings set parallel_runs = 2")
    connection.execute("create table done (jobid int, who text)")
    code = "insert into done values (%d, current_setting('application_name')); select pg_sleep(0.15)"
    jobs = [add_job(connection, f"job {number}", sql_step(code % number)) for number in range(20)]
    with Daemon(database.conninfo) as daemon, Ticker(database.conninfo) as ticker:
        wait_for_agents(connection, daemon)
        for wave in (1, 2, 3):
            make_due(connection, *jobs)
            wait_for_jobs(connection, jobs)
            counts = connection.execute("select count(*), count(distinct jobid) from done").fetchone()
            assert counts == (20 * wave, 20)
        assert (daemon.exit_code, ticker.exit_code) == (None, None)
    ours = "select count(*) from done where who like 'pgagent_py step %'"
    assert 0 < value(connection, ours) < 60
    wait_until(lambda: count_runs(connection, "r") == 0, what="the daemon's rows of lost claims")
    assert (count_runs(connection, "s"), count_runs(connection, "f"), count_runs(connection, "d")) == (60, 0, 0)
    finished = "select count(*) from pgagent.pga_jobsteplog where jslstatus = 's'"
    assert value(connection, finished) == 60


def test_claim_from_the_daemons_stale_list_is_refused(connection: Connection, database: Database) -> None:
    """Between the daemon's look and its claim somebody else has run the job: that due time is used up."""
    jobid = add_job(connection, "job", sql_step("select 1"), host=DAEMONS_STATION)
    make_due(connection, jobid)
    claims = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'UPDATE pgagent.pga_job %'"
    )
    with psycopg.connect(database.conninfo) as other:
        other.execute("select from pgagent.pga_job where jobid = %s for update", (jobid,))
        with Daemon(database.conninfo):
            wait_until(lambda: value(connection, claims) == 1, what="the daemon's claim")
            other.execute("update pgagent.pga_job set jobnextrun = now() + interval '1 day' where jobid = %s", (jobid,))
            other.commit()
            wait_until(lambda: statuses(connection, jobid) == "i", what="the daemon's row of the lost claim")
    (lost,) = runs(connection, jobid)
    assert step_logs(connection, lost) == []
    job = "select jobagentid, jobnextrun > now(), joblastrun from pgagent.pga_job where jobid = %s"
    assert connection.execute(job, (jobid,)).fetchone() == (None, True, None)


def test_daemon_that_starts_leaves_our_running_work_alone(connection: Connection, database: Database) -> None:
    hold_steps(connection)
    jobs = [add_job(connection, f"job {number}", sql_step(WAITING_CODE), host=OUR_STATION) for number in range(3)]
    make_due(connection, *jobs)
    with Ticker(database.conninfo, "--station", OUR_STATION):
        wait_until(lambda: held_steps(connection) == 3, what="our steps to begin")
        for _ in range(2):
            with Daemon(database.conninfo) as daemon:
                wait_for_agents(connection, daemon)
                assert {statuses(connection, jobid) for jobid in jobs} == {"r"}
                make_due(connection, foreign := add_job(connection, "job", sql_step("select 1"), host=DAEMONS_STATION))
                wait_for_runs(connection, foreign)
        release_steps(connection)
        for jobid in jobs:
            assert [run.status for run in wait_for_runs(connection, jobid)] == ["s"]


@pytest.mark.parametrize("who", ["ticker", "psql"])
def test_agent_of_ours_that_starts_leaves_the_daemons_running_work_alone(
    connection: Connection, database: Database, who: str
) -> None:
    hold_steps(connection)
    jobs = [add_job(connection, f"job {number}", sql_step(WAITING_CODE), host=DAEMONS_STATION) for number in range(3)]
    make_due(connection, *jobs)
    with Daemon(database.conninfo):
        wait_until(lambda: held_steps(connection) == 3, what="the daemon's steps to begin")
        for _ in range(2):
            mine = add_job(connection, "mine", sql_step("select 1"), host=OUR_STATION)
            make_due(connection, mine)
            if who == "ticker":
                with Ticker(database.conninfo, "--station", OUR_STATION):
                    wait_for_runs(connection, mine)
            else:
                with psycopg.connect(database.conninfo, autocommit=True) as psql:
                    run_due(psql, station=OUR_STATION)
            assert statuses(connection, mine) == "s"
            assert {statuses(connection, jobid) for jobid in jobs} == {"r"}
        release_steps(connection)
        for jobid in jobs:
            assert [run.status for run in wait_for_runs(connection, jobid)] == ["s"]


def test_logs_read_the_same(connection: Connection, database: Database) -> None:
    """A job of both kinds of steps, run by either: statuses, results and outputs."""
    steps = [
        sql_step("create temp table t as select generate_series(1, 3); select * from t"),
        sql_step("select 1/0", on_error="i"),
        batch_step("echo out; echo err >&2; exit 3", on_error="s"),
        batch_step("kill -9 $$", on_error="i"),
        sql_step("nonsense"),
        sql_step("select 1"),
    ]
    logs = {}
    with Daemon(database.conninfo), Ticker(database.conninfo, "--station", OUR_STATION):
        for host in (DAEMONS_STATION, OUR_STATION):
            jobid = add_job(connection, "job", *steps, host=host)
            make_due(connection, jobid)
            (run,) = wait_for_runs(connection, jobid)
            logs[host] = [(run.status, log.status, log.result, log.output) for log in step_logs(connection, run)]
    # The daemon starts each script from one more shell, and that one says "Killed".
    killed = logs[DAEMONS_STATION][3]
    logs[DAEMONS_STATION][3] = (*killed[:3], (killed[3] or "").replace("\nScript Error: \nKilled\n\n", ""))
    assert logs[OUR_STATION] == logs[DAEMONS_STATION]
    assert [status for _, status, _, _ in logs[OUR_STATION]] == ["s", "i", "s", "i", "f"]


@pytest.mark.parametrize("rescuer", ["ticker", "psql"])
def test_run_of_a_killed_daemon_is_marked_as_aborted(connection: Connection, database: Database, rescuer: str) -> None:
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), host=DAEMONS_STATION)
    make_due(connection, jobid)
    with Daemon(database.conninfo) as daemon:
        wait_until(lambda: held_steps(connection) == 1, what="the daemon's step to begin")
        daemon.kill9()
    if rescuer == "ticker":
        with Ticker(database.conninfo, "--station", OUR_STATION):
            wait_for_runs(connection, jobid)
    else:
        with psycopg.connect(database.conninfo, autocommit=True) as psql:
            wait_until(lambda: run_due(psql) is not None and statuses(connection, jobid) == "d")
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status) == ("d", "d")
    assert run.duration is not None
    assert log.duration is not None
    assert value(connection, "select jobagentid is null from pgagent.pga_job where jobid = %s", jobid)


def test_daemon_cleans_up_after_a_killed_ticker(connection: Connection, database: Database) -> None:
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), host=OUR_STATION)
    make_due(connection, jobid)
    with Ticker(database.conninfo, "--station", OUR_STATION) as ticker:
        wait_until(lambda: held_steps(connection) == 1, what="our step to begin")
        ticker.kill9()
    wait_until(lambda: held_steps(connection) == 0, what="our step's session to end")
    agents = "select count(*) from pgagent.pga_jobagent a join pg_stat_activity s on s.pid = a.jagpid"
    wait_until(lambda: value(connection, agents) == 0, what="our agents' sessions to end")
    with Daemon(database.conninfo):
        (run,) = wait_for_runs(connection, jobid)
    assert (run.status, [log.status for log in step_logs(connection, run)]) == ("d", ["d"])


def count_runs(conn: Connection, status: str) -> int:
    return int(value(conn, "select count(*) from pgagent.pga_joblog where jlgstatus = %s", status))


def wait_for_agents(conn: Connection, daemon: Daemon) -> None:
    """Wait until the daemon has registered itself, after its sweep for dead agents."""
    daemon.wait_for_line("Checking for jobs to run")
    registered = "select exists (select from pgagent.pga_jobagent where jagbackendstart is null)"
    assert value(conn, registered)
