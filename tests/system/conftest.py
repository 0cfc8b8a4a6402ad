"""Fixtures of the tests that inject faults: a server for each module, which may be killed, a database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import Cluster, Database
from harness.faults import keep_records

_TEMPLATE = "fault_template"
_numbers = count(1)


@pytest.fixture(scope="module")
def fault_cluster() -> Iterator[Cluster]:
    """A server whose processes may be stopped and killed."""
    with Cluster(autovacuum="off") as cluster:
        made = cluster.create_database(_TEMPLATE)
        with cluster.connect(made.name) as conn:
            keep_records(conn)
            conn.execute("create table done (what text, at timestamptz default clock_timestamp())")
        yield cluster


@pytest.fixture
def fault_database(fault_cluster: Cluster) -> Database:
    """A database that records what agents do to it, with a table ``done`` for what steps leave."""
    name = f"fault_{next(_numbers)}"
    with fault_cluster.connect() as conn:
        conn.execute(f"create database {name} template {_TEMPLATE}")
    return Database(name, fault_cluster.conninfo(name))


@pytest.fixture
def watcher(fault_database: Database) -> Iterator[psycopg.Connection[TupleRow]]:
    """A superuser's session in the test's database, in autocommit mode."""
    with psycopg.connect(fault_database.conninfo, autocommit=True) as conn:
        yield conn
