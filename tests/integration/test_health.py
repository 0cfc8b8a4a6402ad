"""health: each matter when all is well and when it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.rows import TupleRow, class_row

from harness import (
    WAITING_CODE,
    Cluster,
    Database,
    Ticker,
    add_job,
    add_schedule,
    batch_step,
    hold_steps,
    make_due,
    run_due,
    run_until_held,
    sql_step,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]

pytestmark = pytest.mark.shared_database

MATTERS = [
    "agents", "overdue jobs", "batch steps", "long runs", "failing jobs", "disabled jobs", "jobs that never run", "lag",
    "next wake-up", "settings", "rights", "logs", "invariants",
]  # fmt: skip

AGENT = """
    insert into pgagent.pga_jobagent (jagpid, jaglogintime, jagstation, jagbackendstart, jagtakesbatch, jagleaseuntil)
    select a.pid, clock_timestamp(), %s, a.backend_start, %s, clock_timestamp() + interval '1 min'
    from pg_stat_activity a where a.pid = pg_backend_pid()
"""

RUNS = """
    insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)
    select %s, s.status, now() - interval '1 day' + s.n * interval '1 h', interval '1 min'
    from unnest(string_to_array(%s, null)) with ordinality s (status, n)
"""


@dataclass(frozen=True, slots=True)
class Matter:
    """A row of health."""

    matter: str
    status: str
    detail: str
    remedy: str | None


def health(conn: Connection) -> dict[str, Matter]:
    with conn.cursor(row_factory=class_row(Matter)) as cursor:
        rows = cursor.execute("select * from pgagent.health()").fetchall()
    assert [row.matter for row in rows] == MATTERS
    for row in rows:
        assert row.status in {"OK", "WARNING", "CRITICAL"}
        assert (row.remedy is None) == (row.status == "OK")
        assert row.detail
    return {row.matter: row for row in rows}


def not_ok(conn: Connection) -> dict[str, str]:
    return {name: row.status for name, row in health(conn).items() if row.status != "OK"}


def overdue_job(conn: Connection, name: str = "job", age: str = "5 min", host: str = "") -> int:
    """Add a job that has been due for so long."""
    jobid = add_job(conn, name, sql_step("select 1"), host=host)
    conn.execute("update pgagent.pga_job set jobnextrun = now() - %s::interval where jobid = %s", (age, jobid))
    return jobid


def register(conn: Connection, station: str = "here", *, takes_batch: bool = False) -> None:
    """Make this session a living agent."""
    conn.execute(AGENT, (station, takes_batch))


def add_runs(conn: Connection, jobid: int, statuses: str) -> None:
    """Log runs of one minute each, one an hour from yesterday on."""
    conn.execute(RUNS, (jobid, statuses))
    conn.execute("update pgagent.pga_job set joblastrun = now() where jobid = %s", (jobid,))


def open_run(conn: Connection, age: str, timeout: str | None = None) -> int:
    """Have this session, a living agent, run a job for so long already; answer the job."""
    jobid = add_job(conn, "long", sql_step("select 1"))
    register(conn)
    conn.execute("update pgagent.pga_job set jobtimeout = %s where jobid = %s", (timeout, jobid))
    with bypassed_triggers(conn):
        conn.execute(
            "update pgagent.pga_job set jobagentid = pg_backend_pid(), joblastrun = now() - %s::interval", (age,)
        )
    conn.execute(
        "insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstart) values (1000, %s, now() - %s::interval)",
        (jobid, age),
    )
    return jobid


@contextmanager
def bypassed_triggers(conn: Connection) -> Iterator[None]:
    """Let the session write what no trigger would let through."""
    conn.execute("set session_replication_role = replica")
    yield
    conn.execute("reset session_replication_role")


@pytest.fixture(autouse=True)
def _emptied(connection: Connection) -> None:
    """What the tests here leave behind beside jobs and settings."""
    connection.execute("""
        delete from pgagent.pga_jobagent;
        update pgagent.settings set timezone = 'UTC';
        update pgagent._prune_walk set passed_run = 0;
        analyze pgagent.pga_joblog, pgagent.pga_jobsteplog
    """)


# The whole


def test_fresh_database_is_healthy(connection: Connection) -> None:
    assert not_ok(connection) == {}


def test_system_at_work_is_healthy(connection: Connection, database: Database) -> None:
    add_schedule(connection, add_job(connection, "job", sql_step("select 1"), batch_step("true")), interval="1 s")
    with Ticker(database.conninfo, "-t", "1"):
        succeeded = "select count(*) from pgagent.pga_joblog where jlgstatus = 's'"
        wait_until(lambda: bool(value(connection, succeeded)), what="a run to succeed")
        assert not_ok(connection) == {}
        assert "1 tickers" in health(connection)["agents"].detail
        connection.execute("update pgagent.pga_job set jobenabled = false")
        wait_until(lambda: value(connection, "select count(*) from pgagent.pga_job where jobagentid is not null") == 0)


def test_session_list_of_an_older_statement_is_not_used(connection: Connection, database: Database) -> None:
    with connection.transaction():
        connection.execute("select count(*) from pg_stat_activity")
        with psycopg.connect(database.conninfo, autocommit=True) as other:
            register(other)
            assert health(connection)["agents"].detail == "alive: 1 engines, 0 tickers"


def test_only_the_first_few_are_named(connection: Connection) -> None:
    register(connection)
    for n in range(7):
        overdue_job(connection, f"job {n}", f"{20 - n} min")
    detail = health(connection)["overdue jobs"].detail
    assert [name in detail for name in ('"job 0"', '"job 4"', '"job 5"')] == [True, True, False]
    assert detail.startswith("7 due for more than a minute: ")
    assert detail.endswith("; and 2 more")


def test_rights_that_lead_to_more_rights(connection: Connection) -> None:
    """Such as a GRANT ALL ON ALL TABLES brings."""
    with connection.transaction(force_rollback=True):
        connection.execute("create role clerk")
        connection.execute("grant all on pgagent.pga_job to clerk")
        connection.execute("grant all on schema public to clerk")
        connection.execute("grant usage on schema pgagent to clerk")
        connection.execute("set local role clerk")
        connection.execute(
            "create function public.f() returns trigger language plpgsql as $$ begin return new; end $$;"
            "create trigger evil before update on pgagent.pga_job for each row execute function public.f()"
        )
        connection.execute("reset role")
        rights = health(connection)["rights"]
        assert rights.status == "CRITICAL"
        for item in ('"clerk" has TRIGGER on pga_job', '"clerk" has TRUNCATE on pga_job', 'trigger "evil" on pga_job'):
            assert item in rights.detail


def test_role_that_may_read_and_call_is_enough(connection: Connection) -> None:
    overdue_job(connection)
    with connection.transaction(force_rollback=True):
        connection.execute("create role watcher")
        connection.execute("grant usage on schema pgagent to watcher")
        connection.execute("grant select on all tables in schema pgagent to watcher")
        connection.execute("grant execute on all functions in schema pgagent to watcher")
        connection.execute("set local role watcher")
        assert health(connection)["overdue jobs"].status == "WARNING"


# Agents


def test_scheduled_jobs_without_an_agent(connection: Connection) -> None:
    add_schedule(connection, add_job(connection, "job", sql_step("select 1")), hours=[3])
    agents = health(connection)["agents"]
    assert agents.status == "WARNING"
    assert agents.detail == "alive: 0 engines, 0 tickers; jobs are scheduled"
    register(connection)
    assert health(connection)["agents"].detail == "alive: 1 engines, 0 tickers"


def test_idle_ticker_without_batch_steps_counts(connection: Connection, database: Database) -> None:
    add_schedule(connection, add_job(connection, "job", sql_step("select 1")), hours=[3])
    with Ticker(database.conninfo, "--no-batch"):
        wait_until(lambda: health(connection)["agents"].status == "OK", what="the ticker to connect")
        assert health(connection)["agents"].detail.endswith("; a ticker without batch steps is connected")
    wait_until(lambda: health(connection)["agents"].status == "WARNING", what="the ticker's session to end")


@pytest.mark.parametrize("alive", [False, True])
def test_jobs_are_due_and_none_is_claimed(connection: Connection, alive: bool) -> None:
    if alive:
        register(connection)
    jobid = overdue_job(connection)
    agents = health(connection)["agents"]
    assert agents.status == "CRITICAL"
    assert f'job "job" ({jobid}) has been due since' in agents.detail
    assert ("run_due claims nothing" in (agents.remedy or "")) == alive
    connection.execute(
        "insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration) values (%s, 's', '0')", (jobid,)
    )
    assert health(connection)["agents"].status == ("OK" if alive else "WARNING")


def test_engines_that_are_busy_do_not_stand_still(connection: Connection) -> None:
    open_run(connection, "5 min")
    overdue_job(connection)
    assert health(connection)["agents"].status == "CRITICAL"
    connection.execute("update pgagent.settings set parallel_runs = 1")
    found = health(connection)
    assert found["agents"].status == "OK"
    assert found["overdue jobs"].detail.endswith("every engine has parallel_runs runs")
    assert "Raise pgagent.settings.parallel_runs" in (found["lag"].remedy or "")


def test_dead_agent_that_nobody_cleans_up_after(connection: Connection, database: Database) -> None:
    hold_steps(connection)
    make_due(connection, add_job(connection, "job", sql_step(WAITING_CODE)))
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_until_held(engine)
        assert not_ok(connection) == {}
        pid = engine.info.backend_pid
    gone = "select count(*) = 0 from pg_stat_activity where pid = %s"
    wait_until(lambda: bool(value(connection, gone, pid)), what="the engine to end")
    register(connection)
    assert health(connection)["agents"].status == "OK"
    connection.execute("update pgagent.pga_jobagent set jagleaseuntil = now() - interval '1 min'")
    connection.execute(
        "update pgagent.pga_jobagent set jagleaseuntil = now() + interval '1 min' where jagpid = pg_backend_pid()"
    )
    agents = health(connection)["agents"]
    assert agents.status == "WARNING"
    assert agents.detail == "alive: 1 engines, 0 tickers; gone, and not cleaned up after: 1"
    assert health(connection)["invariants"].status == "OK"


# Overdue jobs


def reason(conn: Connection, jobid: int) -> str:
    """Why health says that the only overdue job does not run."""
    overdue = health(conn)["overdue jobs"]
    assert overdue.status == "WARNING"
    assert overdue.detail.startswith(f'1 due for more than a minute: "job" ({jobid}) since ')
    return overdue.detail.split(", ", 1)[1]


def test_job_that_has_just_become_due_is_not_overdue(connection: Connection) -> None:
    overdue_job(connection, age="30 s")
    assert health(connection)["overdue jobs"].status == "OK"


def test_overdue_without_agents(connection: Connection) -> None:
    assert reason(connection, overdue_job(connection)) == "no agent is alive"


def test_overdue_for_no_reason_to_be_seen(connection: Connection) -> None:
    register(connection)
    assert reason(connection, overdue_job(connection)) == "no reason to be seen"


def test_overdue_for_want_of_a_ticker_on_its_host(connection: Connection) -> None:
    register(connection)
    jobid = overdue_job(connection, host="elsewhere")
    assert reason(connection, jobid) == 'no agent on host "elsewhere"'
    assert not_ok(connection) == {"overdue jobs": "WARNING"}


def test_overdue_because_of_a_lock(connection: Connection) -> None:
    holder = open_run(connection, "5 min")
    jobid = overdue_job(connection)
    connection.execute("update pgagent.pga_job set joblocks = '{disk}'")
    assert reason(connection, jobid) == f'job "long" ({holder}) holds lock "disk"'
    assert not_ok(connection) == {"overdue jobs": "WARNING"}


def test_overdue_because_of_a_limit_of_its_class(connection: Connection) -> None:
    open_run(connection, "5 min")
    jobid = overdue_job(connection)
    connection.execute("update pgagent.pga_jobclass set jclmaxruns = 1")
    assert reason(connection, jobid) == '1 jobs of class "Routine Maintenance" run, which is its limit'


def test_overdue_because_of_total_runs(connection: Connection) -> None:
    open_run(connection, "5 min")
    jobid = overdue_job(connection)
    connection.execute("update pgagent.settings set total_runs = 1")
    assert reason(connection, jobid) == "1 jobs run, which is the limit total_runs"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("select from pgagent.pga_job for update", "its row"),
        ("update pgagent.pga_job set jobdesc = 'changed'", "its row"),
        ("lock table pgagent.pga_job in share row exclusive mode", "table pga_job"),
    ],
)
def test_overdue_because_of_a_transaction(
    connection: Connection, database: Database, statement: str, what: str
) -> None:
    register(connection)
    jobid = overdue_job(connection)
    with psycopg.connect(database.conninfo) as client:
        client.execute(statement)
        assert reason(connection, jobid) == f"{what} is locked by the session with pid {client.info.backend_pid}"
    assert reason(connection, jobid) == "no reason to be seen"


# Batch steps


def parked_run(conn: Connection, age: str, host: str = "") -> None:
    """Have a run wait for a ticker for so long; this session is its agent."""
    jobid = open_run(conn, age)
    conn.execute(
        "insert into pgagent._batch_step (jslid, jlgid, jobid, jobname, jobhostagent, started, agentid, steps, owner,"
        " due) values (1, 1000, %s, 'long', %s, now() - %s::interval, pg_backend_pid(), '[]', 'postgres', now())",
        (jobid, host, age),
    )


def test_batch_step_that_has_just_come(connection: Connection) -> None:
    parked_run(connection, "30 s")
    assert not_ok(connection) == {}


@pytest.mark.parametrize(("host", "called"), [("", "any host"), ("elsewhere", 'host "elsewhere"')])
def test_batch_step_without_a_ticker(connection: Connection, host: str, called: str) -> None:
    parked_run(connection, "5 min", host)
    steps = health(connection)["batch steps"]
    assert steps.status == "WARNING"
    assert steps.detail.startswith(f"1 hosts where batch steps have waited for more than a minute: {called}: 1 since ")
    assert steps.detail.endswith(", no ticker")
    connection.execute("update pgagent.pga_jobagent set jagtakesbatch = true, jagstation = %s", (host,))
    assert health(connection)["batch steps"].detail.endswith(", its ticker is busy or stuck")
    connection.execute("update pgagent._batch_step set taken = true")
    assert health(connection)["batch steps"].status == "OK"


# Long runs


@pytest.mark.parametrize(("age", "status"), [("90 s", "OK"), ("5 min", "CRITICAL")])
def test_run_over_its_time(connection: Connection, age: str, status: str) -> None:
    jobid = open_run(connection, age, "1 min")
    runs = health(connection)["long runs"]
    assert runs.status == status
    if status != "OK":
        assert runs.detail == f'1 too long: run 1000 of "long" ({jobid}) for 00:05:00, jobtimeout is 00:01:00'


def test_daemon_of_pgagent_knows_no_time_limit(connection: Connection) -> None:
    open_run(connection, "5 min", "1 min")
    connection.execute("update pgagent.pga_jobagent set jagbackendstart = null")
    assert health(connection)["long runs"].status == "OK"


@pytest.mark.parametrize(
    ("age", "history", "status"), [("9 min", "ss", "OK"), ("11 min", "sf", "WARNING"), ("1 h", "ff", "OK")]
)
def test_run_longer_than_is_usual(connection: Connection, age: str, history: str, status: str) -> None:
    jobid = open_run(connection, age)
    add_runs(connection, jobid, history)
    runs = health(connection)["long runs"]
    assert runs.status == status
    if status != "OK":
        assert runs.detail.endswith("for 00:11:00, the longest of the last that succeeded took 00:01:00")


def test_only_the_last_20_succeeded_runs_say_what_is_usual(connection: Connection) -> None:
    jobid = open_run(connection, "30 min")
    add_runs(connection, jobid, "s")
    connection.execute("update pgagent.pga_joblog set jlgduration = '1 h' where jlgid <> 1000")
    add_runs(connection, jobid, "s" * 19)
    assert health(connection)["long runs"].status == "OK"
    add_runs(connection, jobid, "s")
    assert health(connection)["long runs"].status == "WARNING"


# Failures


@pytest.mark.parametrize(
    ("history", "status"),
    [("fff", "WARNING"), ("sfid", "WARNING"), ("ffs", "OK"), ("sff", "OK"), ("ff", "OK"), ("fsff", "OK")],
)
def test_job_that_fails_in_a_row(connection: Connection, history: str, status: str) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    add_runs(connection, jobid, history)
    jobs = health(connection)["failing jobs"]
    assert jobs.status == status
    if status != "OK":
        last = value(connection, "select max(jlgid) from pgagent.pga_joblog")
        assert f'"job" ({jobid}), the last was run {last} at ' in jobs.detail


def test_job_that_failed_long_ago(connection: Connection) -> None:
    """Before the latest runs, which are looked at first."""
    failed = add_job(connection, "failed", sql_step("select 1"))
    add_runs(connection, failed, "fff")
    add_runs(connection, add_job(connection, "mended", sql_step("select 1")), "fffs")
    connection.execute("update pgagent.pga_job set joblastrun = now() - interval '1 day'")
    connection.execute(
        "insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgduration) select 1000000 + n, %s, 's', '0'"
        " from generate_series(1, 100000) n",
        (add_job(connection, "busy", sql_step("select 1")),),
    )
    jobs = health(connection)["failing jobs"]
    assert jobs.detail.startswith(f'1 whose last three runs or more have not succeeded: "failed" ({failed}), ')


def test_run_that_goes_on_does_not_hide_failures(connection: Connection) -> None:
    jobid = open_run(connection, "1 min")
    add_runs(connection, jobid, "fff")
    assert health(connection)["failing jobs"].status == "WARNING"


def test_disabled_job_does_not_fail(connection: Connection) -> None:
    add_runs(connection, add_job(connection, "job", sql_step("select 1"), enabled=False), "fff")
    assert not_ok(connection) == {}


def test_job_that_the_engine_has_disabled(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1/0"))
    connection.execute("update pgagent.pga_job set jobmaxfailures = 1")
    make_due(connection, jobid)
    run_due(connection)
    jobs = health(connection)["disabled jobs"]
    assert jobs.status == "WARNING"
    assert jobs.detail.startswith(f'1 disabled by the engine: "job" ({jobid}), 1 runs in a row have failed')
    connection.execute("update pgagent.pga_job set jobenabled = true")
    assert not_ok(connection) == {}


# Jobs that never run


def test_job_that_never_runs(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    jscid = add_schedule(connection, jobid, monthdays=[30], months=[2], name="leap")
    jobs = health(connection)["jobs that never run"]
    assert jobs.status == "WARNING"
    assert jobs.detail == f'1 without a next run: "job" ({jobid}) with schedule "leap" ({jscid})'
    connection.execute("update pgagent.pga_schedule set jscmonths = default")
    assert health(connection)["jobs that never run"].status == "OK"


def test_job_with_an_infinite_next_run(connection: Connection) -> None:
    add_schedule(connection, add_job(connection, "job", sql_step("select 1")))
    connection.execute("update pgagent.pga_job set jobnextrun = 'infinity'")
    assert health(connection)["jobs that never run"].status == "WARNING"


@pytest.mark.parametrize("change", ["jscend = now() - interval '1 h'", "jscenabled = false"])
def test_schedule_that_is_over_is_no_fault(connection: Connection, change: str) -> None:
    add_schedule(connection, add_job(connection, "job", sql_step("select 1")))
    connection.execute(f"update pgagent.pga_schedule set {change}")
    assert value(connection, "select jobnextrun from pgagent.pga_job") is None
    assert not_ok(connection) == {}


# Lag and next wake-up


@pytest.mark.parametrize(("age", "status"), [("30 s", "OK"), ("5 min", "WARNING"), ("20 min", "CRITICAL")])
def test_lag(connection: Connection, age: str, status: str) -> None:
    register(connection)
    jobid = overdue_job(connection, age=age)
    lag = health(connection)["lag"]
    assert lag.status == status
    assert f'job "job" ({jobid}) has waited longest for an agent, since ' in lag.detail


def test_job_whose_row_is_locked_is_no_lag(connection: Connection, database: Database) -> None:
    register(connection)
    overdue_job(connection)
    with psycopg.connect(database.conninfo) as client:
        client.execute("select from pgagent.pga_job for update")
        assert not_ok(connection) == {"overdue jobs": "WARNING"}


def test_next_wakeup(connection: Connection) -> None:
    assert health(connection)["next wake-up"].detail == "nothing is scheduled"
    jobid = add_job(connection, "job", sql_step("select 1"), host="here")
    connection.execute("update pgagent.pga_job set jobnextrun = '2199-01-01 12:00:00+00'")
    expected = f'2199-01-01 12:00:00+00, for job "job" ({jobid}) on host "here"'
    assert health(connection)["next wake-up"].detail == expected
    make_due(connection, jobid)
    assert health(connection)["next wake-up"].detail == f'now, for job "job" ({jobid}) on host "here"'


def test_next_wakeup_for_a_batch_step_that_has_ended(connection: Connection) -> None:
    parked_run(connection, "1 s")
    connection.execute("update pgagent._batch_step set outcome = 's'")
    assert health(connection)["next wake-up"].detail == "now, for runs whose batch step has ended"


# Settings


@pytest.mark.parametrize(
    ("change", "status", "fault"),
    [
        ("timezone = 'Atlantis/Lost'", "CRITICAL", 'timezone "Atlantis/Lost" is not known'),
        ("conninfo = 'user=x'", "OK", "nothing is wrong with the settings"),
        ("conninfo = 'host=localhost'", "OK", "nothing is wrong with the settings"),
        ("conninfo = 'port=1'", "CRITICAL", "conninfo names port 1, which this server does not use"),
        ("conninfo = 'host=/nowhere'", "CRITICAL", "conninfo names host /nowhere, which this server does not use"),
        ("conninfo = 'password'", "CRITICAL", "conninfo is not a valid connection string: missing"),
        ("parallel_runs = 1000", "WARNING", "parallel_runs (1000), reserved_connections (3) and the server's reserved"),
        ("total_runs = 0", "WARNING", "total_runs is 0: no job runs"),
        ("keep_runs = null, keep_runs_per_job = null", "OK", "nothing is wrong with the settings"),
    ],
)
def test_setting(connection: Connection, change: str, status: str, fault: str) -> None:
    with bypassed_triggers(connection):
        connection.execute(f"update pgagent.settings set {change}")
    settings = health(connection)["settings"]
    assert settings.status == status
    assert settings.detail.startswith(fault)


def test_conninfo_of_this_server(connection: Connection, cluster: Cluster) -> None:
    conninfo = f"host={cluster.directory}/ port={cluster.port} user=postgres"
    connection.execute("update pgagent.settings set conninfo = %s", (conninfo,))
    assert not_ok(connection) == {}


def test_python_without_psycopg(database: Database) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        conn.execute("do $$ import sys; sys.modules['psycopg'] = None $$ language plpython3u")
        settings = health(conn)["settings"]
    assert settings.status == "CRITICAL"
    assert settings.detail.startswith("the server's Python cannot read conninfo: import of psycopg")


def test_several_faults_of_settings(connection: Connection) -> None:
    connection.execute("update pgagent.settings set total_runs = 0, conninfo = 'port=1'")
    settings = health(connection)["settings"]
    assert settings.status == "CRITICAL"
    assert "; total_runs is 0" in settings.detail


def test_zone_of_a_schedule_that_is_not_known(connection: Connection) -> None:
    add_schedule(connection, add_job(connection, "job", sql_step("select 1"), enabled=False))
    with bypassed_triggers(connection):
        connection.execute("update pgagent.pga_schedule set jsctimezone = 'Atlantis/Lost'")
    settings = health(connection)["settings"]
    assert (settings.status, settings.detail) == ("CRITICAL", 'jsctimezone "Atlantis/Lost" of 1 schedules is not known')


@pytest.mark.parametrize("kept", ["keep_runs", "keep_failed_runs"])
def test_logs_that_are_kept_for_ever(connection: Connection, kept: str) -> None:
    connection.execute(f"update pgagent.settings set {kept} = null, keep_runs_per_job = null")
    connection.execute("update pg_class set reltuples = 2000000 where oid = 'pgagent.pga_joblog'::regclass")
    found = health(connection)
    assert found["settings"].detail.startswith(f"{kept} is null and keep_runs_per_job, too: about 2000000 logs")
    assert found["logs"].detail.startswith("about 2000000 runs and ")


def test_standby(new_cluster: Callable[..., Cluster]) -> None:
    primary = new_cluster()
    made = primary.create_database("jobs")
    standby = Cluster()
    try:
        with primary.connect(made.name) as writer:
            add_schedule(writer, add_job(writer, "job", sql_step("select 1")), hours=[3])
            register(writer)
            standby.follow(primary)
        standby.start()
        with standby.connect(made.name) as reader:
            assert not_ok(reader) == {"settings": "WARNING"}
            assert health(reader)["settings"].detail == "the server is a standby, which runs nothing"
    finally:
        standby.remove()


# Logs


def test_logs(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    add_runs(connection, jobid, "sss")
    connection.execute(
        "update pgagent.pga_joblog set jlgstart = '2020-01-01 00:00+00'"
        " where jlgid = (select min(jlgid) from pgagent.pga_joblog)"
    )
    connection.execute("analyze pgagent.pga_joblog, pgagent.pga_jobsteplog")
    logs = health(connection)["logs"]
    assert logs.status == "WARNING"
    assert logs.detail.startswith("about 3 runs and about 0 step logs, ")
    assert logs.detail.endswith(
        " the oldest of 2020-01-01 00:00:00+00; of the first 1000 runs, 1 should have been deleted"
    )
    connection.execute("select pgagent.prune_runs(10)")
    assert not_ok(connection) == {}


def test_last_run_of_a_job_may_be_old(connection: Connection) -> None:
    add_runs(connection, add_job(connection, "job", sql_step("select 1")), "s")
    connection.execute("update pgagent.pga_joblog set jlgstart = '2020-01-01'")
    assert not_ok(connection) == {}


# Invariants


def test_broken_invariant(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    with bypassed_triggers(connection):
        connection.execute("update pgagent.pga_job set jobrequested = now()")
    invariants = health(connection)["invariants"]
    assert invariants.status == "CRITICAL"
    assert invariants.detail == f"1 broken: job {jobid}: a free job has no request left over"


def test_invariants_are_not_judged_by_an_old_snapshot(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        assert not_ok(connection) == {"invariants": "WARNING"}
