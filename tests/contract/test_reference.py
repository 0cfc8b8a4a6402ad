"""The reference is what the catalog and the help texts say, and every example of it runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql

from harness import Cluster, Database
from harness.people import drop_role
from harness.pg_cron import create_cron_job
from harness.statements import split_statements
from pgagent_cli import cli
from pgagent_cli.outcome import Exit
from reference import command_pages, sql_page
from reference.generate import PLACE
from reference.themes import FUNCTIONS

pytestmark = pytest.mark.shared_database

EXAMPLES = sorted(sql_page.EXAMPLES.glob("*.sql"))
COMMAND_EXAMPLES = sorted(command_pages.EXAMPLES.glob("*.sh"))

# The first run has id 1.
_CRON_JOBS = """
    insert into cron.job (schedule, command, jobname, username) values
        ('0 3 * * *', 'vacuum', 'nightly vacuum', 'postgres'), ('30 seconds', 'select 1', 'heartbeat', 'alice');
    alter sequence pgagent.pga_joblog_jlgid_seq restart
"""
_CRONTAB = """\
# Backup
30 2 * * 1-5 /usr/local/bin/backup --full
"""

STALE = "{} is stale: make docs writes it anew"


@pytest.fixture(scope="module")
def catalog(cluster: Cluster, template: str) -> Iterator[Connection[Any]]:
    """A session in a database in which nothing has happened."""
    made = cluster.create_database("reference", extension=False)
    with cluster.connect() as conn:
        conn.execute("drop database reference")
        conn.execute(sql.SQL("create database reference template {}").format(sql.Identifier(template)))
    with cluster.connect(made.name) as conn:
        yield conn
    cluster.drop_database(made.name)


def test_reference_of_sql_is_not_stale(catalog: Connection[Any]) -> None:
    assert (PLACE / "sql.md").read_text() == sql_page.render_page(catalog), STALE.format("docs/reference/sql.md")


def test_reference_of_the_command_is_not_stale() -> None:
    assert (PLACE / "command.md").read_text() == command_pages.render_markdown(), STALE.format("command.md")
    assert (PLACE / "pgagent-py.1").read_text() == command_pages.render_manual(), STALE.format("pgagent-py.1")


def test_every_public_function_and_view_has_an_example(catalog: Connection[Any]) -> None:
    """And every function a theme, in which the reference tells of it."""
    functions = {function.name for function in sql_page.read_functions(catalog)}
    views = {name for name, relation in sql_page.read_relations(catalog).items() if relation.is_view}
    wanted = {sql_page.example_of(name) for name in functions}
    wanted |= {sql_page.example_of(name, is_view=True) for name in views}
    assert wanted - set(EXAMPLES) == set()
    assert set(EXAMPLES) - wanted == set()
    assert {name for names in FUNCTIONS.values() for name in names} == functions


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, connection: Connection[Any]) -> None:
    """It begins with what it shows, is short, and leaves no role behind."""
    text = path.read_text()
    lines = text.splitlines()
    assert lines[0].startswith("-- ")
    assert 2 <= len(lines) <= 15
    assert max(map(len, lines)) <= 120
    assert f"pgagent.{path.stem}".removesuffix("_view") in text
    with without_roles_left(connection):
        for statement in split_statements(text):
            connection.execute(statement)


@contextmanager
def without_roles_left(conn: Connection[Any]) -> Iterator[None]:
    """Complain about roles that stay, and drop them: other examples make roles of the same names."""
    left: list[str] = []
    try:
        yield
    finally:
        conn.execute("reset role")
        found = conn.execute("select rolname::text from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres'")
        left = [name for (name,) in found.fetchall()]
        for role in left:
            drop_role(conn, role)
    assert left == []


def test_every_command_has_an_example() -> None:
    """But those that stay at the terminal, or become another program."""
    commands = {page.name.partition(" ")[2].replace(" ", "-") for page in command_pages.read_pages() if page.usage}
    assert {path.stem for path in COMMAND_EXAMPLES} <= commands
    assert commands - {path.stem for path in COMMAND_EXAMPLES} == {"", "import", "ticker", "top"}


@pytest.mark.parametrize("path", COMMAND_EXAMPLES, ids=lambda path: path.stem)
def test_example_of_a_command_runs(
    path: Path,
    connection: Connection[Any],
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each line is a comment or a call, which succeeds; in this process, or it would take half a minute."""
    create_cron_job(connection)
    connection.execute(_CRON_JOBS)
    (tmp_path / "crontab.txt").write_text(_CRONTAB)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGSERVICEFILE", str(make_service(tmp_path, database)))
    monkeypatch.setenv("PGSERVICE", "example")
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            program, *words = shlex.split(line)
            assert program == command_pages.PROGRAM
            assert cli.main(words) in (Exit.OK, Exit.FOUND), line
    connection.execute("drop schema cron cascade")


def make_service(directory: Path, database: Database) -> Path:
    """A service file that leads to the test's database."""
    path = directory / "pg_service.conf"
    settings = shlex.split(database.conninfo)
    path.write_text("\n".join(["[example]", *settings]) + "\n")
    return path
