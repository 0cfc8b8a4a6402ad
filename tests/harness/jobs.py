"""Jobs as pgAgent's clients make them, with plain INSERTs into the tables, and their logs as typed rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from harness.waiting import wait_until

LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)

WAITING_CODE = "select pg_advisory_lock_shared(4711)"
"""Code of a step that waits while a session of its database holds the steps (``hold_steps``)."""

_ADD_JOB = """
    insert into pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled)
    values (%s, %s, '', %s, %s) returning jobid
"""

_ADD_STEP = """
    insert into pgagent.pga_jobstep
        (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror, jstcode, jstdesc)
    values (%s, %s, %s, %s, %s, %s, %s, %s, '')
"""

_ADD_SCHEDULE = """
    insert into pgagent.pga_schedule
        (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend,
         jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths, jsctimezone, jscinterval)
    values (%s, %s, '', %s, %s, %s, %s::bool[], %s::bool[], %s::bool[], %s::bool[], %s::bool[], %s, %s::interval)
    returning jscid
"""

_RUNS = """
    select jlgid as id, jlgjobid as jobid, jlgstatus::text as status,
           jlgstart as start, jlgduration as duration
    from pgagent.pga_joblog where jlgjobid = %s order by jlgid
"""

_STEP_LOGS = """
    select l.jslid as id, l.jslstatus::text as status, l.jslresult as result, l.jsloutput as output,
           l.jslstart as start, l.jslduration as duration, s.jstname as name
    from pgagent.pga_jobsteplog l join pgagent.pga_jobstep s on s.jstid = l.jsljstid
    where l.jsljlgid = %s order by l.jslid
"""


_START_AFRESH = """
    reset all;
    select pg_advisory_unlock_all();
    delete from pgagent.pga_job;
    delete from pgagent.pga_calendar;
    delete from pgagent._batch_step;
    delete from pgagent._alarm;
    delete from pgagent.event;
    update pgagent.pga_jobclass set jclmaxruns = null;
    update pgagent.settings
    set parallel_runs = default, conninfo = default, connect_timeout = default,
        session_idle_timeout = default, output_limit = default, agent_lease = default, reserved_connections = default,
        total_runs = default, long_run = default, keep_runs = default, keep_failed_runs = default,
        keep_runs_per_job = default, overdue_after = default, event_interval = default, keep_events = default;
    drop schema public cascade;
    create schema public
"""

_HELD_STEPS = """
    select count(*) from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and not l.granted and d.datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A step to be added: ``kind`` is 's' (SQL) or 'b' (batch), ``on_error`` is 'f', 's' or 'i'."""

    kind: str
    code: str
    dbname: str = ""
    connstr: str = ""
    on_error: str = "f"
    name: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """A row of pga_joblog."""

    id: int
    jobid: int
    status: str
    start: datetime
    duration: timedelta | None


@dataclass(frozen=True, slots=True)
class StepLog:
    """A row of pga_jobsteplog with the name of its step."""

    id: int
    status: str
    result: int | None
    output: str | None
    start: datetime
    duration: timedelta | None
    name: str


@dataclass(frozen=True, slots=True)
class Touched:
    """A row that run_due returns."""

    jlgid: int
    jobid: int
    jobname: str
    status: str
    started: datetime
    duration: timedelta
    detail: str


def sql_step(
    code: str,
    *,
    dbname: str = "",
    connstr: str = "",
    on_error: str = "f",
    name: str = "",
    enabled: bool = True,
) -> Step:
    """Describe an SQL step. Without ``dbname`` and ``connstr`` it runs in the database it is added to."""
    return Step("s", code, dbname, connstr, on_error, name, enabled)


def batch_step(code: str, *, on_error: str = "f", name: str = "", enabled: bool = True) -> Step:
    """Describe a batch step."""
    return Step("b", code, on_error=on_error, name=name, enabled=enabled)


def add_job(
    conn: Connection[Any],
    name: str,
    *steps: Step,
    enabled: bool = True,
    host: str = "",
    klass: int = 1,
) -> int:
    """Add a job with its steps in one transaction and return its id; steps run in the order given.

    Steps without a name get one that sorts so.
    """
    with conn.transaction():
        jobid = _id(conn, _ADD_JOB, (klass, name, host, enabled))
        with conn.cursor() as cursor:
            cursor.executemany(_ADD_STEP, [_step_row(conn, jobid, i, step) for i, step in enumerate(steps, 1)])
    return jobid


def add_schedule(
    conn: Connection[Any],
    jobid: int,
    *,
    start: datetime = LONG_AGO,
    end: datetime | None = None,
    minutes: Collection[int] = (),
    hours: Collection[int] = (),
    weekdays: Collection[int] = (),
    monthdays: Collection[int] = (),
    months: Collection[int] = (),
    name: str = "schedule",
    enabled: bool = True,
    zone: str | None = None,
    interval: str | None = None,
) -> int:
    """Add a schedule and return its id.

    ``minutes`` 0-59, ``hours`` 0-23, ``weekdays`` 0-6 from Sunday, ``monthdays`` 1-31 and 32 for the last
    day, ``months`` 1-12; none given allows all.
    """
    arrays = (
        _flags(60, minutes),
        _flags(24, hours),
        _flags(7, weekdays),
        _flags(32, monthdays, first=1),
        _flags(12, months, first=1),
    )
    return _id(conn, _ADD_SCHEDULE, (jobid, name, enabled, start, end, *arrays, zone, interval))


def add_exception(conn: Connection[Any], jscid: int, day: date | None = None, at: time | None = None) -> int:
    """Add an exception to a schedule and return its id."""
    statement = "insert into pgagent.pga_exception (jexscid, jexdate, jextime) values (%s, %s, %s) returning jexid"
    return _id(conn, statement, (jscid, day, at))


def make_due(conn: Connection[Any], *jobids: int) -> None:
    """Make jobs due now, as "Run now" of pgAdmin does."""
    conn.execute("update pgagent.pga_job set jobnextrun = now() where jobid = any(%s)", (list(jobids),))


def runs(conn: Connection[Any], jobid: int) -> list[Run]:
    """Return the runs of a job, oldest first."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(_RUNS, (jobid,)).fetchall()


