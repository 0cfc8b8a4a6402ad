"""The parts of PL/Python's module plpy that the other modules use, typed; plpy exists only inside the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Protocol


class Rows(Protocol):
    """What plpy.execute returns."""

    def __getitem__(self, index: int) -> dict[str, Any]: ...

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def __len__(self) -> int: ...


class Plpy(Protocol):
    """Module plpy. Every execute is a subtransaction, and the only place where a cancel reaches Python.

    ``SPIError``: what a failing statement raises.
    """

    SPIError: type[Exception]

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


def execute(plpy: Plpy, plans: dict[str, Any], query: str, types: Sequence[str], arguments: Sequence[object]) -> Rows:
    """Executes a query with parameters; its plan is kept in ``plans``, a dictionary that lives with the session."""
    plan = plans.get(query)
    if plan is None:
        plan = plans[query] = plpy.prepare(query, types)
    return plpy.execute(plan, arguments)
