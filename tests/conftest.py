"""Fixtures: one server for the whole suite, a database of its own with the extension for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg.rows import TupleRow
from pytest_postgresql.janitor import DatabaseJanitor

from harness.cluster import Cluster, Database, pg_config, server_directory
from harness.command import Command, CommandServer
from harness.jobs import start_afresh

TEMPLATE = "pgagent_template"

# A slow machine is no failure.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

_EXTENSION = Path(__file__).resolve().parents[1] / "extension"
_numbers = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server of the suite. A test that stops or kills its server takes ``new_cluster`` instead."""
    with Cluster() as made:
        yield made


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The database of which each test gets a copy: CREATE EXTENSION runs once."""
    _require_own_build()
    return cluster.create_database(TEMPLATE).name


@pytest.fixture
def new_cluster() -> Iterator[Callable[..., Cluster]]:
    """Make running clusters for this test alone: ``new_cluster(max_connections=40)``."""
    _require_own_build()
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Cluster(**settings))


@pytest.fixture(scope="module")
def module_session(cluster: Cluster, template: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """One session in one database for all tests of a module marked ``shared_database``: the engine is loaded once."""
    with _copy_of(cluster, template) as name, psycopg.connect(cluster.conninfo(name), autocommit=True) as conn:
        yield conn


@pytest.fixture
def database(request: pytest.FixtureRequest, cluster: Cluster, template: str) -> Iterator[Database]:
    """A fresh database with the extension, dropped after the test; or the module's."""
    if request.node.get_closest_marker("shared_database"):
        name = request.getfixturevalue("module_session").info.dbname
        yield Database(name, cluster.conninfo(name))
    else:
        with _copy_of(cluster, template) as name:
            yield Database(name, cluster.conninfo(name))


@pytest.fixture
def connection(request: pytest.FixtureRequest, database: Database) -> Iterator[psycopg.Connection[TupleRow]]:
    """A superuser's session in the test's database, in autocommit mode; or the module's, with nothing in it."""
    if request.node.get_closest_marker("shared_database"):
        conn = request.getfixturevalue("module_session")
        start_afresh(conn)
        yield conn
    else:
        with psycopg.connect(database.conninfo, autocommit=True) as conn:
            yield conn


@pytest.fixture(scope="session")
def command_server() -> Iterator[CommandServer]:
    """What starts the commands of the suite."""
    with CommandServer() as server:
        yield server


@pytest.fixture
def command(command_server: CommandServer, database: Database) -> Command:
    """The command pgagent-py, connected to the test's database as superuser."""
    return Command(command_server, database.conninfo)


@contextmanager
def _copy_of(cluster: Cluster, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    host, port = str(cluster.directory), cluster.port
    with DatabaseJanitor(user="postgres", host=host, port=port, dbname=name, template_dbname=template):
        yield name


def _require_own_build() -> None:
    """Refuse to test anything but this tree's build of the extension."""
    installed = server_directory("sharedir") / "extension"
    for path in [_EXTENSION / "pgagent_py.control", *_built_scripts()]:
        there = installed / path.name
        if not (path.exists() and there.exists() and there.read_bytes() == path.read_bytes()):
            remedy = f"run make build install PG_CONFIG={pg_config()}"
            pytest.fail(f"{there} is not this tree's {path.name}: {remedy}", pytrace=False)


def _built_scripts() -> list[Path]:
    found = sorted((_EXTENSION / "build").glob("pgagent_py--*.sql"))
    return found or [_EXTENSION / "build" / "pgagent_py--1.0.sql"]
