"""Step sessions: used again, but clean; closed when idle; never a reason for a step to fail."""

from __future__ import annotations

import os
import time

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    Cluster,
    Database,
    add_job,
    make_due,
    run_due,
    run_job,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]

NOTE_PID = "insert into pids values (pg_backend_pid()); "

SPOILERS = {
    "set": ("set work_mem = '7MB'", "current_setting('work_mem') = '7MB'"),
    "set timeout": ("set statement_timeout = '1min'", "current_setting('statement_timeout') <> '0'"),
    "set custom": ("set my.secret = 'x'", "current_setting('my.secret', true) <> ''"),
    "search path": ("set search_path = pg_temp", "current_setting('search_path') like '%pg_temp%'"),
    "set role": ("set role pg_monitor", "current_user = 'pg_monitor'"),
    "authorization": ("set session authorization pg_monitor", "session_user = 'pg_monitor'"),
    "temporary table": ("create temp table tt (a int)", "to_regclass('pg_temp.tt') is not null"),
    "advisory lock": (
        "select pg_advisory_lock(1)",
        "exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())",
    ),
    "listen": ("listen x", "exists (select from pg_listening_channels())"),
    "prepared statement": ("prepare p as select 1", "exists (select from pg_prepared_statements)"),
    "held cursor": ("declare c cursor with hold for select 1", "exists (select from pg_cursors)"),
    "open transaction": (
        "begin; lock table pids",
        "exists (select from pg_locks where mode = 'AccessExclusiveLock' and relation = 'pids'::regclass)",
    ),
    "failed transaction": ("begin; select 1/0", "now() <> statement_timestamp()"),
    "read only": (
        "set session characteristics as transaction read only",
        "current_setting('transaction_read_only') = 'on'",
    ),
    "client encoding": ("set client_encoding = 'LATIN1'", "current_setting('client_encoding') <> 'UTF8'"),
    "messages": ("set client_min_messages = 'error'", "current_setting('client_min_messages') <> 'notice'"),
    "currval": ("select nextval('s')", "(select last_value from s) = (select lastval())"),
}
"""A step that leaves something behind, and a condition by which the next step would see it."""


def test_step_sees_nothing_that_another_left_behind(connection: Connection) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 1")
    connection.execute("create table pids (pid int); create sequence s")
    seen = []
    for name, (code, condition) in SPOILERS.items():
        connection.execute("truncate pids")
        run_job(connection, sql_step(f"{NOTE_PID} {code}", on_error="i"))
        check = f"do $$ begin if {condition} then raise 'it was seen'; end if; end $$"
        if name == "currval":
            unset = "exception when object_not_in_prerequisite_state then"
            check = f"do $$ begin perform lastval(); raise 'it was seen'; {unset} end $$"
        _, (log,) = run_job(connection, sql_step(f"{NOTE_PID} {check}"))
        if (log.status, log.output) != ("s", ""):
            seen.append((name, log.output))
        same = value(connection, "select count(distinct pid) = 1 from pids")
        assert same or "transaction" in name, f"{name}: not the same session, so this shows nothing"
    assert seen == []


def test_steps_of_one_job_share_nothing_either(connection: Connection) -> None:
    run, logs = run_job(connection, sql_step("create temp table tt (a int)"), sql_step("select * from tt"))
    assert run.status == "f"
    assert (logs[1].output or "").startswith('ERROR:  relation "tt" does not exist')


