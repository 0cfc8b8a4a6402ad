"""The ticker as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import final

from harness.processes import descendants, tied_to_us
from harness.waiting import DEADLINE_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]


@final
class Ticker:
    """``pgagent-ticker OPTIONS CONNINFO``, started on entering, with its stderr kept in a file.

    ``wrapper`` is a command that becomes the ticker, such as setpriv with its options.
    """

    def __init__(
        self, conninfo: str, *options: str, environment: dict[str, str] | None = None, wrapper: Sequence[str] = ()
    ) -> None:
        self._command = [*wrapper, sys.executable, "-m", "pgagent_ticker", *options, conninfo]
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT / "ticker"), **(environment or {})}
        self._directory = tempfile.TemporaryDirectory(prefix="pgagent_py-ticker-")
        self._log_path = Path(self._directory.name) / "stderr"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Ticker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill9()
        self._directory.cleanup()

    @property
    def pid(self) -> int:
        """The process id of the ticker."""
        return self._running.pid

    @property
    def log(self) -> str:
        """What the ticker has written to stderr so far, over all its starts."""
        return self._log_path.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the ticker runs."""
        return self._running.poll()

    def start(self) -> None:
        """Start the process; returns at once. A ticker that has ended may be started again."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                tied_to_us(self._command, "TERM"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for_line(self, pattern: str, deadline_seconds: float = DEADLINE_SECONDS) -> str:
        """Wait until a line on stderr matches a regular expression, and return the first such line."""

        def find() -> str | None:
            return next((line for line in self.log.splitlines() if re.search(pattern, line)), None)

        return wait_until(find, deadline_seconds, lambda: f"a line like {pattern!r} from the ticker\n{self.log}")

    def server_pid(self, session: str) -> int:
        """Wait until a session, ``due`` or ``batch``, is connected; return the id of its backend, the newest one's."""
        pattern = rf"connected session={session} server_pid=(\d+)"
        self.wait_for_line(pattern)
        return int(re.findall(pattern, self.log)[-1])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the ticker alone, not to its children."""
        self._running.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, deadline_seconds: float = DEADLINE_SECONDS) -> int:
        """Ask the ticker to end, wait for it and return its exit code."""
        self.send(number)
        return self.wait(deadline_seconds)

    def wait(self, deadline_seconds: float = DEADLINE_SECONDS) -> int:
        """Wait for the ticker's end and return its exit code, negative for a signal."""
        try:
            return self._running.wait(deadline_seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the ticker did not end within {deadline_seconds:g} s\n{self.log}") from error

    def kill9(self) -> None:
        """Kill the ticker with -9 and reap it."""
        self._running.kill()
        self._running.wait()

    def children(self) -> list[int]:
        """Return the process ids of all descendants: its guardian and whatever scripts run."""
        return descendants(self.pid)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the ticker was not started"
        return self._process
