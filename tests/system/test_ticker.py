"""The ticker as a process: what wakes it, what it runs, how several of them share the work."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Cluster,
    Database,
    Ticker,
    add_job,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.following import follow_job, is_free, statuses, wait_for_jobs, wait_for_runs

Connection = psycopg.Connection[TupleRow]

LONG_INTERVAL = ("-t", "60")
"""Longer than any deadline here: whatever happens was not found by looking again and again."""

SOON = timedelta(seconds=5)

RAISING_NEXT_DUE = """
    create or replace function pgagent.next_due(station text default null) returns timestamptz language plpgsql as $$
    begin
        if current_setting('application_name') = 'pgagent-ticker' then  -- not the engine, which asks as well
            raise 'asked';
        end if;
        return null;
    end
    $$
"""
QUIET_NEXT_DUE = """
    create or replace function pgagent.next_due(station text default null) returns timestamptz language sql
    as 'select null::timestamptz'
"""


def test_run_now_is_picked_up_through_a_notification(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    with Ticker(database.conninfo, *LONG_INTERVAL) as ticker:
        for count in (1, 2):
            wait_until_asleep(connection, ticker)
            asked = value(connection, "select clock_timestamp()")
            make_due(connection, jobid)
            run = wait_for_runs(connection, jobid, count)[-1]
            assert (run.status, run.start - asked < SOON) == ("s", True)


def test_run_now_of_a_batch_job_is_picked_up_through_notifications(connection: Connection, database: Database) -> None:
    with Ticker(database.conninfo, *LONG_INTERVAL) as ticker:
        wait_until_asleep(connection, ticker)
        steps = [batch_step("echo 1"), batch_step("echo 2"), sql_step("select 3")]
        run, logs = follow_job(connection, *steps)
        assert (run.status, [log.output for log in logs]) == ("s", ["1\n", "2\n", ""])
        assert run.duration is not None
        assert run.duration < SOON


def test_run_now_while_another_job_runs(connection: Connection, database: Database) -> None:
    hold_steps(connection)
    slow = add_job(connection, "slow", sql_step(WAITING_CODE))
    quick = add_job(connection, "quick", sql_step("select 1"))
    with Ticker(database.conninfo, *LONG_INTERVAL):
        make_due(connection, slow)
        wait_until(lambda: held_steps(connection) == 1, what="the slow job's step")
        asked = value(connection, "select clock_timestamp()")
        make_due(connection, quick)
        (run,) = wait_for_runs(connection, quick)
        assert (run.status, run.start - asked < SOON) == ("s", True)
        assert statuses(connection, slow) == "r"
        release_steps(connection)
        assert [run.status for run in wait_for_runs(connection, slow)] == ["s"]


def test_run_now_of_the_job_that_runs(connection: Connection, database: Database) -> None:
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    with Ticker(database.conninfo, *LONG_INTERVAL):
        make_due(connection, jobid)
        wait_until(lambda: held_steps(connection) == 1, what="the job's step")
        make_due(connection, jobid)
        release_steps(connection)
        assert [run.status for run in wait_for_runs(connection, jobid, 2)] == ["s", "s"]


def test_job_starts_at_its_due_time(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    with Ticker(database.conninfo, *LONG_INTERVAL) as ticker:
        wait_until_asleep(connection, ticker)
        due = value(
            connection,
            "update pgagent.pga_job set jobnextrun = clock_timestamp() + interval '1 s' where jobid = %s "
            "returning jobnextrun",
            jobid,
        )
        (run,) = wait_for_runs(connection, jobid)
    latency = run.start - due
    print(f"started {latency.total_seconds() * 1000:.1f} ms after its due time")
    assert timedelta(0) <= latency < SOON


def test_due_since_ever_and_locked_by_a_client(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    with psycopg.connect(database.conninfo) as client, Ticker(database.conninfo, "-t", "1") as ticker:
        wait_until_asleep(connection, ticker)
        client.execute("update pgagent.pga_job set jobnextrun = '-infinity'")
        client.commit()
        client.execute("select from pgagent.pga_job for update")
        wait_for_calls(connection, ticker, 3)
        assert runs(connection, jobid) == []
        client.rollback()
        assert [run.status for run in wait_for_runs(connection, jobid)] == ["s"]
        assert "failed" not in ticker.log


def test_next_due_is_not_asked_while_a_step_runs(connection: Connection, database: Database) -> None:
    """What hits it would seem to hit run_due: a cancel, above all, which has to end the steps."""
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    with Ticker(database.conninfo, *LONG_INTERVAL) as ticker:
        wait_until_asleep(connection, ticker)
        make_due(connection, jobid)
        wait_until(lambda: held_steps(connection) == 1, what="the job's step")
        connection.execute(RAISING_NEXT_DUE)
        wait_for_calls(connection, ticker, 3)
        assert "asked" not in ticker.log
        release_steps(connection)
        assert [run.status for run in wait_for_runs(connection, jobid)] == ["s"]
        ticker.wait_for_line("asked")
        connection.execute(QUIET_NEXT_DUE)
        make_due(connection, jobid)
        assert wait_for_runs(connection, jobid, 2)[-1].status == "s"


def test_job_for_a_host_runs_on_that_station_only(connection: Connection, database: Database) -> None:
    names = {"anywhere": "", "here": "station.here", "elsewhere": "station.elsewhere", "in capitals": "STATION.HERE"}
    jobs = {name: add_job(connection, name, sql_step("select 1"), batch_step("true"), host=host)
            for name, host in names.items()}  # fmt: skip
    make_due(connection, *jobs.values())
    with Ticker(database.conninfo, "--station", "station.here"):
        for name in ("anywhere", "here"):
            assert [run.status for run in wait_for_runs(connection, jobs[name])] == ["s"]
    assert [runs(connection, jobs[name]) for name in ("elsewhere", "in capitals")] == [[], []]
    with Ticker(database.conninfo, "--station", "station.elsewhere"):
        assert [run.status for run in wait_for_runs(connection, jobs["elsewhere"])] == ["s"]
    assert runs(connection, jobs["in capitals"]) == []


def test_batch_step_of_a_host_waits_for_that_hosts_ticker(connection: Connection, database: Database) -> None:
    """The engine that runs the job's SQL need not be the ticker that runs its script."""
    with (
        Ticker(database.conninfo, "--station", "a", "--environment", "PLACE=a"),
        Ticker(database.conninfo, "--station", "b", "--environment", "PLACE=b"),
    ):
        for host in ("a", "b", "a", "b"):
            steps = [sql_step("select 1"), batch_step("echo $PLACE")]
            jobid = add_job(connection, f"job of {host}", *steps, host=host)
            make_due(connection, jobid)
            (run,) = wait_for_runs(connection, jobid)
            assert [log.output for log in step_logs(connection, run)] == ["", f"{host}\n"]


