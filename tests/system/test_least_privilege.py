"""The set-up of docs/security.md, read out of that page and carried out on a server with Debian's pg_hba.conf."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, add_job, batch_step, make_due, sql_step, step_logs, value, wait_until
from harness.cluster import server_program
from harness.following import wait_for_runs
from harness.processes import SERVER_USER, clean_environment, tied_to_us

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()

IS_ROOT = os.geteuid() == 0
ME = getpass.getuser()
# Operating-system users that are there anyway stand for those of the page. Without root there is only one.
TICKER = "daemon" if IS_ROOT else ME
SERVER = SERVER_USER if IS_ROOT else ME

DEBIAN_HBA = """
local   all             postgres                                peer map=tests
local   all             all                                     peer
host    all             all             127.0.0.1/32            scram-sha-256
host    all             all             ::1/128                 scram-sha-256
local   replication     all                                     peer
host    replication     all             127.0.0.1/32            scram-sha-256
host    replication     all             ::1/128                 scram-sha-256
"""
WHO = "do $$ begin raise notice '<% %>', session_user, current_user; end $$"


def commands() -> list[str]:
    """The lines of the numbered steps that are to be typed or written into a file."""
    steps = PAGE.partition("## Least privilege")[2].partition("Where no batch steps")[0]
    return [line.strip() for line in steps.splitlines() if line.startswith(" " * 8)]


def stand_in(line: str) -> str:
    """A line with the users of this machine."""
    line = line.replace("pgagent_ticker", TICKER)
    return re.sub(r"^(pgagent_py\s+)postgres\b", rf"\g<1>{SERVER}", line)


@dataclass(frozen=True, slots=True)
class Site:
    """The server as the page leaves it, what psql answered, and the unit of the service."""

    cluster: Cluster
    answers: list[str]
    unit: str


def run_psql(cluster: Cluster, line: str) -> str:
    """A line ``sudo -u postgres psql ...``, carried out; it must succeed."""
    arguments = shlex.split(line)[4:]
    connect = ["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(cluster.directory), "-p", str(cluster.port)]
    command = [str(server_program("psql")), *connect, "-U", "postgres", *arguments]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout.strip()


def add_line(cluster: Cluster, file: str, line: str) -> None:
    """A line for pg_hba.conf, where the page says that it belongs, or for pg_ident.conf."""
    path = cluster.data / file
    text = path.read_text()
    above = re.search(r"^local +all +all +peer$", text, re.MULTILINE) if file == "pg_hba.conf" else None
    position = above.start() if above else len(text)
    path.write_text(f"{text[:position]}{line}\n{text[position:]}")


def carry_out(cluster: Cluster) -> Site:
    """All lines of the page, in their order; each must be of a known kind."""
    answers, unit = [], ""
    for line in map(stand_in, commands()):
        if line.startswith("sudo -u postgres psql "):
            answers.append(run_psql(cluster, line))
        elif line.startswith("local "):
            add_line(cluster, "pg_hba.conf", line)
        elif line.startswith("pgagent_py "):
            add_line(cluster, "pg_ident.conf", line)
        elif line.startswith("sed "):
            unit = subprocess.check_output(shlex.split(line.partition(" > ")[0]), cwd=ROOT, text=True)
        else:
            assert line.startswith(("adduser --system ", "systemctl ")), f"what is this? {line}"
    return Site(cluster, answers, unit)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A server with the extension in database postgres, set up as the page says."""
    with Cluster() as made:
        with made.connect() as conn:
            conn.execute("create extension pgagent_py cascade")
            (made.data / "pg_hba.conf").write_text(DEBIAN_HBA)
            (made.data / "pg_ident.conf").write_text("".join(f"tests {user} postgres\n" for user in {ME, SERVER}))
            conn.execute("select pg_reload_conf()")
        wait_until(lambda: refuses(made, "nobody_knows"), what="the server to heed pg_hba.conf")
        yield carry_out(made)


def refuses(cluster: Cluster, role: str) -> bool:
    """Whether the server does not let this process in as a role."""
    try:
        cluster.connect(user=role).close()
    except psycopg.OperationalError as error:
        return "Peer authentication failed" in str(error)
    return False


@pytest.fixture
def superuser(site: Site) -> Iterator[Connection[TupleRow]]:
    """A superuser's session, with the extension's tables empty at the end."""
    with site.cluster.connect() as conn:
        yield conn
        conn.execute("delete from pgagent.pga_job")


