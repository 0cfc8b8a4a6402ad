"""What a statement is refused with."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from psycopg import Connection


class Refusal(NamedTuple):
    """The parts of an error."""

    sqlstate: str
    message: str
    detail: str
    hint: str


def refused(conn: Connection[Any], statement: str, *parameters: object) -> Refusal:
    """The error of a statement that must fail; what it did is undone."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement.encode(), parameters or None)
    except psycopg.Error as error:
        said = error.diag
        return Refusal(
            said.sqlstate or "", said.message_primary or "", said.message_detail or "", said.message_hint or ""
        )
    raise AssertionError(f"not refused: {statement}")