def step_logs(conn: Connection[Any], run: Run | int) -> list[StepLog]:
    """Return the step log of a run in the order in which the steps began."""
    jlgid = run.id if isinstance(run, Run) else run
    with conn.cursor(row_factory=class_row(StepLog)) as cursor:
        return cursor.execute(_STEP_LOGS, (jlgid,)).fetchall()


def run_due(conn: Connection[Any], max_wait: str = "10 s", station: str | None = None) -> list[Touched]:
    """Call run_due and return its rows."""
    with conn.cursor(row_factory=class_row(Touched)) as cursor:
        statement = "select * from pgagent.run_due(%s::interval, %s)"
        return cursor.execute(statement, (max_wait, station)).fetchall()


def run_job(conn: Connection[Any], *steps: Step) -> tuple[Run, list[StepLog]]:
    """Add a job, run it once to its end and return its run and that run's step log."""
    jobid = add_job(conn, "job", *steps)
    make_due(conn, jobid)
    run_due(conn)
    (run,) = runs(conn, jobid)
    return run, step_logs(conn, run)


def value(conn: Connection[Any], query: str, *parameters: object) -> Any:
    """Return the one value that a query selects."""
    row = conn.execute(query, parameters or None).fetchone()
    assert row is not None, query
    return row[0]


def hold_steps(conn: Connection[Any]) -> None:
    """Make steps with WAITING_CODE in this database wait, until this session releases them or ends."""
    conn.execute("select pg_advisory_lock(4711)")


def release_steps(conn: Connection[Any]) -> None:
    """Let the steps go on that wait for this session."""
    conn.execute("select pg_advisory_unlock(4711)")


def held_steps(conn: Connection[Any]) -> int:
    """Count the steps of this database that wait to be released."""
    return int(value(conn, _HELD_STEPS))


def run_until_held(engine: Connection[Any], steps: int = 1) -> None:
    """Call run_due until so many steps wait to be released."""

    def are_held() -> bool:
        run_due(engine, "0.05 s")
        return held_steps(engine) >= steps

    wait_until(are_held, what=f"{steps} steps to be held")


def start_afresh(conn: Connection[Any]) -> None:
    """Empty a database that several tests use one after another: no jobs, no tables, default settings."""
    conn.execute(_START_AFRESH)


def _step_row(conn: Connection[Any], jobid: int, position: int, step: Step) -> tuple[Any, ...]:
    name = step.name or f"step {position:03}"
    here = step.kind == "s" and not step.dbname and not step.connstr
    dbname = conn.info.dbname if here else step.dbname
    return (jobid, name, step.enabled, step.kind, step.connstr, dbname, step.on_error, step.code)


def _flags(size: int, chosen: Collection[int], first: int = 0) -> list[bool]:
    return [number in chosen for number in range(first, first + size)]


def _id(conn: Connection[Any], statement: str, values: tuple[Any, ...]) -> int:
    row = conn.execute(statement, values).fetchone()
    assert row is not None
    return int(row[0])
