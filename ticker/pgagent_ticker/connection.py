"""One libpq session driven by the event loop: connect, one statement at a time, notifications, cancel.

It stands on `psycopg.pq`, not on psycopg's own asyncio connection, because that resolves host names in a
thread, and a process that forks scripts must have none. The price: a slow name server holds up the ticker
while it connects.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq

from pgagent_ticker import descriptors
from pgagent_ticker.target import Target, resolve

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

Value = str | int | None
Row = tuple[str | None, ...]

CANCEL_TIMEOUT_SECONDS = 10
_FATAL = ("FATAL", "PANIC")
_DIAGNOSTIC = pq.DiagnosticField


class ConnectFailed(Exception):
    """No session could be opened."""


class ConnectionLost(Exception):
    """The session has ended, or nobody knows."""


class QueryFailed(Exception):
    """The server refused a statement; the session lives on."""

    def __init__(self, sqlstate: str, message: str, hint: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.hint = hint


def _diagnostic(result: PGresult, field: pq.DiagnosticField) -> str | None:
    value = result.error_field(field)
    return value.decode("utf-8", "replace") if value is not None else None


class Connection:
    """An open session in autocommit mode. Text values only; bytes that are no UTF-8 become surrogates."""

    def __init__(self, pgconn: PGconn, on_notice: Callable[[str, str], None]) -> None:
        self._pgconn = pgconn
        self._on_notice = on_notice
        self._farewell: str | None = None  # the server's last words
        self._notified = False
        self._lost: psycopg.Error | None = None
        self._prepared: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        pgconn.nonblocking = 1
        pgconn.notice_handler = self._take_notice

    @property
    def backend_pid(self) -> int:
        """The process id of the server's side."""
        return self._pgconn.backend_pid

    @property
    def place(self) -> str:
        """Host, port and database, for the log."""
        pgconn = self._pgconn
        return b":".join((pgconn.host, pgconn.port, pgconn.db)).decode("utf-8", "replace")

    def close(self) -> None:
        """End the session; does not wait."""
        self._pgconn.finish()

    async def fetch(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement and return its rows; `QueryFailed` or `ConnectionLost` otherwise."""
        parameters = [_bytes(value) for value in values]
        return await self._answer(lambda: self._pgconn.send_query_params(statement.encode(), parameters))

    async def fetch_prepared(self, statement: str, *values: Value) -> list[Row]:
        """As `fetch`, for a statement that is repeated: the server analyses and plans it only once."""
        parameters = [_bytes(value) for value in values]
        name = self._prepared.get(statement)
        if name is None:
            name = b"repeated_%d" % next(self._numbers)
            await self._answer(lambda: self._pgconn.send_prepare(name, statement.encode()))
            self._prepared[statement] = name
        try:
            return await self._answer(lambda: self._pgconn.send_query_prepared(name, parameters))
        except QueryFailed:
            # The extension may have been replaced by another version of it: the next call begins anew.
            del self._prepared[statement]
            with contextlib.suppress(QueryFailed):
                await self.fetch(f"deallocate {name.decode()}")
            raise

    async def _answer(self, send: Callable[[], None]) -> list[Row]:
        try:
            send()
            await self._flush()
            result = await self._last_result()
        except psycopg.Error as error:
            raise self._as_lost(error) from None
        return self._rows(result)

    async def _flush(self) -> None:
        while self._pgconn.flush():
            await wait_for_socket(self._pgconn.socket, True)
            self._pgconn.consume_input()

    async def _last_result(self) -> PGresult | None:
        last = None
        while True:
            while self._pgconn.is_busy():
                await wait_for_socket(self._pgconn.socket, False)
                self._pgconn.consume_input()
            self._collect_notifications()
            result = self._pgconn.get_result()
            if result is None:
                return last
            self._note_farewell(result)
            last = result

    def _rows(self, result: PGresult | None) -> list[Row]:
        if result is None or self._pgconn.status == pq.ConnStatus.BAD or self._farewell:
            raise self._as_lost(None)
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise QueryFailed(
                _diagnostic(result, _DIAGNOSTIC.SQLSTATE) or "XX000",
                _diagnostic(result, _DIAGNOSTIC.MESSAGE_PRIMARY) or "unknown error",
                _diagnostic(result, _DIAGNOSTIC.MESSAGE_HINT),
            )
        return [
            tuple(_text(result.get_value(row, column)) for column in range(result.nfields))
            for row in range(result.ntuples)
        ]

    def _as_lost(self, error: psycopg.Error | None) -> ConnectionLost:
        return ConnectionLost(self._farewell or _one_line(str(error or "the session was closed")))

    def _note_farewell(self, result: PGresult) -> None:
        if _diagnostic(result, _DIAGNOSTIC.SEVERITY_NONLOCALIZED) in _FATAL:
            self._farewell = _diagnostic(result, _DIAGNOSTIC.MESSAGE_PRIMARY)

    def _take_notice(self, result: PGresult) -> None:
        self._note_farewell(result)  # a session that is terminated while idle hears of it in a notice
        if self._farewell is None:
            severity = _diagnostic(result, _DIAGNOSTIC.SEVERITY_NONLOCALIZED) or ""
            self._on_notice(severity, _diagnostic(result, _DIAGNOSTIC.MESSAGE_PRIMARY) or "")

    def _collect_notifications(self) -> None:
        while self._pgconn.notifies() is not None:
            self._notified = True

    def forget_notifications(self) -> None:
        """To be called before a statement that sees whatever was notified of up to now."""
        self._notified = False

    async def idle(self, wake: asyncio.Event, seconds: float) -> bool:
        """Sleep until a notification comes, `wake` is set or the time is over; True if it was not the time.

        `ConnectionLost` when the server ends the session.
        """
        await asyncio.sleep(0)  # whatever woke it already, others have their turn
        in_time = self._should_wake() or wake.is_set() or await self._sleep(wake, seconds)
        if self._lost is not None or self._farewell is not None:
            raise self._as_lost(self._lost)
        return in_time

    async def _sleep(self, wake: asyncio.Event, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        try:
            descriptor = self._pgconn.socket
        except psycopg.Error as error:
            self._lost = error
            return True
        timer = loop.call_later(seconds, wake.set)
        loop.add_reader(descriptor, self._read_while_idle, wake)
        try:
            await wake.wait()
        finally:
            timer.cancel()
            loop.remove_reader(descriptor)  # the number from before: libpq closes a lost connection's socket
        return loop.time() < timer.when()

    def _read_while_idle(self, wake: asyncio.Event) -> None:
        try:
            self._pgconn.consume_input()
            self._collect_notifications()
        except psycopg.Error as error:
            self._lost = error
        if self._should_wake():
            wake.set()

    def _should_wake(self) -> bool:
        return self._notified or self._lost is not None or self._farewell is not None

    def cancel(self) -> int:
        """Ask the server to cancel the statement in flight; returns the id of the child process that asks.

        libpq's cancel blocks until the server answers, which a cut network makes minutes: hence the child.
        """
        handle = self._pgconn.get_cancel()
        child = os.fork()
        if child == 0:
            try:
                descriptors.detach_from_parent()
                signal.alarm(CANCEL_TIMEOUT_SECONDS)
                handle.cancel()
            finally:
                os._exit(0)
        return child


def _bytes(value: Value) -> bytes | None:
    return None if value is None else str(value).encode("utf-8", "surrogateescape")


def _text(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).decode("utf-8", "surrogateescape")


def _one_line(text: str) -> str:
    return " ".join(text.split())


async def wait_for_socket(descriptor: int, for_writing: bool) -> None:
    """Wait until the socket can be read, or, if asked, written."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    if for_writing:
        loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
        if for_writing:
            loop.remove_writer(descriptor)


async def open_connection(target: Target, on_notice: Callable[[str, str], None]) -> Connection:
    """Connect to the first host that answers; `ConnectFailed` with every host's reason when none does."""
    reasons = []
    for attempt in target.attempts:
        try:
            conninfos = resolve(attempt)
        except (OSError, ValueError) as error:
            reasons.append(f'could not resolve host name "{attempt["host"]}": {error}')
            continue
        for conninfo in conninfos:
            try:
                return Connection(await _connect(conninfo, target.timeout_seconds), on_notice)
            except ConnectFailed as failure:
                reasons.append(str(failure))
    raise ConnectFailed(target.redact("; ".join(reasons)))


async def _connect(conninfo: str, timeout_seconds: float | None) -> PGconn:
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        await asyncio.wait_for(_poll(pgconn), timeout_seconds)
    except asyncio.TimeoutError:
        pgconn.finish()
        raise ConnectFailed("timeout expired") from None
    except psycopg.Error as error:
        pgconn.finish()
        raise ConnectFailed(_one_line(str(error))) from None
    except BaseException:
        pgconn.finish()
        raise
    return pgconn


async def _poll(pgconn: PGconn) -> None:
    while pgconn.status != pq.ConnStatus.BAD:
        state = pgconn.connect_poll()
        if state == pq.PollingStatus.OK:
            return
        if state == pq.PollingStatus.FAILED:
            break
        await _wait_while_connecting(pgconn.socket, state == pq.PollingStatus.WRITING)
    raise ConnectFailed(_one_line(pgconn.error_message.decode("utf-8", "replace")))


async def _wait_while_connecting(descriptor: int, for_writing: bool) -> None:
    """Wait for one direction only: bytes that libpq does not want yet would make it spin."""
    if not for_writing:
        await wait_for_socket(descriptor, False)
        return
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)
