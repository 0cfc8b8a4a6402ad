"""Where a drill takes place: a server of its own, agents of three kinds, a network between them that can fail."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, final

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from drill.jobs import Maker
from drill.plan import LEASE_SECONDS, Plan
from harness import Cluster, Ticker
from harness.proxy import Proxy
from harness.waiting import wait_until

DATABASE = "drill"
MAX_CONNECTIONS = 50
CALLER = "drill caller"
"""Application name of the sessions that call run_due as a person in psql does."""

_RECORDS = Path(__file__).with_name("records.sql")
_MARK = "PGAGENT_DRILL"
_QUICK = "-c lock_timeout=500ms -c statement_timeout=5s"


@final
class Caller(threading.Thread):
    """A session that calls run_due in slices, with pauses; it comes back whatever happens to it."""

    def __init__(self, conninfo: str, rng: random.Random) -> None:
        super().__init__(name=CALLER)
        self._conninfo = make_conninfo(conninfo, application_name=CALLER)
        self._rng = rng
        self._stopping = threading.Event()

    def run(self) -> None:
        """Connect and call until told to stop."""
        while not self._stopping.is_set():
            with suppress(psycopg.Error), psycopg.connect(self._conninfo, autocommit=True) as conn:
                self._call(conn)
            self._stopping.wait(0.3)

    def stop(self) -> None:
        """Stop after the current slice and wait for that."""
        self._stopping.set()
        self.join(30)

    def _call(self, conn: Connection[TupleRow]) -> None:
        for _ in range(self._rng.randint(1, 60)):
            if self._stopping.is_set():
                return
            conn.execute("select * from pgagent.run_due(%s::interval)", (self._rng.choice(["0.2 s", "1 s", "2 s"]),))
            self._stopping.wait(self._rng.choice([0, 0.05, 0.5, 1.5]))


@final
class Site:
    """The server, its jobs and its agents. Faults use what is public here."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.directory = directory
        self.evidence = directory / "evidence"
        self.evidence.touch()
        self.cluster = Cluster(max_connections=MAX_CONNECTIONS)
        self.tickers: list[Ticker] = []
        self.stopped: set[int] = set()
        self.deserters: list[str] = []
        self._callers: list[Caller] = []
        self._stack = ExitStack()
        self._admin: Connection[TupleRow] | None = None

    def __enter__(self) -> Site:
        with ExitStack() as stack:
            stack.enter_context(self.cluster)
            self.proxy = stack.enter_context(Proxy(self.cluster.port))
            self._make_database()
            self._start_agents(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wake_all()
        if self._admin is not None:
            self._admin.close()
        self._stack.__exit__(kind, error, trace)

    def connect(self, application: str, **parameters: str) -> Connection[TupleRow]:
        """Open a session that waits for nothing long."""
        options = {"application_name": application, "connect_timeout": "5", "options": _QUICK, **parameters}
        return self.cluster.connect(DATABASE, **options)

    @property
    def admin(self) -> Connection[TupleRow]:
        """The drill's own session, made anew when it was lost."""
        if self._admin is None or self._admin.closed:
            self._admin = self.connect("drill admin")
        return self._admin

    def maker(self) -> Maker:
        """Who adds jobs to this site."""
        return Maker(self.plan, self.evidence, self.cluster.conninfo(DATABASE, tcp=True))

    def suspend(self, pid: int, seconds: float) -> None:
        """Stop a process for a while. A thread wakes it: this one may hang on a lock that the process holds."""
        os.kill(pid, signal.SIGSTOP)
        self.stopped.add(pid)
        timer = threading.Timer(seconds, self._wake, (pid,))
        timer.daemon = True
        timer.start()

    def wake_all(self) -> None:
        """Continue all processes that were stopped: a server cannot shut down without them."""
        for pid in tuple(self.stopped):
            self._wake(pid)

    def restart(self, mode: str) -> None:
        """Stop the server in a mode of pg_ctl, or ``kill`` its postmaster, and start it again."""
        self.wake_all()
        if mode == "kill":
            self.cluster.kill_postmaster()
        else:
            self.cluster.stop(mode)
        self.cluster.start()

    def free_disk(self) -> bool:
        """No table is on a full disk any more; false if the session was lost."""
        try:
            self.admin.execute("delete from drill.full_disk")
        except psycopg.Error:
            return False
        return True

    def repair(self) -> None:
        """After the storm: everything works again."""
        self.wake_all()
        wait_until(self.free_disk, 30, "the disk to be freed")
        self.proxy.delay_seconds = 0.0
        self.proxy.mend()
        for ticker in self.tickers:
            if ticker.exit_code is not None:
                self.deserters.append(ticker.log[-500:])
                ticker.start()

    def stop_agents(self) -> None:
        """End all agents in order."""
        for caller in self._callers:
            caller.stop()
        for ticker in self.tickers:
            ticker.stop()

    def scripts(self) -> list[int]:
        """Processes of this drill's tickers that are still there: the tickers and whatever they have started."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def _wake(self, pid: int) -> None:
        if pid in self.stopped:
            self.stopped.discard(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _make_database(self) -> None:
        self.cluster.create_database(DATABASE)
        with self.cluster.connect(DATABASE, application_name="drill setup") as conn:
            conn.execute(_RECORDS.read_text())
            conn.execute("update pgagent.settings set agent_lease = make_interval(secs => %s)", (LEASE_SECONDS,))
            self.maker().add_all(conn)

    def _start_agents(self, stack: ExitStack) -> None:
        starts: list[Any] = [self._start_ticker, self._start_caller, self._start_distant_ticker]
        for number in range(self.plan.agents):
            starts[number % len(starts)](stack, number)

    def _start_ticker(self, stack: ExitStack, number: int) -> None:
        self._add_ticker(stack, self.cluster.conninfo(DATABASE), number)

    def _start_distant_ticker(self, stack: ExitStack, number: int) -> None:
        """A ticker on the far side of the network that fails."""
        parameters = {"tcp_user_timeout": "4000", "keepalives_idle": "2", "keepalives_interval": "1"}
        conninfo = self.cluster.conninfo(DATABASE, tcp=True, **parameters)
        self._add_ticker(stack, make_conninfo(conninfo, port=self.proxy.port), number)

    def _start_caller(self, stack: ExitStack, number: int) -> None:
        caller = Caller(self.cluster.conninfo(DATABASE), self.plan.stream(f"caller {number}"))
        self._callers.append(caller)
        stack.callback(caller.stop)
        caller.start()

    def _add_ticker(self, stack: ExitStack, conninfo: str, number: int) -> None:
        options = ("-t", "2", "-r", "10", "-l", "2", "--grace", "2", "--station", f"station {number}")
        ticker = Ticker(conninfo, *options, "--environment", _MARK, environment={_MARK: str(self.evidence)})
        self.tickers.append(stack.enter_context(ticker))

    def _is_ours(self, entry: Path) -> bool:
        try:
            return f"{_MARK}={self.evidence}".encode() in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            return False
