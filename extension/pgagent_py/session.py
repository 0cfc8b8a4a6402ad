"""libpq sessions that never block: connecting, and executing the text of one step at a time. Knows no jobs.

A session is driven from outside: wait until ``descriptor`` is ready for ``wait_events``, then call ``advance``.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from psycopg import OperationalError, pq
from psycopg.pq import _pq_ctypes

from .encoding import UTF8, Encoding, find
from .output import HeadTail
from .run import FAILED, SUCCEEDED, Outcome
from .target import Target

TOO_MANY_CONNECTIONS = "53300"
CONNECTION_FAILURE = "08006"
LOGIN_NOT_PROVEN = "2F003"  # the SQLSTATE of dblink
NOT_ASKED = "the server did not ask for the password: without one, the step would log in with the rights of this server"
MOST_ROWS_AT_A_TIME = 5000
MOST_INT4 = 2**31 - 1
COPY_REFUSAL = b"COPY FROM STDIN cannot be used in a job step: there is no client to send the data"
# For a session made by a step's own connection string: its statement ends soon after its engine does, if its server
# knows how. A session that is used again has it from its connection string, so that DISCARD ALL does not undo it.
SET_UP = b"""
select pg_catalog.set_config(name, '500', false) from pg_catalog.pg_settings
 where name operator(pg_catalog.=) 'client_connection_check_interval'
"""
OPEN_TRANSACTION = "the step left a transaction open: it was rolled back"
EMPTY_CODE = "the step has no statement to execute"
# Named here, because looking them up takes time at every result.
FATAL_ERROR, COPY_OUT, SINGLE_TUPLE = pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.COPY_OUT, pq.ExecStatus.SINGLE_TUPLE
DONE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_NOT_PLAIN = re.compile(rb"[^ -&(-\[\]-~]")
_VERBOSE = 2
_DEFAULT = 1


class ConnectionLost(Exception):
    """A connection that could not be made, or that has ended. ``sqlstate`` is '' where the server gave none."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Link:
    """One libpq connection: made without blocking, then written to and read from without blocking.

    ``descriptor``: the socket; it may change until the connection is made; -1: there is none, advance without waiting.
    ``wait_events``: what to wait for, as select.POLLIN and select.POLLOUT.
    """

    def __init__(self, conninfo: bytes, deadline_seconds: float) -> None:
        """Starts to connect; ``deadline_seconds`` is a time of the monotonic clock."""
        self.deadline_seconds = deadline_seconds
        self.connected = False
        self.wait_events = select.POLLOUT
        self._unsent = False
        self.pgconn = pq.PGconn.connect_start(conninfo)
        self.descriptor = self._find_socket()
        set_error_verbosity(self.pgconn, _VERBOSE)

    def connect(self) -> bool:
        """Goes on connecting: true when the connection has been made. Raises ConnectionLost."""
        if self.pgconn.status == pq.ConnStatus.BAD:
            raise self.loss()
        polling = pq.PollingStatus(self.pgconn.connect_poll())
        if polling == pq.PollingStatus.FAILED:
            raise self.loss()
        self.descriptor = self._find_socket()
        self.wait_events = select.POLLOUT if polling == pq.PollingStatus.WRITING else select.POLLIN
        if polling != pq.PollingStatus.OK:
            return False
        set_error_verbosity(self.pgconn, _DEFAULT)
        self.pgconn.nonblocking = 1
        self.connected = True
        return True

    def _find_socket(self) -> int:
        try:
            return self.pgconn.socket
        except OperationalError:
            return -1

    def flush(self, sent: bool = True) -> None:
        """Sends what is waiting to be sent; ``sent``: something was added. Raises ConnectionLost."""
        if not sent and not self._unsent:
            return
        try:
            self._unsent = self.pgconn.flush() == 1
        except OperationalError:
            raise self.loss() from None
        self.wait_events = select.POLLIN | select.POLLOUT if self._unsent else select.POLLIN

    def receive(self) -> None:
        """Reads what has arrived. Raises ConnectionLost."""
        try:
            self.pgconn.consume_input()
        except OperationalError:
            raise self.loss() from None

    def skip_results(self) -> tuple[bool, bool]:
        """Reads results of which nobody needs the contents, as far as they are there: whether the query is complete,
        and whether one of them is an error. As psycopg's, without an object for each. Raises ConnectionLost, because
        libpq never comes to the end of data to be copied.
        """
        libpq, pgconn, failed = _libpq(), _pointer(self.pgconn), False
        while not libpq.PQisBusy(pgconn):
            result = libpq.PQgetResult(pgconn)
            if result is None:
                return True, failed
            status = libpq.PQresultStatus(result)
            libpq.PQclear(result)
            if status not in (*DONE, FATAL_ERROR):
                raise ConnectionLost(f"unexpected result status {pq.ExecStatus(status).name}")
            failed = failed or status == FATAL_ERROR
        return False, failed

    def take_notifications(self) -> bool:
        """Takes the notifications that have arrived: whether there was one. (A step may LISTEN; nobody needs them.)"""
        arrived = False
        while _take_notification(self.pgconn):
            arrived = True
        return arrived

    def loss(self) -> ConnectionLost:
        """What the connection says of its end."""
        text = UTF8.read_output(self.pgconn.error_message)
        # libpq writes "FATAL:  53300: text" while it is verbose; the first word may be in any language.
        found = re.search(r":  ([0-9A-Z]{5}): ", text)
        sqlstate = found.group(1) if found else ""
        text = re.sub(r":  [0-9A-Z]{5}: ", ":  ", text)
        text = re.sub(r"\nLOCATION: .*", "", text)
        return ConnectionLost(text.strip(), sqlstate)

    def close(self) -> None:
        """Ends the connection; the server learns of it at once."""
        self.pgconn.notice_handler = None
        self.pgconn.finish()


