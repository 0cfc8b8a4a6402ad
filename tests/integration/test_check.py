"""check: each matter, what it says, and that what it advises helps."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, class_row

from harness import (
    Cluster,
    Database,
    Step,
    Ticker,
    add_job,
    add_schedule,
    batch_step,
    run_due,
    sql_step,
    value,
    wait_until,
)
from harness.people import People

Session = psycopg.Connection[TupleRow]

pytestmark = pytest.mark.shared_database

AGENT = """
    insert into pgagent.pga_jobagent (jagpid, jaglogintime, jagstation, jagbackendstart, jagtakesbatch, jagleaseuntil)
    select a.pid, clock_timestamp(), %s, case when %s then a.backend_start end, %s, clock_timestamp() + interval '1 min'
    from pg_stat_activity a where a.pid = pg_backend_pid()
"""

DEFINITION = "select pg_get_functiondef('pgagent._ticker_command(text)'::regprocedure)"


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of check."""

    matter: str
    severity: str
    object: str
    detail: str
    remedy: str


def check(conn: Session) -> list[Finding]:
    with conn.cursor(row_factory=class_row(Finding)) as cursor:
        found = cursor.execute("select * from pgagent.check()").fetchall()
    order = [("ERROR", "WARNING", "INFO").index(finding.severity) for finding in found]
    assert order == sorted(order)
    assert all(finding.detail and finding.remedy for finding in found)
    return found


def only(conn: Session) -> Finding:
    (finding,) = check(conn)
    return finding


@contextmanager
def agent(database: Database, station: str = "here", *, takes_batch: bool = True, ours: bool = True) -> Iterator[int]:
    """A living agent: a session that has registered itself."""
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        conn.execute(AGENT, (station, ours, takes_batch))
        yield conn.info.backend_pid
        conn.execute("delete from pgagent.pga_jobagent where jagpid = pg_backend_pid()")


@pytest.fixture
def ticker(connection: Session, database: Database) -> Iterator[None]:
    """A ticker on host "here", so that nothing is to be said of agents."""
    connection.execute("delete from pgagent.pga_jobagent")
    with agent(database):
        yield


def scheduled(conn: Session, name: str, *steps: Step, host: str = "", enabled: bool = True) -> int:
    """Add a job with nothing amiss, unless its steps are."""
    jobid = add_job(conn, name, *(steps or (sql_step("select 1"),)), host=host, enabled=enabled)
    add_schedule(conn, jobid, hours=[3])
    return jobid


@pytest.mark.usefixtures("ticker")
def test_nothing_is_wrong(connection: Session) -> None:
    assert check(connection) == []
    scheduled(connection, "job", sql_step("select 1"), batch_step("true"))
    scheduled(connection, "far", sql_step("select 1", connstr="host=elsewhere"), host="here")
    assert check(connection) == []


# Jobs and schedules


@pytest.mark.usefixtures("ticker")
def test_job_without_steps(connection: Session) -> None:
    jobid = scheduled(connection, "job", sql_step("select 1", enabled=False))
    assert only(connection) == Finding(
        "no steps", "WARNING", f'job "job" ({jobid})',
        "it is enabled and has no enabled step: its runs succeed and do nothing",
        f"select pgagent.add_step({jobid}, sql => '...'), or select pgagent.disable_job({jobid})",
    )  # fmt: skip
    connection.execute("update pgagent.pga_job set jobenabled = false")
    assert check(connection) == []


@pytest.mark.usefixtures("ticker")
def test_job_that_nothing_has_run_or_will_run(connection: Session) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    add_schedule(connection, jobid, enabled=False)
    finding = only(connection)
    assert (finding.matter, finding.severity, finding.object) == ("no schedule", "INFO", f'job "job" ({jobid})')
    connection.execute("insert into pgagent.pga_joblog (jlgjobid, jlgstatus) values (%s, 's')", (jobid,))
    assert check(connection) == []


