"""Steps with a connection string of their own, and what must stay secret in it.

The server here lets in as Debian's does: by peer authentication over its socket, by password over TCP.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, Database, add_job, batch_step, make_due, run_due, runs, sql_step, step_logs, value
from harness.people import People
from harness.processes import SERVER_USER

Session = Connection[TupleRow]

SECRET = "xyzzy-s3cret"  # noqa: S105  # what must not be seen anywhere
WHO = "do $$ begin raise notice '<% %>', session_user, current_user; end $$"
SERVER = SERVER_USER if os.geteuid() == 0 else getpass.getuser()

# Debian's lines; tests log in by the map, and so does the server as the owners of jobs.
HBA = """
local all all peer map=tests
host all all 127.0.0.1/32 scram-sha-256
"""
PEOPLE = ("postgres", "alice", "bob", "dba", "ticker", "stranger")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    """A server that asks who one is, and logs every statement with its parameters."""
    with Cluster(log_statement="all", log_parameter_max_length="-1", log_parameter_max_length_on_error="-1",
                 log_min_duration_statement="0") as made:  # fmt: skip
        made.create_database("guarded")
        users = {getpass.getuser(), SERVER}
        (made.data / "pg_hba.conf").write_text(HBA)
        (made.data / "pg_ident.conf").write_text("".join(f"tests {user} {role}\n" for user in users for role in PEOPLE))
        with made.connect() as conn:
            conn.execute("select pg_reload_conf()")
        yield made


@pytest.fixture
def database(guarded: Cluster) -> Iterator[Database]:
    """Its database, with nothing in it at the end."""
    yield Database("guarded", guarded.conninfo("guarded"))
    with guarded.connect("guarded") as conn:
        conn.execute("delete from pgagent.pga_job; delete from pgagent.event; delete from pgagent._alarm")


@pytest.fixture
def connection(database: Database) -> Iterator[Session]:
    """A superuser's session."""
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        yield conn


@pytest.fixture
def remote(guarded: Cluster, connection: Session, people: People) -> str:
    """A connection string with a password that is asked for: alice's, who is among ``people``."""
    assert not people.sessions_of("alice")
    connection.execute("set log_statement = none; set log_min_duration_statement = -1")
    connection.execute(f"alter role alice password '{SECRET}'")
    return f"host=127.0.0.1 port={guarded.port} dbname=guarded user=alice password={SECRET}"


def run_step(
    superuser: Session, people: People, connstr: str, owner: str = "alice", code: str = WHO
) -> tuple[str, str]:
    """Run a job of this owner with one step: status and output."""
    jobid = add_job(people.log_in(owner), "job", sql_step(code, connstr=connstr))
    make_due(superuser, jobid)
    run_due(people.log_in("ticker"))
    (run,) = runs(superuser, jobid)
    (log,) = step_logs(superuser, run)
    return run.status, log.output or ""


def test_password_that_is_asked_for(connection: Session, people: People, remote: str) -> None:
    status, output = run_step(connection, people, remote)
    assert (status, "<alice alice>" in output) == ("s", True), output


def test_password_in_a_uri(guarded: Cluster, connection: Session, people: People, remote: str) -> None:
    assert remote
    status, output = run_step(connection, people, f"postgresql://alice:{SECRET}@127.0.0.1:{guarded.port}/guarded")
    assert (status, "<alice alice>" in output) == ("s", True), output


@pytest.mark.parametrize("owner", ["alice", "bob", "dba"])
def test_servers_own_socket_needs_a_password_that_is_asked_for(
    guarded: Cluster, connection: Session, people: People, remote: str, owner: str
) -> None:
    """By peer authentication the server's operating-system user would be let in, as a superuser even."""
    assert remote
    for user in ("postgres", "bob", "alice"):
        connstr = f"host={guarded.directory} port={guarded.port} dbname=guarded user={user}"
        status, output = run_step(connection, people, connstr, owner)
        assert status == "f"
        assert "a password is required" in output
        status, output = run_step(connection, people, f"{connstr} password={SECRET}", owner)
        assert status == "f"
        assert "did not ask for the password" in output
        assert "<" not in output