def test_station_is_shown_while_the_job_runs(connection: Connection, database: Database, tmp_path: Path) -> None:
    station = """
        select a.jagstation from pgagent.pga_job j left join pgagent.pga_jobagent a on a.jagpid = j.jobagentid
         where j.jobid = %s
    """
    hold_steps(connection)
    flag = tmp_path / "go"
    script = f"until [ -e {flag} ]; do sleep 0.05; done"
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), batch_step(script))
    make_due(connection, jobid)
    with Ticker(database.conninfo, "--station", "the station"):
        wait_until(lambda: held_steps(connection) == 1, what="the SQL step")
        assert value(connection, station, jobid) == "the station"
        release_steps(connection)
        wait_until(lambda: value(connection, "select exists (select from pgagent._batch_step where taken)"))
        assert value(connection, station, jobid) == "the station"
        flag.touch()
        wait_for_runs(connection, jobid)
        assert value(connection, station, jobid) is None


def test_flags_of_a_pgagent_service_line(connection: Connection, database: Database, tmp_path: Path) -> None:
    """Of Debian's unit: only the program's name is another; the connection string is unquoted words."""
    log = tmp_path / "pgagent.log"
    words = [f"{key}={value}" for key, value in conninfo_to_dict(database.conninfo).items()]
    options = ["-f", "-t", "2", "-r", "30", "-l", "2", "-s", str(log), *words[:-1]]
    with Ticker(words[-1], *options) as ticker:
        run, logs = follow_job(connection, sql_step("select 1"), batch_step("exit 3"), name="the job")
        assert (run.status, [log.status for log in logs]) == ("f", ["s", "f"])
        assert ticker.stop() == 0
        assert ticker.log == ""
    text = log.read_text()
    for event in ("started", "connected", "script started", "script ended", "run failed", "stopping", "stopped"):
        assert f" {event}" in text
    assert f"station={socket.gethostname()}" in text
    assert f'run={run.id} job={run.jobid} name="the job"' in text