def set_error_verbosity(pgconn: pq.abc.PGconn, verbosity: int) -> None:
    """PQsetErrorVerbosity, which psycopg lacks: a refusal to connect shows its SQLSTATE only when verbose."""
    _libpq().PQsetErrorVerbosity(_pointer(pgconn), verbosity)


def _take_notification(pgconn: pq.abc.PGconn) -> bool:
    """PQnotifies. psycopg 3.1 has it, but never frees what libpq gives it: a backend would grow for ever."""
    notification = _libpq().PQnotifies(_pointer(pgconn))
    if not notification:
        return False
    _libpq().PQfreemem(notification)
    return True


def _pointer(pgconn: pq.abc.PGconn) -> int:
    pointer: int = cast(Any, pgconn).pgconn_ptr
    return pointer


def _forgo_preemption(pid: int) -> None:
    """Has a backend of this server wait for its turn, so that the engine can send to all sessions before they answer.

    Linux alone knows this policy, and a container may forbid it. It takes no share of a processor away from anybody;
    one that somebody else has chosen for the server stays.
    """
    with suppress(AttributeError, OSError):
        if os.sched_getscheduler(pid) == os.SCHED_OTHER:
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))


@lru_cache(maxsize=1)
def _libpq() -> ctypes.CDLL:
    library = ctypes.CDLL(cast(Any, _pq_ctypes).libname)
    for name in ("PQnotifies", "PQfreemem", "PQisBusy", "PQgetResult", "PQresultStatus", "PQclear"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.PQsetErrorVerbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.PQnotifies.restype = library.PQgetResult.restype = ctypes.c_void_p
    return library


def compose_settings(settings: Mapping[str, bytes]) -> bytes:
    """Statements that make these settings for the session, however it reads quotes and whatever encoding it speaks.

    The values are in the encoding of its database.
    """
    quoted = {name: _NOT_PLAIN.sub(lambda found: b"\\x%02x" % ord(found[0]), text) for name, text in settings.items()}
    return b"; ".join([b"set %s = E'%s'" % (name.encode(), text) for name, text in quoted.items()])


class State(Enum):
    """What a step session does."""

    CONNECTING = "connecting"
    SETTING_UP = "setting up"
    IDLE = "idle"
    PREPARING = "preparing"
    RUNNING = "running"
    ROLLING_BACK = "rolling back"
    CLEANING = "cleaning"
    CLOSED = "closed"


class Event(Enum):
    """What a call of advance has brought about."""

    READY = "ready"
    FINISHED = "finished"
    LOST = "lost"


@dataclass(slots=True)
class _Results:
    """What the results of a step's statements have said so far."""

    output: HeadTail
    rows: int = 0
    failed: bool = False
    executed: bool = False
    sqlstate: str = ""


class StepSession:
    """A session for steps: clean at every begin. After FINISHED, ``outcome`` is set; after LOST, ``loss`` is.

    ``taken``: promised to a run. ``was_ready``: a step could have been sent. ``is_spent``: not to be used again.
    ``unread``: results are waiting inside libpq, whatever the socket says.
    """

    def __init__(self, target: Target, output_limit: int, now_seconds: float) -> None:
        self.target = target
        self.state = State.CONNECTING
        self.outcome: Outcome | None = None
        self.loss: ConnectionLost | None = None
        self.idle_since_seconds = now_seconds
        self.unread = False
        self.taken = False
        self.was_ready = False
        self.is_spent = False
        self._code = b""
        self._encoding: Encoding | None = None  # of the clean session; a step may set another one
        self._server_encoding: Encoding | None = None
        self._output_limit = output_limit
        self._results = _Results(HeadTail(output_limit))
        self._refused = False
        self._link = Link(target.conninfo, now_seconds + target.connect_timeout_seconds)
        self._link.pgconn.notice_handler = self._keep_notice

    @property
    def descriptor(self) -> int:
        """The socket to wait for."""
        return self._link.descriptor

    @property
    def wait_events(self) -> int:
        """What to wait for, as select.POLLIN and select.POLLOUT."""
        return self._link.wait_events

    @property
    def is_executing(self) -> bool:
        """Whether the text of a step has been sent and has not ended."""
        return self.state in (State.RUNNING, State.ROLLING_BACK)

    @property
    def backend_pid(self) -> int:
        """Process id of the session's backend, on its server."""
        return self._link.pgconn.backend_pid

    @property
    def is_alive(self) -> bool:
        """Whether an idle session still is one: to it nothing is sent unasked but the news of its end."""
        if self.descriptor < 0:
            return False
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return not poll.poll(0)

    @property
    def output_size(self) -> int:
        """How many bytes the step has put out so far."""
        return self._results.output.size

    def read_output(self) -> str:
        """What the step has put out so far, as far as it is kept."""
        return self._find_encoding().read_output(self._results.output.kept()).strip()

    def begin(self, code: bytes, settings: Mapping[str, str], encoding: Encoding) -> None:
        """Makes the settings, then sends the text of a step, as one simple query; the session must be idle. An end of
        the connection shows in the next advance. Raises Untranslatable if the session's encoding lacks a character of
        the text.
        """
        spoken = self._encoding = self._encoding or self._find_encoding()
        if spoken.name != encoding.name:
            code = spoken.encode_exactly(encoding.decode(code))
        self._code = code
        self.outcome = None
        try:
            self._send(compose_settings(self._encode_settings(settings, encoding)), State.PREPARING)
        except (ConnectionLost, OperationalError):
            # The server closed the idle session: nothing was executed.
            self._forget_socket()

    def advance(self, now_seconds: float) -> Event | None:
        """Goes on with what the session does, without waiting."""
        try:
            return self._advance(now_seconds)
        except ConnectionLost as loss:
            return self._lose(loss)

    def expire(self, now_seconds: float) -> Event | None:
        """Gives up connecting when its time is over and nothing has come."""
        if self.state not in (State.CONNECTING, State.SETTING_UP) or now_seconds < self._link.deadline_seconds:
            return None
        timeout = self.target.connect_timeout_seconds
        return self._lose(ConnectionLost(f"connection timed out after {timeout:g} s"))

    def close(self) -> None:
        """Ends the session, whatever it does."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._link.close()

    def _advance(self, now_seconds: float) -> Event | None:
        if self.state is State.CONNECTING:
            if not self._link.connect():
                return None
            if self.target.needs_password and not self._link.pgconn.used_password:
                raise ConnectionLost(NOT_ASKED, LOGIN_NOT_PROVEN)
            if self.target.is_own_server:
                _forgo_preemption(self.backend_pid)
                return self._become_idle(now_seconds)
            # As much time again: it may have been connected long before somebody looked.
            self._link.deadline_seconds = now_seconds + self.target.connect_timeout_seconds
            self._send(SET_UP, State.SETTING_UP)
            return None
        if self.state is State.IDLE:
            raise ConnectionLost("the server has closed the idle session")
        self._link.flush(sent=False)
        self._link.receive()
        if not self._read_results():
            return None
        return self._complete(now_seconds)

    def _send(self, text: bytes, state: State) -> None:
        self.state = state
        self._refused = False
        self._link.pgconn.send_query(text)
        self._link.flush()

    def _become_idle(self, now_seconds: float) -> Event:
        self.state = State.IDLE
        self.was_ready = True
        self.idle_since_seconds = now_seconds
        return Event.READY

    def _read_results(self) -> bool:
        """Reads results as far as they are there: true when the query is complete."""
        self.unread = False
        if not self.is_executing:
            is_complete, failed = self._link.skip_results()
            self._refused = self._refused or failed
            return is_complete
        pgconn = self._link.pgconn
        for _ in range(MOST_ROWS_AT_A_TIME):
            if pgconn.is_busy():
                return False
            result = pgconn.get_result()
            if result is None:
                return True
            status = result.status
            if status == COPY_OUT:
                if not self._drop_copied_data():
                    return False
            elif status != SINGLE_TUPLE:
                self._take_result(result, status)
        self.unread = True
        return False

    def _take_result(self, result: pq.abc.PGresult, status: int) -> None:
        results = self._results
        if status in DONE:
            results.rows = result.command_tuples or 0
            results.executed = True
        elif status == FATAL_ERROR:
            results.failed = True
            results.sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            results.output.append(result.error_message.strip() + b"\n")
        elif status == pq.ExecStatus.COPY_IN:
            self._link.pgconn.put_copy_end(COPY_REFUSAL)
            self._link.flush()
        elif status != pq.ExecStatus.EMPTY_QUERY:
            raise ConnectionLost(f"unexpected result status {pq.ExecStatus(status).name}")

    def _drop_copied_data(self) -> bool:
        """Reads the data of COPY TO STDOUT away as far as it is there: true when a result follows."""
        for _ in range(MOST_ROWS_AT_A_TIME):
            try:
                size, _data = self._link.pgconn.get_copy_data(1)
            except OperationalError:
                return True
            if size <= 0:
                return size < 0
        return True

    def _keep_notice(self, result: pq.abc.PGresult) -> None:
        if self.state is State.RUNNING:
            self._results.output.append(result.error_message.strip() + b"\n")

    def _complete(self, now_seconds: float) -> Event | None:
        """A query is complete: the set-up, the cleaning, the step's text or its rollback."""
        if self._link.pgconn.status == pq.ConnStatus.BAD:
            return self._lose(self._link.loss())
        if self.state is State.CLEANING and self._refused:
            return self._lose(ConnectionLost("could not clean the session"))
        if self.state is State.PREPARING:
            self._run()
            return None
        if not self.is_executing:
            return self._become_idle(now_seconds)
        if self._link.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            return self._roll_back()
        self.outcome = self._judge()
        self._clean()
        return Event.FINISHED

    def _run(self) -> None:
        if self._refused and self.target.is_own_server:
            raise ConnectionLost("could not prepare the session")
        # Elsewhere may be a server that does not know such settings, and would refuse them for ever.
        try:
            self._send(self._code, State.RUNNING)
            self._link.pgconn.set_single_row_mode()
        except (ConnectionLost, OperationalError):
            # As in begin: nothing was executed.
            self._forget_socket()

    def _forget_socket(self) -> None:
        """The connection has ended: the next advance says so, whatever has the number of its socket by then."""
        self.state = State.IDLE
        self._link.descriptor = -1

    def _roll_back(self) -> Event | None:
        if self.state is State.ROLLING_BACK:
            return self._lose(ConnectionLost("could not end the transaction that the step left open"))
        if not self._results.failed:
            self._results.failed = True
            self._results.output.append(OPEN_TRANSACTION.encode())
        self._send(b"rollback", State.ROLLING_BACK)
        return None

    def _encode_settings(self, settings: Mapping[str, str], encoding: Encoding) -> dict[str, bytes]:
        """In the encoding of the session's database; what that lacks, as escapes."""
        there = self._server_encoding = self._server_encoding or self._find_encoding(b"server_encoding")
        if there.name == encoding.name:
            return {name: encoding.encode(value) for name, value in settings.items()}
        return {name: there.encode(there.show(value)) for name, value in settings.items()}

    def _find_encoding(self, setting: bytes = b"client_encoding") -> Encoding:
        """The encoding of the session: its database's, unless a role, a database or the step itself has set another."""
        return find((self._link.pgconn.parameter_status(setting) or b"UTF8").decode())

    def _judge(self) -> Outcome:
        results = self._results
        if not results.executed and not results.failed:
            results.failed = True
            results.output.append(EMPTY_CODE.encode())
        text = self.read_output() if results.output.size else ""
        if results.failed:
            return Outcome(FAILED, -1, text, results.sqlstate)
        return Outcome(SUCCEEDED, min(results.rows, MOST_INT4), text)

    def _clean(self) -> None:
        if self.is_spent or not self.target.is_own_server:
            self.close()
            return
        self._link.take_notifications()
        self._results = _Results(HeadTail(self._output_limit))
        self._send(b"discard all", State.CLEANING)

    def _lose(self, loss: ConnectionLost) -> Event:
        if self.is_executing:
            said = self._find_encoding().read_output(self._results.output.kept())
            news = [line for line in str(loss).splitlines() if line not in said]
            sqlstate = self._results.sqlstate or loss.sqlstate or CONNECTION_FAILURE
            self.outcome = Outcome(FAILED, -1, "\n".join([said.rstrip(), *news]).strip(), sqlstate)
        self.loss = loss
        self.close()
        return Event.LOST