@pytest.mark.usefixtures("ticker")
def test_job_that_the_engine_has_disabled(connection: Session) -> None:
    jobid = scheduled(connection, "job")
    connection.execute("update pgagent.pga_job set jobenabled = false, jobdisabledreason = '3 runs failed'")
    finding = only(connection)
    assert (finding.matter, finding.severity) == ("disabled", "WARNING")
    assert finding.detail == "the engine has disabled it: 3 runs failed"
    assert finding.remedy.endswith(f"select pgagent.enable_job({jobid})")


@pytest.mark.usefixtures("ticker")
def test_jobs_of_the_same_name(connection: Session, people: People) -> None:
    assert people is not None
    ids = [scheduled(connection, "job") for _ in range(2)]
    finding = only(connection)
    assert (finding.matter, finding.severity, finding.object) == ("same name", "WARNING", 'job "job"')
    assert finding.detail == f'2 jobs have this name: {ids[0]} of role "postgres"; {ids[1]} of role "postgres"'
    assert finding.remedy == f"select pgagent.alter_job({ids[1]}, new_name => '...')"
    connection.execute("update pgagent.pga_job set jobowner = 'alice' where jobid = %s", (ids[0],))
    assert only(connection).severity == "INFO"


@pytest.mark.usefixtures("ticker")
def test_class_whose_jobs_do_not_run(connection: Session) -> None:
    connection.execute("update pgagent.pga_jobclass set jclmaxruns = 0 where jclid = 1")
    assert check(connection) == []
    jobid = scheduled(connection, "job")
    finding = only(connection)
    assert (finding.matter, finding.object) == ("class limit", 'class "Routine Maintenance"')
    assert f'"job" ({jobid})' in finding.detail
    connection.execute(finding.remedy.encode())
    assert check(connection) == []


@pytest.mark.usefixtures("ticker")
def test_schedules_that_never_run(connection: Session) -> None:
    connection.execute("set client_min_messages = error")
    jobid = scheduled(connection, "job")
    jscid = add_schedule(connection, jobid, monthdays=[30], months=[2], name="leap")
    add_schedule(connection, jobid, monthdays=[30], months=[2], enabled=False)
    ended = add_schedule(connection, jobid)
    connection.execute("update pgagent.pga_schedule set jscend = now() - interval '1 day' where jscid = %s", (ended,))
    finding = only(connection)
    assert (finding.matter, finding.severity) == ("never runs", "WARNING")
    assert finding.object == f'schedule "leap" ({jscid}) of job "job" ({jobid})'
    assert "February" in finding.detail
    connection.execute(f"delete from pgagent.pga_schedule where jscid = {jscid}".encode())
    assert check(connection) == []


# Steps


@pytest.mark.usefixtures("ticker")
def test_database_that_is_missing(connection: Session) -> None:
    jobid = scheduled(connection, "job", sql_step("select 1", dbname="no such db", name="one"))
    finding = only(connection)
    assert (finding.matter, finding.severity) == ("missing database", "ERROR")
    assert finding.object.endswith(f' of job "job" ({jobid})')
    assert finding.object.startswith('step "one" (')
    assert finding.detail == 'there is no database "no such db" in this server'
    assert finding.remedy.endswith('or create database "no such db"')


@pytest.mark.usefixtures("ticker")
def test_database_that_takes_no_connections(connection: Session) -> None:
    scheduled(connection, "job", sql_step("select 1", dbname="template0"))
    finding = only(connection)
    assert finding.detail == 'database "template0" takes no connections'
    assert finding.remedy.endswith("or alter database template0 allow_connections true")


