"""The ticker's own session to the server."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import Database
from pgagent_ticker.connection import QueryFailed, open_connection
from pgagent_ticker.target import read_target

FEATURE_NOT_SUPPORTED = "0A000"
"""What a prepared statement fails with for ever once its result has another type."""


def test_repeated_statement_is_prepared_anew_after_it_failed(
    connection: psycopg.Connection[TupleRow], database: Database
) -> None:
    """As when an update of the extension gives a function other columns."""
    connection.execute("create table changing as select 1 as first")
    statement = "select * from changing"

    async def use() -> None:
        session = await open_connection(read_target(database.conninfo), lambda *_: None)
        try:
            assert await session.fetch_prepared(statement) == [("1",)]
            connection.execute("alter table changing add column second int")
            with pytest.raises(QueryFailed) as failure:
                await session.fetch_prepared(statement)
            assert failure.value.sqlstate == FEATURE_NOT_SUPPORTED
            assert await session.fetch_prepared(statement) == [("1", None)]
            assert await session.fetch("select count(*) from pg_prepared_statements") == [("1",)]
        finally:
            session.close()

    asyncio.run(use())