@pytest.fixture
def ticker(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """The ticker as the unit starts it: its user, its arguments; from a directory that this user can read."""
    assert site.unit.count(f"User={TICKER}\n") == 1
    started = re.search(r"^ExecStart=/opt/pgagent_py/bin/pgagent-ticker (.*)$", site.unit, re.MULTILINE)
    assert started is not None
    with tempfile.TemporaryDirectory(prefix="pgagent_py-least-") as directory:
        Path(directory).chmod(0o755)
        shutil.copytree(ROOT / "ticker", Path(directory) / "ticker")
        where = {"PGHOST": str(site.cluster.directory), "PGPORT": str(site.cluster.port)}
        command = ["/usr/bin/python3", "-m", "pgagent_ticker", *shlex.split(started[1])]
        process = subprocess.Popen(
            tied_to_us(command, "TERM", user=TICKER if IS_ROOT else None),
            env=clean_environment(PYTHONPATH=f"{directory}/ticker", **where),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        yield process
        process.terminate()
        process.wait()


def test_page_is_carried_out(site: Site, superuser: Connection[TupleRow]) -> None:
    assert site.answers[-1].startswith("t|")
    assert superuser.execute("select allowed, remedy from pgagent.check_owner('alice')").fetchall() == [(True, None)]


def test_sql_steps_run_as_their_owner(superuser: Connection[TupleRow], ticker: subprocess.Popen[bytes]) -> None:
    jobid = add_job(superuser, "job", sql_step(WHO))
    superuser.execute("update pgagent.pga_job set jobowner = 'alice'")
    make_due(superuser, jobid)
    (run,) = wait_for_runs(superuser, jobid)
    (log,) = step_logs(superuser, run)
    assert (run.status, "<alice alice>" in (log.output or "")) == ("s", True), log.output
    assert ticker.poll() is None


def test_batch_steps_run_as_the_tickers_user(
    site: Site, superuser: Connection[TupleRow], ticker: subprocess.Popen[bytes]
) -> None:
    superuser.execute("grant pg_execute_server_program to alice")
    script = (
        f"id -un; psql -X -h {site.cluster.directory} -p {site.cluster.port} -U alice -d postgres -c 'select 1' 2>&1"
    )
    jobid = add_job(superuser, "job", batch_step(script))
    superuser.execute("update pgagent.pga_job set jobowner = 'alice'")
    make_due(superuser, jobid)
    (run,) = wait_for_runs(superuser, jobid)
    (log,) = step_logs(superuser, run)
    assert (log.output or "").splitlines()[0] == TICKER
    # Without root the ticker's user is the server's, who may log in as alice.
    assert ('Peer authentication failed for user "alice"' in (log.output or "")) is IS_ROOT
    assert ticker.poll() is None


def test_owner_without_the_lines_is_told_them(superuser: Connection[TupleRow]) -> None:
    superuser.execute("create role carol login")
    try:
        ((allowed, detail, remedy),) = superuser.execute("select * from pgagent.check_owner('carol')").fetchall()
        assert (allowed, "Peer authentication failed" in detail) == (False, True)
        assert remedy.splitlines()[1] == "local postgres carol peer map=pgagent_py"
        assert remedy.splitlines()[3] == f"pgagent_py {SERVER} carol"
        jobid = add_job(superuser, "job", sql_step("select 1"))
        superuser.execute("update pgagent.pga_job set jobowner = 'carol'")
        make_due(superuser, jobid)
        superuser.execute("select from pgagent.run_due()")
        (run,) = wait_for_runs(superuser, jobid)
        (log,) = step_logs(superuser, run)
        assert run.status == "f"
        assert "local postgres carol peer map=pgagent_py" in (log.output or "")
    finally:
        superuser.execute("update pgagent.pga_job set jobowner = 'postgres'")
        superuser.execute("drop role carol")


def test_tickers_role_may_do_nothing_else(superuser: Connection[TupleRow]) -> None:
    rights = superuser.execute(
        "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls,"
        " exists (select from pg_auth_members m where m.member = r.oid) from pg_roles r where rolname = %s",
        (TICKER,),
    ).fetchall()
    assert rights == [(False, False)]
    tables = value(
        superuser,
        "select string_agg(relname, ', ') from pg_class where relnamespace = 'pgagent'::regnamespace"
        " and relkind = 'r' and has_any_column_privilege(%s, oid, 'select, insert, update, references')",
        TICKER,
    )
    assert tables is None
