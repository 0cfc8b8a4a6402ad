"""Where a step runs: connection settings as key and value, composed and never joined as text.

A database of this server is reached through the server's own socket; a connection string of a step is used alone,
with libpq's defaults, as pgAgent does.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from psycopg import OperationalError, pq

# A session that is not there costs the first job that is due some milliseconds.
CONTROL_IDLE_MILLISECONDS = "600000"
# A step may drop a database that a step before it used: DROP DATABASE waits 5 s for other sessions to go.
OTHER_DATABASE_KEPT_SECONDS = 0.5
INVALID_AUTHORIZATION = "28"


# Files of the server, which only a superuser may have it read; and what would log in by them. By its options a session
# loads libraries as soon as it is let in, before it is known that no password was asked for.
SETTINGS_OF_SUPERUSERS = (
    "passfile", "service", "servicefile", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir", "sslkeylogfile",
    "options",
)  # fmt: skip


HBA_KEYWORDS = ("all", "sameuser", "samerole", "samegroup", "replication")


class InvalidTarget(ValueError):
    """A connection string that libpq cannot read, or that may not be used; the message shows none of its values."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. ``kept_seconds``: how long an unused session is kept, to be used again for the same target.

    ``needs_password``: the server that is reached must have asked for the password.
    """

    conninfo: bytes
    connect_timeout_seconds: float
    kept_seconds: float
    needs_password: bool = False

    @property
    def is_own_server(self) -> bool:
        """Whether it is a database of this server: only such sessions are used again."""
        return self.kept_seconds > 0


@dataclass(frozen=True, slots=True)
class Loopback:
    """How this engine reaches its own server."""

    host: str
    port: str
    dbname: str
    user: str
    overrides: str
    encoding: str
    connect_timeout_seconds: float
    session_idle_timeout_seconds: float
    step_application_name: str

    def control_conninfo(self) -> bytes:
        """For the session that keeps the books: no setting of a role or a database disturbs it."""
        options = {
            "role": "none",
            "statement_timeout": "0",
            "lock_timeout": "500",
            "idle_in_transaction_session_timeout": "60000",
            "idle_session_timeout": CONTROL_IDLE_MILLISECONDS,
            "default_transaction_isolation": "read\\ committed",
            "default_transaction_read_only": "off",
            "default_transaction_deferrable": "off",
            "search_path": "pg_catalog,pg_temp",
            "datestyle": "ISO,YMD",
            "intervalstyle": "postgres",
            "timezone": "UTC",
            "client_min_messages": "error",
            "log_parameter_max_length_on_error": "0",
            "jit": "off",
            # The tables change too fast for their statistics: an index, entry by entry, is always right.
            "enable_seqscan": "off",
            "enable_bitmapscan": "off",
            "enable_mergejoin": "off",
            "plan_cache_mode": "force_generic_plan",
        }
        settings = self._settings(self.dbname, "pgagent_py engine", options)
        return compose({**settings, "client_encoding": self.encoding})

    @lru_cache(maxsize=256)  # noqa: B019  # values are few and small, and asked for at every step
    def step_target(self, dbname: str, owner: str) -> Target:
        """For a step of this owner's job in a database of this server: the owner himself logs in."""
        options = {
            "pgagent.step": "on",
            # The statement ends when its engine does.
            "client_connection_check_interval": "500",
            "idle_session_timeout": self._idle_milliseconds(),
        }
        settings = self._settings(dbname, self.step_application_name, options)
        if settings["user"] != owner:
            settings["user"] = owner
            settings.pop("password", None)
        conninfo = compose(settings)
        # Well before the server closes it, so that none is closed while a step is on its way to it.
        kept_seconds = self.session_idle_timeout_seconds * 0.8
        if dbname != self.dbname:
            kept_seconds = min(kept_seconds, OTHER_DATABASE_KEPT_SECONDS)
        return Target(conninfo, self.connect_timeout_seconds, kept_seconds)

    def _idle_milliseconds(self) -> str:
        return str(int(self.session_idle_timeout_seconds * 1000))

    def _settings(self, dbname: str, application_name: str, options: Mapping[str, str]) -> dict[str, str]:
        settings = {"host": self.host, "port": self.port, "user": self.user}
        settings.update(parse(self.overrides))
        settings["dbname"] = dbname
        settings["application_name"] = application_name
        own = " ".join(f"-c {name}={value}" for name, value in options.items())
        settings["options"] = f"{settings.get('options', '')} {own}".strip()
        return settings


def remote_target(
    connstr: str, connect_timeout_seconds: float, application_name: str, *, is_superuser: bool = True
) -> Target:
    """For a step with a connection string of its own, which may set its own connect_timeout. Raises InvalidTarget.

    Unless the job's owner is a superuser, it must bring a password and name no file of the server: otherwise it could
    log in with what is the server's. The rule is that of dblink and postgres_fdw.
    """
    settings = parse(connstr)
    if not is_superuser:
        _refuse_rights_of_the_server(settings)
    timeout = settings.pop("connect_timeout", "")
    if re.fullmatch(r"\s*[0-9]+\s*", timeout) and int(timeout) > 0:
        connect_timeout_seconds = float(timeout)
    settings.setdefault("fallback_application_name", application_name)
    return Target(compose(settings), connect_timeout_seconds, kept_seconds=0.0, needs_password=not is_superuser)


def _refuse_rights_of_the_server(settings: Mapping[str, str]) -> None:
    named = [name for name in SETTINGS_OF_SUPERUSERS if name in settings]
    if named:
        raise InvalidTarget(f"{named[0]} is for jobs whose owner is a superuser")
    if not settings.get("password"):
        raise InvalidTarget("a password is required, unless the owner of the job is a superuser")


def find_server_user() -> str:
    """The operating-system user of this process, that is, of the server."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def advise_login(owner: str, dbname: str, server_user: str) -> str:
    """What would let an owner log in through the server's own socket."""
    names = [_name_in_hba(dbname, "DATABASE"), _name_in_hba(owner, "ROLE")]
    return (
        "steps log in as the owner of their job; to allow it, put into pg_hba.conf, before other lines for it:\n"
        f"local {names[0]} {names[1]} peer map=pgagent_py\n"
        "and into pg_ident.conf:\n"
        f"pgagent_py {server_user} {names[1]}\n"
        "then SELECT pg_reload_conf()"
    )


def _name_in_hba(name: str, substitute: str) -> str:
    """A name as pg_hba.conf and pg_ident.conf read it; not one that would be lines of its own there."""
    if not name.isprintable():
        return substitute
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in HBA_KEYWORDS:
        return name
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def parse(conninfo: str) -> dict[str, str]:
    """The settings named in a connection string or URI. Raises InvalidTarget."""
    try:
        options = pq.Conninfo.parse(conninfo.encode())
    except OperationalError as error:
        raise InvalidTarget(redact(str(error))) from None
    return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}


def compose(settings: Mapping[str, str]) -> bytes:
    """A connection string of these settings, each value quoted."""
    return " ".join(f"{name}={quote(value)}" for name, value in settings.items()).encode()


def quote(value: str) -> str:
    """A value in quotes, as libpq reads it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def redact(message: str) -> str:
    """libpq's complaint about a connection string, without the piece of it that it shows: it may be a password."""
    return re.sub(r'"[^"]*"', '"..."', message)


def redact_failure(message: str) -> str:
    """A failure to connect by a step's connection string, without what may be a piece of a misplaced password: libpq
    shows the value that it takes for a port, an option or a host that does not exist.
    """
    return "\n".join(
        redact(line) if re.search(r'^invalid .*"|could not translate host name "', line) else line
        for line in message.splitlines()
    )
