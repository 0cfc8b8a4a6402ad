"""The parts of PL/Python's module plpy that the other modules use, typed; plpy exists only inside the server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Protocol

PAUSE_SECONDS = 0.1


class Rows(Protocol):
    """What plpy.execute returns."""

    def __getitem__(self, index: int) -> dict[str, Any]: ...

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def __len__(self) -> int: ...


class Plpy(Protocol):
    """Module plpy. Every execute is a subtransaction, and the only place where a cancel reaches Python."""

    def execute(self, query: object, arguments: Sequence[object] = ..., /) -> Rows:
        """Executes a text or a plan."""

    def prepare(self, query: str, types: Sequence[str] = ..., /) -> object:
        """Makes a plan."""

    def notice(self, message: str, /, **fields: str) -> None:
        """Raises a NOTICE."""

    def warning(self, message: str, /, **fields: str) -> None:
        """Raises a WARNING."""

    def error(self, message: str, /, **fields: str) -> NoReturn:
        """Raises an error."""


class Pause:
    """Lets the server interrupt long work: a cancel, or a time limit, reaches Python only in a call of plpy."""

    def __init__(self, plpy: Plpy) -> None:
        self._plpy = plpy
        self._next_seconds = time.monotonic() + PAUSE_SECONDS

    def take(self) -> None:
        """To be called at every turn; it is the server's turn ten times a second."""
        if time.monotonic() >= self._next_seconds:
            self._plpy.execute("select 1")
            self._next_seconds = time.monotonic() + PAUSE_SECONDS


def execute(plpy: Plpy, plans: dict[str, Any], query: str, types: Sequence[str], arguments: Sequence[object]) -> Rows:
    """Executes a query with parameters; its plan is kept in ``plans``, a dictionary that lives with the session."""
    plan = plans.get(query)
    if plan is None:
        plan = plans[query] = plpy.prepare(query, types)
    return plpy.execute(plan, arguments)
