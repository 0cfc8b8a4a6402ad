"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Database
from harness.people import People


@pytest.fixture
def people(connection: Connection[TupleRow], database: Database) -> Iterator[People]:
    """Alice, bob, team, dba, ticker and stranger, who can log in to the test's database."""
    with People(connection, database) as made:
        yield made