def test_log_has_one_line_per_event(connection: Connection, database: Database) -> None:
    with Ticker(database.conninfo, "-l", "2") as ticker:
        follow_job(connection, batch_step("printf 'a\\nb'; exit 1"), name="first\nsecond")
        follow_job(connection, sql_step("do $$ begin raise 'one\ntwo'; end $$"), name="job")
        ticker.stop()
        lines = ticker.log.splitlines()
    assert all(line.startswith("20") and line.split()[1] in ("DEBUG", "INFO", "WARNING") for line in lines)
    assert len([line for line in lines if "run failed" in line]) == 2


def test_two_tickers_share_the_work(connection: Connection, database: Database) -> None:
    connection.execute("create table done (jobid int, who text)")
    jobs = [add_numbered_job(connection, number) for number in range(200)]
    with (
        Ticker(database.conninfo, "--station", "a") as one,
        Ticker(database.conninfo, "--station", "b") as two,
    ):
        for ticker in (one, two):
            wait_until_asleep(connection, ticker)
        make_due(connection, *jobs)
        wait_for_jobs(connection, jobs, 60)
        counts = connection.execute("select count(*), count(distinct jobid), count(distinct who) from done").fetchone()
        assert counts == (200, 200, 2)
    log = "select jlgstatus::text, count(*), count(distinct jlgjobid) from pgagent.pga_joblog group by 1"
    assert connection.execute(log).fetchall() == [("s", 200, 200)]
    scripts = "select count(*), count(distinct jsljlgid) from pgagent.pga_jobsteplog where jsloutput <> ''"
    assert connection.execute(scripts).fetchone() == (20, 20)


