"""What every command is given: the connection, opened when it is first needed, and where to write."""

from __future__ import annotations

from typing import Any, final

from rich.console import Console

from pgagent_cli.connection import Connection, Target, connect

Row = dict[str, Any]


@final
class App:
    """One call of `pgagent-py`. ``out`` takes what was asked for, ``err`` everything else."""

    def __init__(self, target: Target, out: Console, err: Console) -> None:
        self.target = target
        self.out = out
        self.err = err
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The session; `Failure` when none can be opened."""
        if self._connection is None:
            self._connection = connect(self.target)
        return self._connection

    def rows(self, query: str, parameters: dict[str, object] | None = None) -> list[Row]:
        """The rows that a query of ours returns."""
        return self.connection.execute(query.encode(), parameters).fetchall()

    def row(self, query: str, parameters: dict[str, object] | None = None) -> Row:
        """The first row of a query that returns one."""
        return self.rows(query, parameters)[0]

    def value(self, query: str, parameters: dict[str, object] | None = None) -> Any:
        """The first column of the first row of a query that returns one."""
        return next(iter(self.row(query, parameters).values()))

    def close(self) -> None:
        """End the session, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
