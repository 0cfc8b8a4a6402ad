"""What the planner means to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from harness.jobs import value


def explain(conn: Connection[TupleRow], query: str, options: str = "") -> dict[str, Any]:
    """The plan of a query: its uppermost node; ``options`` of EXPLAIN, each followed by a comma."""
    (found,) = value(conn, f"explain ({options} format json) {query}")
    plan: dict[str, Any] = found["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
