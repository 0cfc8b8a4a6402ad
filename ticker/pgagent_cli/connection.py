"""Where the command connects, by the conventions of libpq's own programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from getpass import getpass
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg.types.datetime import TimestamptzLoader

from pgagent_cli.outcome import Exit, Failure

Connection = psycopg.Connection[DictRow]
"""A session in autocommit mode; rows are dicts."""

FAR_FUTURE = datetime.max.replace(tzinfo=timezone.utc)
FAR_PAST = datetime.min.replace(tzinfo=timezone.utc)

# Texts of times and intervals that psycopg can read, whatever the role's settings. To compile our queries takes longer
# than to execute them.
_SESSION = "set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set jit = off"


@dataclass(frozen=True, slots=True)
class Target:
    """What the options say; PG* variables, service file and .pgpass add the rest, inside libpq.

    ``ask_password``: True asks before connecting, False never, None when the server wants one.
    """

    settings: dict[str, str] = field(repr=False)
    ask_password: bool | None = None


def read_target(
    dbname: str | None, host: str | None, port: str | None, user: str | None, ask_password: bool | None
) -> Target:
    """The target of the options; ``dbname`` may be a connection string or URI, which then goes before the others.

    `Failure` when libpq cannot read it.
    """
    options = {"host": host, "port": port, "user": user}
    settings = {key: value for key, value in options.items() if value is not None}
    if dbname is not None:
        settings |= _read_dbname(dbname)
    return Target(settings, ask_password)


def _read_dbname(dbname: str) -> dict[str, str]:
    if "=" not in dbname and not dbname.startswith(("postgres://", "postgresql://")):
        return {"dbname": dbname}
    try:
        return {key: str(value) for key, value in conninfo_to_dict(dbname).items() if value is not None}
    except psycopg.Error as error:
        # The reason may quote a part of a password.
        reason = None if "password" in dbname or "@" in dbname else str(error).strip()
        raise Failure("cannot read the connection string", detail=reason, code=Exit.USAGE) from None


def connect(target: Target) -> Connection:
    """Open a session; asks for a password at the terminal if that is wanted. `Failure` when there is none."""
    settings = dict(target.settings)
    if target.ask_password:
        settings["password"] = _ask_password()
    try:
        return _open(settings)
    except psycopg.OperationalError as error:
        wanted = error.pgconn is not None and error.pgconn.needs_password
        if not wanted or target.ask_password is not None:
            raise _no_connection(error) from None
    try:
        return _open({**settings, "password": _ask_password()})
    except psycopg.OperationalError as error:
        raise _no_connection(error) from None


def _ask_password() -> str:
    try:
        return getpass("Password: ")
    except EOFError:
        hint = "A line in ~/.pgpass, or PGPASSWORD, has it."
        raise Failure("a password is wanted, and nobody is there to ask", hint=hint, code=Exit.NO_CONNECTION) from None


class _TimeLoader(TimestamptzLoader):
    """Reads the infinite times, too, which datetime does not know."""

    def load(self, data: Buffer) -> datetime:
        """The time that the server sent."""
        infinite = {b"infinity": FAR_FUTURE, b"-infinity": FAR_PAST}.get(bytes(data))
        return infinite or super().load(data)


def _open(settings: dict[str, str]) -> Connection:
    fixed: dict[str, Any] = {"fallback_application_name": "pgagent-py", **settings, "client_encoding": "UTF8"}
    connection = psycopg.connect("", autocommit=True, row_factory=dict_row, **fixed)
    connection.adapters.register_loader("timestamptz", _TimeLoader)
    connection.execute(_SESSION)
    return connection


def _no_connection(error: psycopg.OperationalError) -> Failure:
    return Failure(
        "cannot connect to the database",
        detail=_reason(error),
        hint="-h, -p, -U and -d, before the command, say where; so do PGHOST, PGPORT, PGUSER and PGDATABASE.",
        code=Exit.NO_CONNECTION,
    )


def _reason(error: psycopg.OperationalError) -> str:
    if error.pgconn is not None and error.pgconn.error_message:
        return error.pgconn.error_message.decode("utf-8", "replace").strip()
    return str(error).strip()
