"""Starting a process for a batch step: what the child does between fork and exec.

The child first becomes the user that it is to run as, and only then touches any file: a script's
directory and file are made with the rights of the script. The ticker does not wait for the exec, it
reads from a pipe how it went: a child that somebody stops on the way holds up nobody.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from pgagent_ticker import descriptors
from pgagent_ticker.account import Account

NOT_EXECUTED = 127
SHELL = b"/bin/sh"
_PR_SET_PDEATHSIG = 1
_DEFAULT_SIGNALS = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")  # ignored by Python, which no script expects

_prctl = getattr(ctypes.CDLL(None), "prctl", None)


@dataclass(frozen=True, slots=True)
class Launch:
    """What is to be started.

    `directory` is made, private; `script`, a name and bytes, is written into it. `working_directory` is
    None for the ticker's own.
    """

    words: tuple[bytes, ...]
    directory: str
    script: tuple[str, bytes] | None
    working_directory: str | None
    environment: dict[bytes, bytes]
    account: Account | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a child could not become what it should: at which stage, and the system's error."""

    stage: str
    error: OSError


def fork_child(launch: Launch, streams: tuple[int, int], kept: int, announce: Callable[[int], None]) -> tuple[int, int]:
    """Fork; returns the child's process id and a descriptor from which its failure can be read.

    `streams` become its standard output and error. `announce` is called in the child with its process
    group, and needs the descriptor `kept`. OSError if the system has no room for another process.
    """
    reading, writing = os.pipe()
    ticker = os.getpid()
    try:
        child = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if child == 0:
        try:
            _leave_ticker(streams, kept, writing)
            announce(os.getpid())
            _become(launch, ticker, writing)
        finally:
            os._exit(NOT_EXECUTED)
    os.close(writing)
    return child, reading


def read_failure(report: bytes) -> Failure | None:
    """What a child wrote before it ended; None if it wrote nothing, because the exec succeeded."""
    if not report:
        return None
    stage, number = report.decode().split()
    return Failure(stage, OSError(int(number), os.strerror(int(number))))


def _leave_ticker(streams: tuple[int, int], *kept: int) -> None:
    # Signals first: until then one that is meant for the group would reach the ticker.
    descriptors.detach_from_parent(*kept, *streams)
    os.setsid()
    for name in _DEFAULT_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((null, *streams)):
        os.dup2(descriptor, number)


def _become(launch: Launch, ticker: int, writing: int) -> NoReturn:
    stage = "account"
    try:
        if launch.account is not None:
            launch.account.assume()
        _tie_to(ticker)
        stage = "directory"
        os.mkdir(launch.directory, 0o700)  # noqa: PTH102
        if launch.script is not None:
            stage = "script"
            write_script(f"{launch.directory}/{launch.script[0]}", launch.script[1])
        stage = "command"
        if launch.working_directory is not None:
            os.chdir(launch.working_directory)
        _execute(launch)
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        os.write(writing, b"%s %d" % (stage.encode(), number or errno.EINVAL))
    os._exit(NOT_EXECUTED)


def _tie_to(ticker: int) -> None:
    """Have the kernel end this process with the ticker; a change of user would undo that."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != ticker:  # it has died before the line above took effect
        os._exit(NOT_EXECUTED)


def _execute(launch: Launch) -> NoReturn:
    try:
        os.execve(launch.words[0], launch.words, launch.environment)  # noqa: S606
    except OSError as error:
        if error.errno != errno.ENOEXEC or launch.script is None:
            raise
    # A shell would run it itself.
    os.execve(SHELL, (SHELL, *launch.words), launch.environment)  # noqa: S606


def write_script(path: str, code: bytes) -> None:
    """Create the script's file, executable for its owner only; OSError as the system says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o700)  # whatever the umask is
        file.write(code)
