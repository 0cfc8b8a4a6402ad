"""A process that has imported the command, and forks one for each request: see `harness.command`."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import socket
import sys
import termios
from collections.abc import Callable
from typing import NoReturn

import click.shell_completion  # noqa: F401
import psycopg  # noqa: F401
import rich.live
import rich.status
import rich.table  # noqa: F401
import yaml  # noqa: F401

from pgagent_cli.cli import COMMANDS, cli, main

_LARGEST_REQUEST_BYTES = 100_000


def serve(address: str) -> NoReturn:
    """Answer each connection with a process id and, later, with an exit code."""
    for name in COMMANDS:
        cli.get_command(None, name)  # type: ignore[arg-type]  # it looks at the name alone
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{address}.new")
    listener.listen(100)
    os.rename(f"{address}.new", address)  # noqa: PTH104
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(connection)
        connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST_BYTES, 3)
    asked = json.loads(request)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become_command(asked["arguments"], asked["environment"], files)
    for file in files:
        os.close(file)
    connection.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become_command(arguments: list[str], environment: dict[str, str], files: list[int]) -> NoReturn:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.setsid()
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = _open(0, "r"), _open(1, "w"), _open(2, "w")
    code = 1
    try:
        code = _run(lambda: main(arguments))
    finally:
        os._exit(code)


def _run(command: Callable[[], int]) -> int:
    try:
        return command()
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def _open(number: int, mode: str) -> io.TextIOWrapper:
    return open(number, mode, encoding="utf-8", closefd=False)  # type: ignore[return-value]


if __name__ == "__main__":
    serve(sys.argv[1])