@pytest.mark.parametrize(
    ("names", "detail", "remedy"),
    [
        (("1 a", "2 b", "9 c"), None, None),
        (("02 a", "10 b"), None, None),
        (("load", "10 x", "vacuum"), None, None),
        (("2 b", "10 x"), '"10 x" comes before "2 b"', "name => '02 b'"),
        (("1 a", "2 b", "10 x", "11 y"), '"11 y" comes before "2 b"', "name => '02 b'"),
        (("step 9", "step 100", "Step 1"), '"step 100" comes before "step 9"', "name => 'step 009'"),
        (("a1", "b0"), None, None),
        (("99999999999999999999 x", "1 y"), None, None),
    ],
)
@pytest.mark.usefixtures("ticker")
def test_order_of_steps(connection: Session, names: tuple[str, ...], detail: str | None, remedy: str | None) -> None:
    scheduled(connection, "job", *(sql_step("select 1", name=name) for name in names))
    if detail is None or remedy is None:
        assert check(connection) == []
    else:
        finding = only(connection)
        assert (finding.matter, finding.severity) == ("order of steps", "WARNING")
        assert finding.detail.endswith(detail)
        assert remedy in finding.remedy


@pytest.mark.usefixtures("ticker")
def test_owner_who_may_not_run_programs(connection: Session, people: People) -> None:
    assert people is not None
    jobid = scheduled(connection, "job")
    connection.execute("update pgagent.pga_job set jobowner = 'alice'")
    connection.execute("grant pg_execute_server_program to alice")
    connection.execute(
        "insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) values (%s, 'b', 'b', 'true')", (jobid,)
    )
    assert check(connection) == []
    connection.execute("revoke pg_execute_server_program from alice")
    finding = only(connection)
    assert (finding.matter, finding.severity) == ("batch step", "ERROR")
    connection.execute(finding.remedy.encode())
    assert check(connection) == []


# Owners


@pytest.mark.usefixtures("ticker")
def test_owner_who_is_missing(connection: Session) -> None:
    jobid = scheduled(connection, "job")
    connection.execute("set session_replication_role = replica")
    connection.execute("update pgagent.pga_job set jobowner = 'leaver'")
    connection.execute("reset session_replication_role")
    finding = only(connection)
    assert (finding.matter, finding.severity, finding.object) == ("missing role", "ERROR", 'role "leaver"')
    assert finding.detail == f'it does not exist, and owns job "job" ({jobid})'


@pytest.mark.usefixtures("ticker")
def test_owner_who_may_not_log_in(connection: Session, people: People) -> None:
    """It is told once, not tried as well; jobs whose steps log in elsewhere are no matter."""
    assert people is not None
    scheduled(connection, "job")
    connection.execute("update pgagent.pga_job set jobowner = 'team'")
    finding = only(connection)
    assert (finding.matter, finding.severity, finding.object) == ("login", "ERROR", 'role "team"')
    connection.execute("alter role team login")
    assert check(connection) == []
    connection.execute("alter role team nologin")
    connection.execute("update pgagent.pga_jobstep set jstdbname = '', jstconnstr = 'host=elsewhere password=x'")
    assert check(connection) == []


@pytest.mark.usefixtures("ticker")
def test_owner_who_may_log_in_and_cannot(connection: Session, people: People) -> None:
    """As if its password were asked for: what only a try shows."""
    assert people is not None
    scheduled(connection, "job")
    scheduled(connection, "job of postgres")
    connection.execute("update pgagent.pga_job set jobowner = 'alice' where jobname = 'job'")
    connection.execute("alter role alice connection limit 0")
    finding = only(connection)
    assert (finding.matter, finding.severity, finding.object) == ("login", "ERROR", 'role "alice"')
    assert finding.detail.startswith("it cannot log in to database ")
    assert "too many connections for role" in finding.detail
    assert finding.remedy.startswith("select * from pgagent.check_owner('alice', ")


@pytest.mark.usefixtures("ticker")
def test_owner_who_may_not_connect_to_a_database(connection: Session, people: People, database: Database) -> None:
    assert people is not None
    scheduled(connection, "job", sql_step("select 1"), sql_step("select 2"))
    connection.execute("update pgagent.pga_job set jobowner = 'alice'")
    connection.execute(f"revoke connect on database {database.name} from public".encode())
    finding = only(connection)
    assert (finding.matter, finding.object) == ("right to connect", 'role "alice"')
    assert finding.remedy == f"grant connect on database {database.name} to alice"
    connection.execute(finding.remedy.encode())
    assert check(connection) == []
    connection.execute(f"grant connect on database {database.name} to public".encode())


