"""Debian's pgAgent daemon, run beside ours on a database of its own with the extension pgagent."""

from __future__ import annotations

import os
import re
import subprocess
from types import TracebackType
from typing import final

from psycopg import Connection
from psycopg.rows import TupleRow

from harness import wait_until
from harness.processes import clean_environment, tied_to_us

PROGRAM = "/usr/bin/pgagent"
REMEDY = "apt-get install pgagent"


def version() -> str | None:
    """Return the version of the daemon that is installed, None if there is none."""
    if not os.access(PROGRAM, os.X_OK):
        return None
    text = subprocess.run([PROGRAM, "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Version: (\S+)", text)
    return found.group(1) if found else "of unknown version"


@final
class Daemon:
    """The daemon in the foreground, ended with -9 on leaving: it knows no other end that leaves nothing."""

    def __init__(self, conninfo: str, watcher: Connection[TupleRow], poll_seconds: int = 1) -> None:
        self._command = [PROGRAM, "-f", "-t", str(poll_seconds), "-l", "0", conninfo]
        self._watcher = watcher
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Daemon:
        self._process = subprocess.Popen(
            tied_to_us(self._command, "KILL"),
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._is_registered, what="the daemon to register itself")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._watcher.execute("select pg_terminate_backend(pid) from pg_stat_activity where " + _OTHERS)
        wait_until(lambda: not self.backends(), what="the daemon's sessions to end")

    @property
    def pid(self) -> int:
        """The process id of the daemon."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the daemon has ended by itself."""
        assert self._process is not None
        return self._process.poll() is not None

    def backends(self) -> list[int]:
        """Return the process ids of its sessions' backends."""
        return other_backends(self._watcher)

    def _is_registered(self) -> bool:
        assert not self.has_ended, "the daemon has ended"
        row = self._watcher.execute(
            "select exists (select from pgagent.pga_jobagent a join pg_stat_activity s on s.pid = a.jagpid)"
        ).fetchone()
        return row is not None and bool(row[0])


_OTHERS = "datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"


def other_backends(conn: Connection[TupleRow]) -> list[int]:
    """Return the process ids of all client backends of a session's database but its own."""
    return [row[0] for row in conn.execute("select pid from pg_stat_activity where " + _OTHERS)]