REFUSED = {
    "passfile": "/etc/passwd",
    "service": "x",
    "sslcert": "/etc/passwd",
    "sslkey": "/etc/passwd",
    "sslrootcert": "/etc/passwd",
    "sslcrl": "/etc/passwd",
    "sslcrldir": "/etc",
    "options": "-csession_preload_libraries=/etc/passwd",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("form", ["keys", "uri"])
def test_what_is_the_servers_is_not_used(
    guarded: Cluster, connection: Session, people: People, remote: str, name: str, form: str
) -> None:
    connstr = f"{remote} {name}={REFUSED[name]}"
    if form == "uri":
        escaped = REFUSED[name].replace("=", "%3D")
        connstr = f"postgresql://alice:{SECRET}@127.0.0.1:{guarded.port}/guarded?{name}={escaped}"
    status, output = run_step(connection, people, connstr)
    assert status == "f"
    assert f"{name} is for jobs whose owner is a superuser" in output
    assert "root:" not in output


def test_session_by_peer_loads_no_library_of_a_job_user(
    guarded: Cluster, connection: Session, people: People, remote: str
) -> None:
    """It would be loaded with the rights of a superuser, before it is known that no password was asked for."""
    assert remote
    connstr = f"host={guarded.directory} port={guarded.port} dbname=guarded user=postgres password=x"
    status, output = run_step(connection, people, f"{connstr} options='-c session_preload_libraries=/etc/passwd'")
    assert status == "f"
    assert "ELF" not in output
    assert "could not load library" not in guarded.log


def test_superusers_job_may_use_what_is_the_servers(guarded: Cluster, connection: Session, people: People) -> None:
    connstr = f"host={guarded.directory} port={guarded.port} dbname=guarded user=postgres"
    status, output = run_step(connection, people, connstr, "postgres")
    assert (status, "<postgres postgres>" in output) == ("s", True), output


def test_owner_who_is_no_superuser_any_more(guarded: Cluster, connection: Session, people: People) -> None:
    """What counts is what he is when the job runs."""
    connection.execute("alter role dba superuser")
    connstr = f"host={guarded.directory} port={guarded.port} dbname=guarded user=postgres"
    jobid = add_job(people.log_in("dba"), "job", sql_step(WHO, connstr=connstr))
    connection.execute("alter role dba nosuperuser")
    make_due(connection, jobid)
    run_due(people.log_in("ticker"))
    assert "a password is required" in (step_logs(connection, runs(connection, jobid)[0])[0].output or "")


def test_environment_of_the_server_brings_no_password(
    guarded: Cluster, connection: Session, people: People, remote: str
) -> None:
    """An empty password is none: libpq would look into the server's own .pgpass."""
    assert remote
    connstr = f"host=127.0.0.1 port={guarded.port} dbname=guarded user=alice"
    for text in (connstr, f"{connstr} password=''", f"postgresql://alice:@127.0.0.1:{guarded.port}/guarded"):
        status, output = run_step(connection, people, text)
        assert (status, "a password is required" in output) == ("f", True)


# Secrets


BROKEN = (
    "{remote}x",
    "{remote} port=notaport",
    "{remote} nonsense={secret}",
    "{remote} 'unfinished",
    "host=127.0.0.1 port=1 user=alice password={secret}",
    "postgresql://alice:{secret}@127.0.0.1:1/guarded",
    "postgresql://alice:{secret}@/@/guarded",
    "postgresql://alice:x@{secret}:5432/guarded",
    "postgresql://alice:x/{secret}@127.0.0.1:5432/guarded",
    "user=alice password=p host=127.0.0.1 port={secret}",
)


@pytest.mark.parametrize("template", BROKEN)
def test_secrets_of_a_connection_string_are_not_told(
    guarded: Cluster, connection: Session, people: People, remote: str, template: str
) -> None:
    """Whatever is wrong with it: not in the log, not in events, not to other roles, not in the server's log."""
    connection.execute("set log_statement = none; set log_min_duration_statement = -1")
    alice = people.log_in("alice", options="-c pgagent.x=")
    connstr = template.format(remote=remote, secret=SECRET)
    jobid = add_job(alice, "job", sql_step("select 1"))
    # Alice's own statement is hers to keep out of the log: a superuser writes the string here, unlogged.
    connection.execute("update pgagent.pga_jobstep set jstconnstr = %s where jstjobid = %s", (connstr, jobid))
    before = len(guarded.log)
    stranger, ticker = people.log_in("stranger"), people.log_in("ticker")
    told: list[str] = []
    for conn in (stranger, ticker):
        conn.add_notice_handler(lambda diagnostic: told.append(str(diagnostic.message_primary)))
    stranger.execute("listen pgagent_event")
    make_due(connection, jobid)
    rows = run_due(ticker)
    assert [run.status for run in runs(connection, jobid)] == ["f"]
    told += [str(rows), *(found.payload for found in stranger.notifies(timeout=1, stop_after=1))]
    for query in (
        "select string_agg(l::text, ' ') from pgagent.pga_joblog l",
        "select string_agg(l::text, ' ') from pgagent.pga_jobsteplog l",
        "select string_agg(e::text, ' ') from pgagent.event e",
        "select string_agg(a::text, ' ') from pgagent._alarm a",
        "select string_agg(h::text, ' ') from pgagent.health() h",
        "select string_agg(s::text, ' ') from pg_stat_activity s where pid <> pg_backend_pid()",
    ):
        told.append(str(value(connection, query)))
    told.append(guarded.log[before:])
    assert [text for text in told if SECRET in text] == []


def test_secrets_of_later_steps_are_not_told_while_a_script_is_waited_for(
    guarded: Cluster, connection: Session, people: People, remote: str
) -> None:
    """The steps that are still to come lie in the queue: for superusers only, and not in the server's log."""
    connection.execute("set log_statement = none; set log_min_duration_statement = -1")
    connection.execute("grant pg_execute_server_program to alice")
    jobid = add_job(people.log_in("alice"), "job", batch_step("true", name="1"), sql_step(WHO, name="2"))
    connection.execute("update pgagent.pga_jobstep set jstconnstr = %s where jstname = '2'", (remote,))
    before = len(guarded.log)
    make_due(connection, jobid)
    ticker = people.log_in("ticker")
    run_due(ticker)
    (taken,) = ticker.execute("select t::text, t.jslid from pgagent.take_batch_steps('', 1) t").fetchall()
    assert SECRET not in taken[0]
    ticker.execute("select pgagent.finish_batch_step(%s, 0, '')", (taken[1],))
    run_due(ticker)
    run = runs(connection, jobid)[0]
    assert (run.status, "<alice alice>" in (step_logs(connection, run)[1].output or "")) == ("s", True)
    assert SECRET not in guarded.log[before:]


def test_password_of_the_installation_is_for_its_own_role(
    guarded: Cluster, connection: Session, people: People, remote: str
) -> None:
    """settings.conninfo may hold one: steps of other owners do not get it, and nobody but superusers sees it."""
    assert remote
    connection.execute("set log_statement = none; set log_min_duration_statement = -1")
    connection.execute("alter role postgres password 'engines-own'")
    conninfo = f"host=127.0.0.1 port={guarded.port} user=postgres password=engines-own"
    connection.execute("update pgagent.settings set conninfo = %s", (conninfo,))
    try:
        before = len(guarded.log)
        status, output = run_step(connection, people, "", "bob")
        assert status == "f"
        assert "no password supplied" in output
        assert "engines-own" not in output + guarded.log[before:]
    finally:
        connection.execute("update pgagent.settings set conninfo = default")


def test_passwords_are_not_shown_while_a_step_runs(connection: Session, people: People, remote: str) -> None:
    """By titles of processes and by pg_stat_activity."""
    jobid = add_job(people.log_in("alice"), "job", sql_step("select pg_sleep(30)", connstr=remote))
    make_due(connection, jobid)
    run_due(people.log_in("ticker"), "1 s")
    titles = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.exists()]
    assert [title for title in titles if SECRET.encode() in title and b"postgres" in title] == []
    shown = value(people.log_in("bob"), "select string_agg(s::text, ' ') from pg_stat_activity s")
    assert SECRET not in shown
    assert "pg_sleep(30)" not in shown


@pytest.mark.parametrize("name", ["a\nlocal all all trust #", 'q"uote', "all", "two words", "tab\tbed"])
def test_advice_for_pg_hba_is_one_line_for_one_name(connection: Session, people: People, name: str) -> None:
    """A name of a database, which a job user writes, must not become a line that an administrator copies."""
    connection.execute("alter role team login")
    jobid = add_job(connection, "job", sql_step("select 1", dbname=name))
    connection.execute("update pgagent.pga_job set jobowner = 'team'")
    make_due(connection, jobid)
    run_due(people.log_in("ticker"))
    (log,) = step_logs(connection, runs(connection, jobid)[0])
    lines = [line for line in (log.output or "").splitlines() if line.startswith("local")]
    assert [line.endswith(" team peer map=pgagent_py") for line in lines] == [True], log.output
    assert not lines[0].startswith("local all")
