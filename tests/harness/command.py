"""The command `pgagent-py` as a process, piped or at a terminal of its own.

The processes are forked by a server that has imported all they need: a tenth of the time.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, final

import pyte

from harness.processes import clean_environment, tied_to_us
from harness.waiting import DEADLINE_SECONDS, wait_until

COLUMNS, LINES = 80, 24

_TICKER = Path(__file__).resolve().parents[2] / "ticker"


def command_environment(**extra: str) -> dict[str, str]:
    """The environment of a command: nothing of ours, times in UTC."""
    return clean_environment(PYTHONPATH=str(_TICKER), PGTZ="UTC", **extra)


@final
class CommandServer:
    """Starts commands; used by tests through `Command`."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="pgagent_py-command-")
        self._address = str(Path(self._directory.name) / "socket")
        command = [sys.executable, str(Path(__file__).with_name("command_server.py")), self._address]
        self._process = subprocess.Popen(tied_to_us(command, "KILL"), env=command_environment())

    def __enter__(self) -> CommandServer:
        wait_until(Path(self._address).exists, what="the server of commands to listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()

    def start(self, arguments: list[str], environment: Mapping[str, str], files: tuple[int, int, int]) -> Process:
        """Start a command with these files as its standard ones; they may be closed afterwards."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(self._address)
        request = json.dumps({"arguments": arguments, "environment": dict(environment)})
        socket.send_fds(connection, [request.encode()], list(files))
        return Process(connection)


@final
class Process:
    """A command that was started."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(connection.recv(100))

    def wait(self, deadline_seconds: float = DEADLINE_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        self._connection.settimeout(deadline_seconds)
        try:
            return int(self._connection.recv(100))
        finally:
            self._connection.close()

    def kill(self) -> None:
        """Kill it with -9, if it has not been waited for."""
        if self._connection.fileno() >= 0:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


@final
class Command:
    """`pgagent-py` connected to a database: call it with its arguments."""

    def __init__(self, server: CommandServer, conninfo: str | None) -> None:
        self._server = server
        self._conninfo = conninfo

    @property
    def conninfo(self) -> str:
        """Where it connects."""
        assert self._conninfo is not None
        return self._conninfo

    def connected_by(self, conninfo: str | None) -> Command:
        """The same with another connection string; None: none."""
        return Command(self._server, conninfo)

    def __call__(self, *arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, piped, with ``text`` on standard input."""
        with tempfile.TemporaryFile("w+") as given:
            given.write(text)
            given.seek(0)
            return self._start(given.fileno(), arguments, environment).finish()

    def start(self, *arguments: str) -> Running:
        """Start it, piped; the caller has it finished."""
        with Path(os.devnull).open() as nothing:
            return self._start(nothing.fileno(), arguments, {})

    def listed(self, *arguments: str) -> Any:
        """What it prints with --json."""
        done = self(*arguments, "--json")
        assert done.stderr == ""
        return json.loads(done.stdout)

    def at_terminal(self, *arguments: str, **environment: str) -> Terminal:
        """Start it at a terminal."""
        variables = command_environment(**{"TERM": "xterm-256color", **environment})
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        process = self._server.start(self._words(arguments), variables, (slave, slave, slave))
        os.close(slave)
        return Terminal(process, master)

    def _start(self, given: int, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Running:
        out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        files = (given, out.fileno(), err.fileno())
        return Running(self._server.start(self._words(arguments), command_environment(**environment), files), out, err)

    def _words(self, arguments: tuple[str, ...]) -> list[str]:
        return [*([] if self._conninfo is None else ["-d", self._conninfo]), *arguments]


@final
class Running:
    """A command that goes on, its output piped into files."""

    def __init__(self, process: Process, out: Any, err: Any) -> None:
        self._process = process
        self._out = out
        self._err = err

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and return what it has written."""
        with self._out as out, self._err as err:
            code = self._process.wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([], code, out.read(), err.read())


@final
class Terminal:
    """A command at a terminal of 80 columns and 24 lines, whose screen can be looked at."""

    def __init__(self, process: Process, master: int) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._process = process
        self._master = master
        self.written = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def styles_of(self, word: str) -> set[str]:
        """The colours in which the screen shows a word, in the first place of each line that has it."""
        found = set()
        for number, line in enumerate(self._screen.display):
            start = line.find(word)
            if start >= 0:
                found |= {str(self._screen.buffer[number][start + i].fg) for i in range(len(word))}
        return found

    def press(self, keys: bytes) -> None:
        """Press keys; Ctrl-C is 3."""
        os.write(self._master, keys)

    def wait_for(self, condition: Callable[[str], bool], deadline_seconds: float = DEADLINE_SECONDS) -> str:
        """Wait until the screen fulfils a condition, and return its text."""
        end = time.monotonic() + deadline_seconds
        while not condition(self.text):
            if not self._read(max(end - time.monotonic(), 0)) or time.monotonic() >= end:
                assert condition(self.text), f"the screen shows\n{self.text}"
        return self.text

    def wait(self, deadline_seconds: float = DEADLINE_SECONDS) -> int:
        """Wait for the end of the command and return its exit code."""
        end = time.monotonic() + deadline_seconds
        while self._read(max(end - time.monotonic(), 0)):
            assert time.monotonic() < end, f"the command goes on; the screen shows\n{self.text}"
        return self._process.wait()

    def _read(self, wait_seconds: float) -> bool:
        """Take what was written; False: the command has ended, or has written nothing."""
        ready, _, _ = select.select([self._master], [], [], wait_seconds)
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # how Linux says that the other side is closed
            data = b""
        self.written += data
        self._stream.feed(data)
        return bool(data)
