"""The views: what they show, and to whom. What they cost, test_views_cost shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from harness import (
    WAITING_CODE,
    Database,
    Step,
    add_job,
    add_schedule,
    batch_step,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_until_held,
    runs,
    sql_step,
    value,
    wait_until,
)
from harness.people import People

Session = Connection[TupleRow]
Row = dict[str, Any]

pytestmark = pytest.mark.shared_database

VIEWS = ("jobs", "runs", "run_steps", "running", "calendar", "statistics")
DENIED = psycopg.errors.InsufficientPrivilege

ENDED_RUNS = """
    insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration, jlgreason)
    select %s, s.status, '2026-01-01 00:00Z'::timestamptz + s.n * interval '1 h', s.n * interval '1 s',
           case when s.status <> 's' then 'reason ' || s.n end
    from unnest(string_to_array(%s, null)) with ordinality s (status, n)
"""
FIRST_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def rows(conn: Session, query: str, *parameters: object) -> list[Row]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters or None).fetchall()


def one(conn: Session, view: str) -> Row:
    (row,) = rows(conn, f"select * from pgagent.{view}")
    return row


def add_ended_runs(conn: Session, jobid: int, statuses: str) -> None:
    """Log ended runs, one an hour from 2026 on, of one second, two seconds, and so on."""
    conn.execute(ENDED_RUNS, (jobid, statuses))


@contextmanager
def engine_of(database: Database) -> Iterator[Session]:
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        yield conn


# Jobs


def test_job_that_has_not_run(connection: Session) -> None:
    jobid = add_job(connection, "backup", enabled=False, host="db1", klass=3)
    connection.execute("update pgagent.pga_job set jobdesc = 'each night'")
    assert one(connection, "jobs") == {
        "job": jobid, "name": "backup", "owner": "postgres", "class": "Data Export", "enabled": False, "schedule": None,
        "next_run": None, "running_since": None, "last_run": None, "last_status": None, "last_duration": None,
        "streak": None, "description": "each night", "host": "db1",
    }  # fmt: skip


def test_schedules_of_a_job_in_words(connection: Session) -> None:
    jobid = add_job(connection, "job")
    add_schedule(connection, jobid, hours=[2], minutes=[30])
    add_schedule(connection, jobid, hours=[3], minutes=[0], enabled=False)
    add_schedule(connection, jobid, interval="10 s")
    row = one(connection, "jobs")
    assert row["schedule"] == "at 02:30 every day, UTC; every 10 seconds from 2020-01-01 00:00, UTC"
    assert row["next_run"] == value(connection, "select jobnextrun from pgagent.pga_job") is not None


def test_schedule_that_was_deleted_meanwhile_has_no_words(connection: Session) -> None:
    for function in ("_describe_schedule", "_why_never"):
        assert value(connection, f"select pgagent.{function}(4711, 0)") is None


@pytest.mark.parametrize(
    ("statuses", "streak"),
    [
        ("s", 1), ("f", -1), ("fsss", 3), ("sfd", -2), ("ssi", -1), ("fsfs", 1), ("f" + 99 * "s", 99),
        ("f" + 100 * "s", 100), (150 * "s", 100), (150 * "f", -100),
    ],
)  # fmt: skip
def test_streak(connection: Session, statuses: str, streak: int) -> None:
    jobid = add_job(connection, "job")
    add_ended_runs(connection, add_job(connection, "other"), "fs")
    add_ended_runs(connection, jobid, statuses)
    assert value(connection, "select streak from pgagent.jobs where name = 'job'") == streak


def test_last_run_is_the_last_that_has_ended(connection: Session) -> None:
    jobid = add_job(connection, "job")
    add_ended_runs(connection, jobid, "sfd")
    connection.execute("insert into pgagent.pga_joblog (jlgjobid) values (%s)", (jobid,))
    row = one(connection, "jobs")
    last = (row["last_run"], row["last_status"], row["last_duration"], row["streak"])
    assert last == (FIRST_START + timedelta(hours=3), "aborted", timedelta(seconds=3), -2)


def test_job_that_runs(connection: Session, database: Database) -> None:
    """Its next run is the one after this."""
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    add_schedule(connection, jobid, hours=[4], minutes=[0])
    planned = value(connection, "select next_run from pgagent.jobs")
    hold_steps(connection)
    make_due(connection, jobid)
    with engine_of(database) as engine:
        run_until_held(engine)
        row = one(connection, "jobs")
        assert row["running_since"] == runs(connection, jobid)[0].start
        assert (row["next_run"], row["last_run"], row["streak"]) == (planned, None, None)
        make_due(connection, jobid)
        asked = value(connection, "select jobrequested from pgagent.pga_job")
        assert value(connection, "select next_run <= now() from pgagent.jobs")
        assert abs(value(connection, "select next_run from pgagent.jobs") - asked) < timedelta(seconds=1)


# Runs and their steps


def test_statuses_of_runs_in_words(connection: Session) -> None:
    jobid = add_job(connection, "job")
    add_ended_runs(connection, jobid, "sfid")
    connection.execute(
        "insert into pgagent.pga_joblog (jlgjobid, jlgstart) values (%s, now() - interval '1 min')", (jobid,)
    )
    found = rows(connection, "select * from pgagent.runs order by run")
    assert [row["status"] for row in found] == ["succeeded", "failed", "internal failure", "aborted", "running"]
    assert [row["reason"] for row in found] == [None, "reason 2", "reason 3", "reason 4", None]
    assert [row["duration"].total_seconds() for row in found[:4]] == [1, 2, 3, 4]
    assert timedelta(minutes=1) <= found[4]["duration"] < timedelta(minutes=2)
    assert {(row["job"], row["name"], row["owner"]) for row in found} == {(jobid, "job", "postgres")}


def test_run_that_started_after_the_statement_that_sees_it(connection: Session) -> None:
    jobid = add_job(connection, "job")
    connection.execute(
        "insert into pgagent.pga_joblog (jlgjobid, jlgstart) values (%s, now() + interval '1 min')", (jobid,)
    )
    for view in ("runs", "running"):
        assert one(connection, view)["duration"] == timedelta(0)


def test_steps_of_a_run(connection: Session) -> None:
    jobid = add_job(
        connection,
        "job",
        sql_step("select 1 / 0", on_error="i"),
        sql_step("select generate_series(1, 3)"),
        sql_step("select 1 / 0"),
        sql_step("select 'not reached'"),
    )
    connection.execute("update pgagent.pga_jobstep set jstretries = 2, jstretrydelay = '0' where jstname = 'step 003'")
    make_due(connection, jobid)
    run_due(connection)
    run = one(connection, "runs")
    assert (run["status"], run["steps"], run["failed_steps"]) == ("failed", 3, 2)
    found = rows(connection, "select * from pgagent.run_steps where run = %s order by step_run", run["run"])
    assert [(row["step_name"], row["status"], row["result"]) for row in found] == [
        ("step 001", "ignored", -1), ("step 002", "succeeded", 3), *[("step 003", "failed", -1)] * 3,
    ]  # fmt: skip
    assert {(row["job"], row["name"], row["kind"]) for row in found} == {(jobid, "job", "sql")}
    assert "division by zero" in found[0]["output"]
    assert all(row["duration"] >= timedelta(0) for row in found)


def test_step_that_succeeds_when_tried_again_has_not_failed(connection: Session) -> None:
    connection.execute("create sequence public.attempt")
    jobid = add_job(connection, "job", sql_step("select 1 / (nextval('public.attempt') - 1)"))
    connection.execute("update pgagent.pga_jobstep set jstretries = 2, jstretrydelay = '0'")
    make_due(connection, jobid)
    run_due(connection)
    run = one(connection, "runs")
    assert (run["status"], run["steps"], run["failed_steps"]) == ("succeeded", 1, 0)
    assert value(connection, "select array_agg(status order by step_run) from pgagent.run_steps") == [
        "failed",
        "succeeded",
    ]


# What goes on


def state(conn: Session) -> str:
    return str(one(conn, "running")["state"])


def begin_run(conn: Session, engine: Session, *steps: Step) -> int:
    """Have a job due, and an engine that has begun to run it."""
    jobid = add_job(conn, "job", *steps)
    make_due(conn, jobid)
    run_due(engine, "0 s")
    return jobid


def test_nothing_goes_on(connection: Session) -> None:
    add_ended_runs(connection, add_job(connection, "job"), "sfid")
    assert rows(connection, "select * from pgagent.running") == []


def test_run_that_goes_on(connection: Session, database: Database) -> None:
    hold_steps(connection)
    with engine_of(database) as engine:
        jobid = begin_run(connection, engine, sql_step("select 1", name="a"), sql_step(WAITING_CODE, name="b"))
        run_until_held(engine)
        row = one(connection, "running")
        assert row.pop("duration") > timedelta(0)
        run = runs(connection, jobid)[0]
        assert row == {
            "run": run.id, "job": jobid, "name": "job", "step_name": "b", "state": "running", "since": run.start,
            "agent": engine.info.backend_pid,
            "station": value(connection, "select jagstation from pgagent.pga_jobagent"),
        }  # fmt: skip
        connection.execute("select pgagent.cancel_run(%s)", (run.id,))
        assert state(connection) == "being cancelled"
        release_steps(connection)


def test_ways_of_a_batch_step(connection: Session, database: Database) -> None:
    with engine_of(database) as engine, engine_of(database) as ticker:
        begin_run(connection, engine, batch_step("true", name="script"))
        run_due(engine, "0.1 s")
        assert (state(connection), one(connection, "running")["agent"]) == (
            "waiting for ticker",
            engine.info.backend_pid,
        )
        assert one(connection, "run_steps")["kind"] == "batch"
        jslid = value(ticker, "select jslid from pgagent.take_batch_steps('here', 1)")
        row = one(connection, "running")
        assert (row["state"], row["agent"], row["station"]) == ("with a ticker", ticker.info.backend_pid, "here")
        assert value(ticker, "select pgagent.finish_batch_step(%s, 0, 'done')", jslid) is True
        assert state(connection) == "waiting for engine"
        run_due(engine)
        assert one(connection, "runs")["status"] == "succeeded"


def test_step_that_is_tried_again(connection: Session, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step("select 1 / 0"))
    connection.execute("update pgagent.pga_jobstep set jstretries = 1, jstretrydelay = '1 h'")
    make_due(connection, jobid)
    with engine_of(database) as engine:

        def is_waiting() -> bool:
            run_due(engine, "0.05 s")
            return state(connection) == "waiting for retry"

        wait_until(is_waiting, what="the first attempt to fail")


def test_agent_that_is_gone(connection: Session, database: Database) -> None:
    with engine_of(database) as engine:
        begin_run(connection, engine, sql_step("select pg_sleep(60)"))
        assert state(connection) == "running"
        pid = engine.info.backend_pid
    gone = "select count(*) = 0 from pg_stat_activity where pid = %s"
    wait_until(lambda: bool(value(connection, gone, pid)), what="the engine to end")
    assert state(connection) == "agent gone"

    def is_cleaned_up() -> bool:
        run_due(connection, "0.05 s")
        return rows(connection, "select * from pgagent.running") == []

    wait_until(is_cleaned_up, what="the run to be aborted")
    assert one(connection, "runs")["status"] == "aborted"


def test_batch_step_of_pgagents_daemon(connection: Session, database: Database) -> None:
    """It executes its scripts itself."""
    add_job(connection, "job", batch_step("true"))
    with engine_of(database) as daemon:
        daemon.execute("""
            insert into pgagent.pga_jobagent (jagpid, jaglogintime, jagstation)
            values (pg_backend_pid(), clock_timestamp(), 'old');
            update pgagent.pga_job set jobnextrun = now() - interval '1 s';
            update pgagent.pga_job set jobagentid = pg_backend_pid();
            insert into pgagent.pga_joblog (jlgjobid) select jobid from pgagent.pga_job;
            insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid)
            select l.jlgid, s.jstid from pgagent.pga_joblog l cross join pgagent.pga_jobstep s
        """)
        row = one(connection, "running")
        assert (row["state"], row["agent"], row["station"]) == ("running", daemon.info.backend_pid, "old")


# Calendar and statistics


def test_calendar_of_the_next_day(connection: Session) -> None:
    jobid = add_job(connection, "job")
    add_schedule(connection, jobid, minutes=[15], name="hourly")
    add_schedule(connection, add_job(connection, "disabled", enabled=False))
    make_due(connection, jobid)
    found = rows(connection, "select * from pgagent.calendar")
    assert [row["schedule"] for row in found] == [None, *["hourly"] * 24]
    assert {(row["job"], row["name"]) for row in found} == {(jobid, "job")}
    same = connection.execute("select run, jobid, jobname, jscname from pgagent.calendar()").fetchall()
    assert [tuple(row.values()) for row in found] == same


def test_statistics(connection: Session) -> None:
    jobid = add_job(connection, "job")
    add_ended_runs(connection, jobid, 101 * "s" + "fid")
    add_ended_runs(connection, add_job(connection, "other"), "fff")
    connection.execute("insert into pgagent.pga_joblog (jlgjobid) values (%s)", (jobid,))
    idle = add_job(connection, "idle")
    found = rows(connection, "select * from pgagent.statistics order by job")
    assert found[0] == {
        "job": jobid, "name": "job", "runs": 104, "succeeded": 101, "failed": 2, "aborted": 1,
        "median_duration": timedelta(seconds=51), "p95_duration": timedelta(seconds=96),
        "longest_duration": timedelta(seconds=101), "last_failure": FIRST_START + timedelta(hours=104),
        "last_failure_reason": "reason 104",
    }  # fmt: skip
    assert (found[1]["failed"], found[1]["median_duration"]) == (3, None)
    assert list(found[2].values()) == [idle, "idle", 0, 0, 0, 0, None, None, None, None, None]


# Who sees what


@pytest.fixture
def jobs_of_all(connection: Session, people: People) -> dict[str, int]:
    """A job each of alice, her team, bob and dba, that has run and runs."""
    made = {}
    for owner in ("alice", "team", "bob", "dba"):
        jobid = add_job(connection, owner, sql_step("select 1"))
        add_schedule(connection, jobid, minutes=[15])
        connection.execute("update pgagent.pga_job set jobowner = %s where jobid = %s", (owner, jobid))
        add_ended_runs(connection, jobid, "sf")
        connection.execute("insert into pgagent.pga_joblog (jlgjobid) values (%s)", (jobid,))
        made[owner] = jobid
    connection.execute(
        "insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid)"
        " select l.jlgid, s.jstid from pgagent.pga_joblog l join pgagent.pga_jobstep s on s.jstjobid = l.jlgjobid"
    )
    assert people is not None
    return made


SEEN = {"alice": {"alice", "team"}, "bob": {"bob"}, "dba": {"alice", "team", "bob", "dba"}}


@pytest.mark.usefixtures("jobs_of_all")
@pytest.mark.parametrize("view", VIEWS)
def test_rows_are_those_that_the_reader_may_see(people: People, view: str) -> None:
    for role, names in SEEN.items():
        found = rows(people.log_in(role), f"select name from pgagent.{view}")
        assert {row["name"] for row in found} == names, role
    for role in ("ticker", "stranger"):
        with pytest.raises(DENIED):
            people.log_in(role).execute(f"select from pgagent.{view}".encode())


@pytest.mark.usefixtures("jobs_of_all")
@pytest.mark.parametrize("view", VIEWS)
def test_plans_do_not_outlive_a_role(connection: Session, people: People, view: str) -> None:
    assert people is not None
    connection.execute(f"prepare seen as select count(distinct name) from pgagent.{view}".encode())
    for role, count in (("postgres", 4), ("bob", 1), ("alice", 2), ("bob", 1), ("postgres", 4)):
        connection.execute(f"set role {role}".encode())
        assert value(connection, "execute seen") == count
        connection.execute("reset role")
    connection.execute("deallocate seen")


@pytest.mark.usefixtures("jobs_of_all")
@pytest.mark.parametrize("view", VIEWS)
def test_condition_of_a_reader_sees_no_more_than_the_reader(connection: Session, people: People, view: str) -> None:
    """Even one that the planner takes for very cheap."""
    connection.execute(
        "create function public.tell(text) returns bool language plpgsql cost 0.0000001"
        " as $$ begin raise notice '%', $1; return true; end $$;"
        "grant usage on schema public to public"
    )
    alice = people.log_in("alice")
    told: set[str] = set()
    alice.add_notice_handler(lambda diagnostic: told.add(str(diagnostic.message_primary)))
    alice.execute(f"select * from pgagent.{view} where public.tell(name)".encode())
    assert told == {"alice", "team"}


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_for_reading(connection: Session, people: People, view: str) -> None:
    for statement in (f"delete from pgagent.{view}", f"insert into pgagent.{view} default values"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute(statement.encode())
        with pytest.raises((DENIED, psycopg.errors.ObjectNotInPrerequisiteState)):
            people.log_in("dba").execute(statement.encode())