def test_scarce_connections_delay_jobs_and_fail_none(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(max_connections=12)
    database = cluster.create_database("scarce")
    with cluster.connect(database.name) as connection:
        steps = [sql_step("select pg_sleep(0.02)"), sql_step("select 2")]
        jobs = [add_job(connection, f"job {number}", *steps) for number in range(60)]
        make_due(connection, *jobs)
        with Ticker(database.conninfo) as ticker:
            wait_for_jobs(connection, jobs, 60)
            assert ticker.exit_code is None
        log = "select jlgstatus::text, count(*), count(distinct jlgjobid) from pgagent.pga_joblog group by 1"
        assert connection.execute(log).fetchall() == [("s", 60, 60)]


def test_extension_may_be_created_dropped_and_created_again(cluster: Cluster) -> None:
    database = cluster.create_database("without_extension", extension=False)
    try:
        with (
            cluster.connect(database.name) as connection,
            Ticker(database.conninfo, "-t", "1") as ticker,
        ):
            ticker.wait_for_line("schema pgagent not found.*session=due.*create extension")
            ticker.wait_for_line("schema pgagent not found.*session=batch.*create extension")
            for _ in range(2):
                connection.execute("create extension pgagent_py cascade")
                run, _ = follow_job(connection, sql_step("select 1"), batch_step("true"))
                assert run.status == "s"
                connection.execute("drop extension pgagent_py")
            assert ticker.exit_code is None
            assert ticker.log.count("schema pgagent not found") <= 2 * 3
    finally:
        cluster.drop_database(database.name)


def test_ticker_without_batch_leaves_batch_steps_to_others(connection: Connection, database: Database) -> None:
    mixed = add_job(connection, "mixed", sql_step("select 1"), batch_step("echo out"), sql_step("select 2"))
    plain = add_job(connection, "plain", sql_step("select 1"))
    waiting = "select exists (select from pgagent._batch_step where not taken)"
    with Ticker(database.conninfo, "--no-batch") as ticker:
        make_due(connection, mixed)
        wait_until(lambda: value(connection, waiting), what="the batch step to wait")
        make_due(connection, plain)
        assert [run.status for run in wait_for_runs(connection, plain)] == ["s"]
        assert ticker.children() == []
        assert (statuses(connection, mixed), is_free(connection, mixed)) == ("r", False)
        with Ticker(database.conninfo):
            (run,) = wait_for_runs(connection, mixed)
    assert [(log.status, log.output) for log in step_logs(connection, run)] == [("s", ""), ("s", "out\n"), ("s", "")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["-t", "soon"], "not a number of seconds", id="interval"),
        pytest.param(["-x"], "unrecognized arguments", id="flag"),
        pytest.param(["not a connection string"], "cannot read the connection string", id="conninfo"),
    ],
)
def test_wrong_command_line_ends_with_status_2(words: list[str], message: str) -> None:
    with Ticker(words[-1], *words[:-1]) as ticker:
        assert ticker.wait() == 2
        assert message in ticker.log


def add_numbered_job(connection: Connection, number: int) -> int:
    """Add a job that records which engine ran it and takes a moment; every tenth has a batch step as well."""
    code = f"insert into done values ({number}, current_setting('application_name')); select pg_sleep(0.05)"
    steps = [sql_step(code)]
    if number % 10 == 0:
        steps.append(batch_step("echo $PGAGENT_RUNID"))
    return add_job(connection, f"job {number}", *steps)


def wait_until_asleep(connection: Connection, ticker: Ticker) -> None:
    """Wait until the ticker sleeps: it has asked when the next job is due."""
    asleep = "select state = 'idle' and query like '%%next_due%%' from pg_stat_activity where pid = %s"
    wait_until(lambda: value(connection, asleep, ticker.server_pid("due")), what="the ticker to sleep")


def wait_for_calls(connection: Connection, ticker: Ticker, count: int) -> None:
    """Wait until the ticker has called run_due so many times more."""
    for _ in range(count):
        began = last_call(connection, ticker)
        wait_until(lambda before=began: last_call(connection, ticker) > before, what="another call")  # type: ignore[misc]


def last_call(connection: Connection, ticker: Ticker) -> datetime:
    query = "select query_start from pg_stat_activity where pid = %s and query like '%%run_due%%'"
    found: datetime = value(connection, query, ticker.server_pid("due"))
    return found


def test_settings_of_the_database_do_not_stop_the_ticker(connection: Connection, database: Database) -> None:
    """Its owner need not be who runs the ticker."""
    for setting in ("statement_timeout = '1ms'", "default_transaction_read_only = on", "idle_session_timeout = '50ms'"):
        connection.execute(f"alter database {database.name} set {setting}")
    connection.execute("set statement_timeout = 0")
    jobid = add_job(connection, "job", batch_step("sleep 0.5"))
    make_due(connection, jobid)
    with Ticker(database.conninfo, "-t", "1"):
        assert [run.status for run in wait_for_runs(connection, jobid)] == ["s"]