def test_transaction_left_open_fails_the_step_and_is_rolled_back(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    for code in ("begin; insert into t values (1)", "begin; insert into t values (1); savepoint a"):
        run, (log,) = run_job(connection, sql_step(code))
        assert (run.status, log.status, log.result) == ("f", "f", -1)
        assert log.output == "the step left a transaction open: it was rolled back"
        assert value(connection, "select count(*) from t") == 0
        assert value(connection, "select count(*) from pg_locks where relation = 't'::regclass") == 0


def test_committed_part_before_a_transaction_left_open_stays(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    _, (log,) = run_job(connection, sql_step("insert into t values (1); commit; begin; insert into t values (2)"))
    assert log.status == "f"
    assert connection.execute("select a from t").fetchall() == [(1,)]


def test_session_that_a_step_made_unusable_is_not_used_again(connection: Connection) -> None:
    """With this timeout the cleaning of the session is cancelled."""
    connection.execute("update pgagent.settings set parallel_runs = 1")
    run_job(connection, sql_step("set statement_timeout = 1"))
    for _ in range(3):
        run, (log,) = run_job(connection, sql_step("select count(*) from generate_series(1, 200000)"))
        assert (run.status, log.result, log.output) == ("s", 1, "")


def test_idle_sessions_are_closed_so_that_a_database_can_be_dropped(connection: Connection, cluster: Cluster) -> None:
    connection.execute("update pgagent.settings set session_idle_timeout = '1 s'")
    name = f"{connection.info.dbname}_other"
    cluster.create_database(name, extension=False)
    run, _ = run_job(connection, sql_step("select 1", dbname=name))
    assert run.status == "s"
    sessions = "select count(*) from pg_stat_activity where datname = %s"
    wait_until(lambda: value(connection, sessions, name) == 0, 10, "the idle session to be closed")
    connection.execute(f"drop database {name}")


def test_job_that_makes_uses_and_drops_a_database(connection: Connection) -> None:
    """With the default timeout: the session that used it is the engine's own and must not stand in the way."""
    name = f"{connection.info.dbname}_made"
    steps = [
        sql_step(f"create database {name}"),
        sql_step("create table t as select 1 as a", dbname=name),
        sql_step(f"drop database {name}"),
    ]
    jobid = add_job(connection, "job", *steps)
    make_due(connection, jobid)
    run_due(connection, "20 s")
    (run,) = runs(connection, jobid)
    assert [(log.status, log.output) for log in step_logs(connection, run)] == [("s", "")] * 3


def test_call_after_idle_sessions_were_closed_works_at_once(connection: Connection) -> None:
    connection.execute("update pgagent.settings set session_idle_timeout = '1 s'")
    notices: list[str | None] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    run_job(connection, sql_step("select 1"))
    sessions = "select count(*) from pg_stat_activity where application_name like 'pgagent_py step %'"
    assert value(connection, sessions) > 0
    wait_until(lambda: value(connection, sessions) == 0, 10, "the idle sessions to be closed")
    start = time.monotonic()
    run, _ = run_job(connection, sql_step("select 1"))
    assert time.monotonic() - start < 5  # however slow the machine is
    assert (run.status, notices) == ("s", [])


def test_call_after_the_control_session_was_ended_works_at_once(connection: Connection) -> None:
    notices: list[str | None] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    sessions = "from pg_stat_activity where application_name like 'pgagent_py %'"
    for _ in range(2):
        start = time.monotonic()
        run, _ = run_job(connection, sql_step("select 1"))
        assert time.monotonic() - start < 5  # however slow the machine is
        assert (run.status, notices) == ("s", [])
        assert value(connection, f"select count(pg_terminate_backend(pid)) {sessions}") == 2
        wait_until(lambda: value(connection, f"select count(*) {sessions}") == 0, what="the sessions to end")


def test_idle_session_that_an_administrator_ends_fails_no_step(connection: Connection) -> None:
    sessions = "from pg_stat_activity where application_name like 'pgagent_py step %'"
    for _ in range(3):
        run, (log,) = run_job(connection, sql_step("select 1"))
        assert (run.status, log.output) == ("s", "")
        assert value(connection, f"select count(pg_terminate_backend(pid)) {sessions}") == 1
        wait_until(lambda: value(connection, f"select count(*) {sessions}") == 0, what="the session to end")


@pytest.mark.parametrize(
    ("parallel_runs", "kept"),
    [pytest.param(10, 10, id="all where connections are plenty"), pytest.param(40, 4, id="a few where they are not")],
)
def test_idle_sessions_that_stay_after_a_burst(connection: Connection, parallel_runs: int, kept: int) -> None:
    """The server has 100 connections: enough for three engines of ten sessions, not for three of forty."""
    connection.execute("update pgagent.settings set parallel_runs = %s", (parallel_runs,))
    jobs = [add_job(connection, f"job {n}", sql_step("select pg_sleep(0.2)")) for n in range(10)]
    make_due(connection, *jobs)
    run_due(connection)
    sessions = "select count(*) from pg_stat_activity where application_name like 'pgagent_py step %'"
    wait_until(lambda: value(connection, sessions) == kept, what=f"{kept} sessions to be left")


def test_few_sessions_stay_even_if_they_take_long_to_clean(connection: Connection) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 40, session_idle_timeout = '1 h'")
    fill = "do $$ begin for n in 1..100 loop execute format('create temp table t%s ()', n); end loop; end $$"
    make_due(connection, *[add_job(connection, f"job {n}", sql_step(fill)) for n in range(10)])
    run_due(connection)
    sessions = "select count(*) from pg_stat_activity where application_name like 'pgagent_py step %'"
    wait_until(lambda: value(connection, sessions) <= 4, what="the sessions to end")


def test_sessions_through_a_connection_string_are_not_kept(connection: Connection, database: Database) -> None:
    connstr = f"{database.conninfo} application_name=elsewhere"
    run, _ = run_job(connection, sql_step("select 1", connstr=connstr))
    assert run.status == "s"
    sessions = "select count(*) from pg_stat_activity where application_name = 'elsewhere'"
    wait_until(lambda: value(connection, sessions) == 0, what="the session to end")


def test_settings_of_a_role_and_a_database_reach_the_steps_but_not_the_engine(connection: Connection) -> None:
    name = connection.info.dbname
    connection.execute(f"alter database {name} set default_transaction_read_only = on")
    connection.execute(f"alter database {name} set timezone = 'Asia/Kolkata'")
    connection.execute(f"alter database {name} set datestyle = 'SQL, DMY'")
    connection.execute("set default_transaction_read_only = off")
    run, (log,) = run_job(connection, sql_step("create table t (a int)"))
    assert (run.status, log.status) == ("f", "f")
    assert "read-only transaction" in (log.output or "")
    assert run.duration is not None


def test_steps_leave_the_processor_to_the_engine_when_both_could_have_it(connection: Connection) -> None:
    try:
        os.sched_setscheduler(0, os.sched_getscheduler(0), os.sched_getparam(0))
    except (AttributeError, OSError) as error:
        pytest.skip(f"this system lets nobody choose a policy: {error}")
    connection.execute("create table pids (pid int)")
    run_job(connection, sql_step(NOTE_PID))
    engines = os.sched_getscheduler(connection.info.backend_pid)
    steps = os.sched_getscheduler(value(connection, "select pid from pids"))
    assert steps == (os.SCHED_BATCH if engines == os.SCHED_OTHER else engines)
