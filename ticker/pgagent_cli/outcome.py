"""How a call of the command ends: exit codes, and failures with their remedy."""

from __future__ import annotations

from enum import IntEnum

import psycopg

JOBS_HINT = "pgagent-py jobs lists the jobs with their ids."

_COMMANDS = {"SELECT jobid, jobname FROM": JOBS_HINT, "SELECT jlgid FROM": "pgagent-py runs lists the latest runs."}
# What the rights of a job user do not give.
_PERMITTED_BY = {
    "permission denied for function health": "GRANT EXECUTE ON FUNCTION pgagent.health() TO role",
    "permission denied for function run_due": "SELECT pgagent.grant_ticker('role')",
}


class Exit(IntEnum):
    """The exit codes; the help of the command documents them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    ABORTED = 3
    TIMED_OUT = 4
    NO_CONNECTION = 5
    FOUND = 6
    INTERRUPTED = 130


class Failure(Exception):
    """The command cannot do what was asked; shown as `error: message` with DETAIL and HINT lines."""

    def __init__(
        self, message: str, *, detail: str | None = None, hint: str | None = None, code: Exit = Exit.FAILED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.code = code


def to_failure(error: psycopg.Error) -> Failure:
    """What the server or libpq said, as a failure; a lost connection has a code of its own."""
    said = error.diag
    if said.message_primary is None:
        lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return Failure(str(error).strip(), code=Exit.NO_CONNECTION if lost else Exit.FAILED)
    code = Exit.NO_CONNECTION if _is_farewell(said.sqlstate or "") else Exit.FAILED
    hint = hint_for(said.sqlstate or "", said.message_primary) or _in_shell(said.message_hint)
    message = said.message_primary.removeprefix("plpy.Error: ")
    return Failure(message, detail=said.message_detail, hint=hint, code=code)


def _in_shell(hint: str | None) -> str | None:
    """A hint of the server; where that names a query for psql, the command that shows the same."""
    return next((command for query, command in _COMMANDS.items() if hint and hint.startswith(query)), hint)


def _is_farewell(sqlstate: str) -> bool:
    return sqlstate.startswith(("08", "57P"))


def hint_for(sqlstate: str, message: str) -> str | None:
    """A remedy for an error for which the server has none."""
    if sqlstate == "3F000" or (sqlstate in ("42883", "42P01") and "pgagent." in message):
        return "Is pgagent_py in this database? -d names another one; CREATE EXTENSION pgagent_py CASCADE creates it."
    if message in _PERMITTED_BY:
        return f"A superuser permits it: {_PERMITTED_BY[message]}."
    if sqlstate == "42703":
        return "Is pgagent_py in this database older than this command? ALTER EXTENSION pgagent_py UPDATE renews it."
    if sqlstate == "42501" and "schema pgagent" in message:
        return "A superuser lets a role have jobs: SELECT pgagent.grant_use('role')."
    return None
