"""Batch steps that may only run programs of certain directories: reading their command line, checking it."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Sequence

from pgagent_ticker.account import Account

NOT_EXECUTABLE = 126  # these two as a shell
NOT_FOUND = 127
LONGEST_COMMAND_CHARS = 65536  # reading takes time, in which the ticker does nothing else


class Refused(Exception):
    """The step may not run what it asks for."""

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def find_program(code: str, directories: Sequence[str]) -> tuple[bytes, ...]:
    """The words of a step's command line, the first of them the program's path without symbolic links.

    `Refused` unless it lies in one of the directories and can be executed. Whoever executes this path, and
    not the one that the step names, runs what was checked.
    """
    allowed = f"allowed are programs in {', '.join(directories)}"
    try:
        words = split_command(code)
    except ValueError as error:
        text = f"{error}; allowed is one line: the path of a program and its arguments; {allowed}"
        raise Refused(NOT_EXECUTABLE, text) from None
    given, *arguments = (word.encode("utf-8", "surrogateescape") for word in words)
    path = os.path.realpath(given)
    if not given.startswith(b"/") or not any(_lies_in(path, os.fsencode(directory)) for directory in directories):
        raise Refused(NOT_EXECUTABLE, f'"{words[0]}" is not allowed; {allowed}')
    _check_program(path, words[0], allowed)
    return path, *arguments


def split_command(code: str) -> list[str]:
    """The words of one command line, as shlex splits them; ValueError if it is anything else."""
    line = code.strip()
    if len(line) > LONGEST_COMMAND_CHARS:
        raise ValueError(f"the command line is longer than {LONGEST_COMMAND_CHARS} characters")
    if "\0" in line:
        raise ValueError("there is a zero byte")
    if "\n" in line or "\r" in line:
        raise ValueError("there is more than one line")
    try:
        words = shlex.split(line)
        has_comment = words != shlex.split(line, comments=True)
    except ValueError as error:
        raise ValueError(f"the command line cannot be read: {str(error).lower()}") from None
    if has_comment:
        raise ValueError('there is a comment; put a "#" that is none into quotes')
    if not words:
        raise ValueError("there is no command")
    return words


def _lies_in(path: bytes, directory: bytes) -> bool:
    # Resolved each time: a directory's own link may be moved to a new version of the programs.
    place = os.path.realpath(directory)
    return path != place and os.path.commonpath([path, place]) == place


def _check_program(path: bytes, word: str, allowed: str) -> None:
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        exit_code = NOT_FOUND if missing else NOT_EXECUTABLE
        raise Refused(exit_code, f'cannot run "{word}": {error.strerror}; {allowed}') from None
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o111:
        raise Refused(NOT_EXECUTABLE, f'"{word}" is not an executable file; {allowed}')


def can_change(account: Account, directory: str) -> bool:
    """Whether a user who is not root could put programs into the directory, as its mode says."""
    if account.uid == 0:
        return False
    found = os.stat(directory)  # noqa: PTH116
    if found.st_uid == account.uid or found.st_mode & 0o002:
        return True
    return bool(found.st_mode & 0o020) and found.st_gid in account.groups