# Agents


@pytest.fixture
def no_agent(connection: Session) -> None:
    connection.execute("delete from pgagent.pga_jobagent")


@pytest.mark.usefixtures("no_agent")
def test_nobody_runs_jobs(connection: Session, database: Database) -> None:
    assert check(connection) == []
    scheduled(connection, "job")
    finding = only(connection)
    assert (finding.matter, finding.severity, finding.object) == ("no agent", "WARNING", "agents")
    assert finding.remedy == f"pgagent-ticker dbname={database.name}"
    with Ticker(database.conninfo, "--no-batch"):
        wait_until(lambda: check(connection) == [], what="the ticker to connect")
    wait_until(lambda: check(connection) == [finding], what="the ticker's session to end")


@pytest.mark.usefixtures("no_agent")
def test_batch_steps_without_a_ticker_on_their_host(connection: Session, database: Database) -> None:
    anywhere = scheduled(connection, "anywhere", batch_step("true"))
    there = [scheduled(connection, f"there {n}", batch_step("true"), host="there") for n in range(7)]
    scheduled(connection, "disabled", batch_step("true"), host="elsewhere", enabled=False)
    assert [finding.object for finding in check(connection)] == ["agents", "any host", 'host "there"']
    with agent(database, takes_batch=False):
        first, second = check(connection)
        assert (first.matter, first.severity, first.object) == ("no ticker", "WARNING", "any host")
        assert first.detail.endswith(f'steps of job "anywhere" ({anywhere})')
        assert second.detail.endswith(f'"there 4" ({there[4]}); and 2 more')
        assert second.remedy == f"pgagent-ticker --station there dbname={database.name}, without --no-batch"
    with agent(database, "here"):
        assert [finding.object for finding in check(connection)] == ['host "there"']
    with agent(database, "there"):
        assert check(connection) == []


@pytest.mark.usefixtures("no_agent")
def test_agent_whose_session_has_ended_counts_for_nothing(connection: Session) -> None:
    scheduled(connection, "job", batch_step("true"))
    connection.execute(
        "insert into pgagent.pga_jobagent (jagpid, jagstation, jagbackendstart, jagtakesbatch)"
        " values (pg_backend_pid(), 'here', '2020-01-01', true)"
    )
    assert [finding.matter for finding in check(connection)] == ["no agent", "no ticker"]


@pytest.mark.usefixtures("no_agent")
def test_host_without_an_agent(connection: Session, database: Database) -> None:
    """With a ticker connected it may be a ticker without batch steps, which is not registered until it runs a job."""
    jobid = scheduled(connection, "job", host="there")
    with agent(database, "here"):
        finding = only(connection)
        assert (finding.matter, finding.severity, finding.object) == ("no agent", "WARNING", 'host "there"')
        assert finding.detail.endswith(f'job "job" ({jobid})')
        with psycopg.connect(database.conninfo, application_name="pgagent-ticker", autocommit=True):
            assert only(connection).severity == "INFO"
    with agent(database, "there", takes_batch=False):
        assert check(connection) == []


@pytest.mark.usefixtures("no_agent")
def test_commands_are_safe_to_copy(connection: Session) -> None:
    """Job users choose the names of hosts."""
    host = "here; rm -rf '$HOME' `id`\nx"
    scheduled(connection, "job", batch_step("true"), host=host)
    (finding,) = (finding for finding in check(connection) if finding.matter == "no ticker")
    (_, _, station, dbname) = shlex.split(finding.remedy.removesuffix(", without --no-batch"))
    assert (station, dbname) == (host, f"dbname={connection.info.dbname}")


@pytest.mark.parametrize("name", ["it's", "a b", "back\\slash", "ü", '"'])
def test_ticker_command_for_any_database(cluster: Cluster, connection: Session, name: str) -> None:
    made = cluster.create_database(name, extension=False)
    try:
        with cluster.connect(made.name) as conn:
            conn.execute("create schema pgagent")
            conn.execute(value(connection, DEFINITION))
            command = shlex.split(value(conn, "select pgagent._ticker_command('here')"))
            assert command[:3] == ["pgagent-ticker", "--station", "here"]
            assert conninfo_to_dict(command[3]) == {"dbname": name}
    finally:
        cluster.drop_database(made.name)


