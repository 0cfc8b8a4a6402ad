"""pgAgent's own C++ daemon as a process of its own."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import final

from harness.processes import clean_environment, tied_to_us
from harness.waiting import DEADLINE_SECONDS, wait_until

PROGRAM = "/usr/bin/pgagent"


@final
class Daemon:
    """``pgagent -f -t 1 -l 2 CONNINFO``, started on entering, ended with -9: a signal ends it at once anyway."""

    def __init__(self, conninfo: str) -> None:
        self._command = [PROGRAM, "-f", "-t", "1", "-l", "2", conninfo]
        self._directory = tempfile.TemporaryDirectory(prefix="pgagent_py-daemon-")
        self._log_path = Path(self._directory.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Daemon:
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                tied_to_us(self._command, "KILL"),
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill9()
        self._directory.cleanup()

    @property
    def log(self) -> str:
        """What the daemon has written so far."""
        return self._log_path.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the daemon runs."""
        assert self._process is not None
        return self._process.poll()

    def wait_for_line(self, pattern: str, deadline_seconds: float = DEADLINE_SECONDS) -> str:
        """Wait until a line of its log matches a regular expression, and return the first such line."""

        def find() -> str | None:
            return next((line for line in self.log.splitlines() if re.search(pattern, line)), None)

        return wait_until(find, deadline_seconds, lambda: f"a line like {pattern!r} from the daemon\n{self.log}")

    def kill9(self) -> None:
        """Kill the daemon with -9 and reap it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
