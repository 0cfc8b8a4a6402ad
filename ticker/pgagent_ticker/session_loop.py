"""Keeping one session to the database alive for ever; what is done with it is the subclasses' part."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

from pgagent_ticker.connection import (
    ConnectFailed,
    Connection,
    ConnectionLost,
    QueryFailed,
    open_connection,
)
from pgagent_ticker.events import EventLog, Situation
from pgagent_ticker.target import Target
from pgagent_ticker.wakeup import Backoff, Pulse

FIRST_BACKOFF_SECONDS = 0.2
SCHEMA_VERSION = "4"  # pgAgent's, whose tables these are

# A role's or a database's limits would cut calls short. And the server must soon notice that this host is gone: until
# then the runs of this session count as alive. Names that a server lacks are left out; `options` of the user win.
SET_UP = """
select pg_catalog.pg_is_in_recovery(), count(pg_catalog.set_config(s.name, v.value, false))
from (values ('statement_timeout', '0'), ('transaction_timeout', '0'), ('lock_timeout', '0'),
             ('idle_session_timeout', '0'), ('default_transaction_isolation', 'read committed'),
             ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
             ('tcp_user_timeout', '20000')) as v (name, value)
join pg_catalog.pg_settings as s on s.name = v.name and s.source <> 'client'"""
CHECK_VERSION = "select pgagent.pgagent_schema_version()"

_CAUSES = {
    "3F000": ("schema pgagent not found", "Run: create extension pgagent_py"),
    "42883": ("a function of pgagent_py not found", "Run: create extension pgagent_py, or update it"),
    "42P01": ("a table of pgagent_py not found", "Run: create extension pgagent_py, or update it"),
    "42501": ("permission denied", "Grant the ticker's role what the scheduler needs."),
    "25006": ("the server takes no changes", None),
}


class ServerUnfit(Exception):
    """The server that was reached cannot run jobs now; another one may."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What both sessions go by."""

    target: Target
    station: str
    pulse: Pulse
    reconnect_seconds: float
    log: EventLog


class SessionLoop(ABC):
    """Connects, serves, and connects again; ends only after `stop`."""

    name: str
    channel: str

    def __init__(self, terms: Terms) -> None:
        self.log = terms.log
        self.station = terms.station
        self.stopping = False
        self.wake = asyncio.Event()
        self.situation = Situation(terms.log, self.name)
        self.trouble = Backoff(FIRST_BACKOFF_SECONDS, terms.pulse.interval_seconds, random.random)
        self._pulse = terms.pulse
        self._target = terms.target
        self._connect_backoff = Backoff(FIRST_BACKOFF_SECONDS, terms.reconnect_seconds, random.random)
        self._connecting: asyncio.Task[Connection] | None = None
        self._last_notice = ""
        self._unfit = False  # the last server was: it is asked again and again

    def stop(self) -> None:
        """Take nothing new, bring what runs to an end."""
        self.stopping = True
        self.wake.set()
        if self._connecting:
            self._connecting.cancel()

    async def run(self) -> None:
        """Keep a session until `stop`."""
        while not self.stopping:
            pause_seconds = await self._live_once()
            if not self.stopping:
                await self._pause(pause_seconds)

    async def _live_once(self) -> float:
        """One session from its beginning to its end; returns the wait before the next."""
        try:
            connection = await self._connect()
        except ConnectFailed as failure:
            self.situation.report("could not connect", str(failure))
            return self._connect_backoff.next_seconds()
        except asyncio.CancelledError:
            if not self.stopping:
                raise
            return 0.0
        try:
            return await self._serve_until_lost(connection)
        finally:
            connection.close()
            await self.after_loss()

    async def _connect(self) -> Connection:
        self._connecting = asyncio.ensure_future(open_connection(self._target, self._take_notice))
        try:
            return await self._connecting
        finally:
            self._connecting = None

    async def _serve_until_lost(self, connection: Connection) -> float:
        pid = connection.backend_pid
        emit = self.log.debug if self._unfit else self.log.info
        emit("connected", session=self.name, server_pid=pid, host=connection.place)
        try:
            await self.serve(connection)
        except ConnectionLost as lost:
            if not self.stopping:
                self.situation.report("connection lost", self._target.redact(str(lost)))
            return self._connect_backoff.next_seconds()
        except ServerUnfit as unfit:
            self._unfit = True
            self.situation.report("server is not usable", str(unfit))
            return self._pulse.interval_seconds
        return 0.0

    @abstractmethod
    async def serve(self, connection: Connection) -> None:
        """Work until `stopping`; ConnectionLost and ServerUnfit end the session."""

    async def after_loss(self) -> None:
        """Called when a session is over, before the next begins."""
        return

    async def prepare(self, connection: Connection) -> None:
        """Make the session ready and see that pgagent_py is there; `QueryFailed` if it is not."""
        rows = await connection.fetch(SET_UP)
        if rows[0][0] == "t":
            raise ServerUnfit("it is a standby")
        self._unfit = False
        version = (await connection.fetch(CHECK_VERSION))[0][0]
        if version != SCHEMA_VERSION:
            self.log.warning("unknown version of the schema", session=self.name, found=version)
        await connection.fetch(f"listen {self.channel}")
        self._connect_backoff.reset()

    def pulse_seconds(self) -> float:
        """The longest pause of a session with nothing to do."""
        return self._pulse.left_seconds(asyncio.get_running_loop().time())

    def report_failure(self, failure: QueryFailed) -> float:
        """Log a refused statement, once while it lasts; returns the wait before the next attempt."""
        text, hint = _CAUSES.get(failure.sqlstate, ("statement failed", None))
        reason = f"{failure.sqlstate}: {failure}"
        self.situation.report(text, self._target.redact(reason), failure.hint or hint)
        return self.trouble.next_seconds()

    def report_success(self) -> None:
        """A statement worked again."""
        self.situation.clear()
        self.trouble.reset()

    def _take_notice(self, severity: str, message: str) -> None:
        known = message == self._last_notice or severity.startswith("DEBUG")
        emit = self.log.debug if known else self.log.warning
        self._last_notice = message
        emit("server says", session=self.name, severity=severity, message=message)

    async def _pause(self, seconds: float) -> None:
        self.wake.clear()
        timer = asyncio.get_running_loop().call_later(seconds, self.wake.set)
        await self.wake.wait()
        timer.cancel()