@pytest.mark.usefixtures("no_agent")
def test_pgagents_own_daemon(connection: Session, database: Database) -> None:
    scheduled(connection, "job", batch_step("true"))
    with agent(database, "old", ours=False) as pid:
        finding = only(connection)
        assert (finding.matter, finding.severity, finding.object) == ("pgAgent", "WARNING", f"session with pid {pid}")


# The installation


@pytest.mark.usefixtures("ticker")
def test_settings_that_cannot_work(connection: Session) -> None:
    """Owners are not tried when the settings do not say how."""
    scheduled(connection, "job")
    connection.execute("update pgagent.settings set conninfo = 'nonsense', total_runs = 0")
    assert [(finding.matter, finding.severity) for finding in check(connection)] == [
        ("settings", "ERROR"),
        ("settings", "WARNING"),
    ]


@pytest.mark.usefixtures("ticker")
def test_rights_that_lead_to_more_rights(connection: Session, people: People) -> None:
    assert people is not None
    connection.execute("grant trigger on pgagent.pga_job to alice")
    finding = only(connection)
    assert (finding.matter, finding.severity, finding.object) == ("rights", "ERROR", "schema pgagent")


@pytest.mark.usefixtures("ticker")
def test_clock_that_was_put_back(connection: Session) -> None:
    scheduled(connection, "job")
    connection.execute("set session_replication_role = replica")
    connection.execute("update pgagent.pga_job set joblastrun = now() + interval '1 h'")
    connection.execute("reset session_replication_role")
    assert only(connection).matter == "clock"


# Who is told what


def test_everybody_is_told_of_his_own_jobs(connection: Session, people: People) -> None:
    connection.execute("delete from pgagent.pga_jobagent; update pgagent.settings set total_runs = 0")
    for owner in ("alice", "bob"):
        add_job(people.log_in(owner), owner, sql_step("select 1", dbname="nowhere"))
        scheduled(people.log_in(owner), f"scheduled by {owner}")
    for role, owners in (("alice", {"alice"}), ("bob", {"bob"}), ("dba", {"alice", "bob"})):
        found = check(people.log_in(role))
        assert {finding.matter for finding in found} == {"missing database", "no agent", "no schedule"}
        told = str(found)
        assert {owner for owner in ("alice", "bob") if owner in told} == owners
    assert "settings" in {finding.matter for finding in check(connection)}


def test_living_agents_are_known_to_everybody(connection: Session, database: Database, people: People) -> None:
    connection.execute("delete from pgagent.pga_jobagent")
    scheduled(people.log_in("alice"), "job", host="here")
    assert {finding.matter for finding in check(people.log_in("alice"))} == {"no agent"}
    with agent(database):
        assert check(people.log_in("alice")) == []


@pytest.mark.usefixtures("ticker")
def test_thousand_jobs_are_checked_in_a_moment(connection: Session) -> None:
    """On a usual machine a third of a second."""
    connection.execute("""
        set session_replication_role = replica;
        insert into pgagent.pga_job (jobid, jobjclid, jobname) select i, 1, 'job ' || i from generate_series(1, 1000) i;
        insert into pgagent.pga_jobstep (jstid, jstjobid, jstname, jstkind, jstdbname, jstcode)
        select i, 1 + i % 1000, 'step ' || i, 's', current_database(), 'select 1' from generate_series(1, 5000) i;
        insert into pgagent.pga_schedule (jscid, jscjobid, jscname) select i, i, 's' from generate_series(1, 1000) i;
        reset session_replication_role
    """)
    connection.execute("set statement_timeout = '10 s'")
    found = check(connection)
    assert {finding.matter for finding in found} == {"order of steps"}
    assert run_due(connection, "0 s") == []
