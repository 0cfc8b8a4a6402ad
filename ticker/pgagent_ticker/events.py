"""The log: one line per event, `TIME LEVEL text key=value ...`, on standard error or in a file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime, timezone

Detail = str | int | float | None

_PLAIN = re.compile(r"[\w.:/@+,-]+")
_LEVELS = {"ERROR": 0, "WARNING": 1, "INFO": 1, "DEBUG": 2}
_MOST_DETAIL_CHARS = 2000


def format_event(when: datetime, level: str, text: str, details: dict[str, Detail]) -> str:
    """One line without its newline; a detail that is None is left out, control characters are escaped."""
    words = [when.isoformat(timespec="milliseconds"), level, text.replace("\n", " ")]
    words += [f"{key}={_format_detail(value)}" for key, value in details.items() if value is not None]
    return " ".join(words)


def _format_detail(value: Detail) -> str:
    word = f"{value:.3f}" if isinstance(value, float) else str(value)
    if len(word) > _MOST_DETAIL_CHARS:
        word = word[:_MOST_DETAIL_CHARS] + "..."
    return word if _PLAIN.fullmatch(word) else json.dumps(word, ensure_ascii=False)


class LogFile:
    """A file that lines are appended to; follows a rotation by renaming without any signal."""

    def __init__(self, path: str) -> None:
        """Open the file; OSError when that is not possible."""
        self._path = path
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _follow_rotation(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._file)):  # noqa: PTH116
                return
        fresh = self._open()
        os.close(self._file)
        self._file = fresh

    def write(self, line: bytes) -> None:
        """Append a line; OSError when the disk is full."""
        with contextlib.suppress(OSError):  # the old file is better than none
            self._follow_rotation()
        os.write(self._file, line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def write_stderr(line: bytes) -> None:
    """Write a line to standard error, unbuffered."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, line)


def utc_now() -> datetime:
    """This host's clock: for the log lines only, nothing is decided by it."""
    return datetime.now(timezone.utc)


class EventLog:
    """Writes the events of the levels asked for; a log that cannot be written never stops the work."""

    def __init__(
        self, level: int, write: Callable[[bytes], None] = write_stderr, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._level = level
        self._write = write
        self._now = now

    def error(self, text: str, **details: Detail) -> None:
        """Something that ends the ticker or should never happen."""
        self._emit("ERROR", text, details)

    def warning(self, text: str, **details: Detail) -> None:
        """Something that somebody should look at: a failed run, a server that refuses."""
        self._emit("WARNING", text, details)

    def info(self, text: str, **details: Detail) -> None:
        """The ticker's life: started, connected, lost, stopped."""
        self._emit("INFO", text, details)

    def debug(self, text: str, **details: Detail) -> None:
        """Every run and every script."""
        self._emit("DEBUG", text, details)

    def _emit(self, level: str, text: str, details: dict[str, Detail]) -> None:
        if _LEVELS[level] > self._level:
            return
        line = format_event(self._now(), level, text, details) + "\n"
        with contextlib.suppress(OSError):  # a full disk or a closed terminal: the jobs matter more
            self._write(line.encode("utf-8", "backslashreplace"))


class Situation:
    """Something that lasts, such as a missing extension: logged when it begins, changes and ends."""

    def __init__(self, log: EventLog, session: str) -> None:
        self._log = log
        self._session = session
        self._last: str | None = None

    def report(self, text: str, reason: str, hint: str | None = None) -> None:
        """Log the trouble, unless it is the one that was logged last."""
        emit = self._log.debug if self._last == text + reason else self._log.warning
        self._last = text + reason
        emit(text, session=self._session, reason=reason, hint=hint)

    def clear(self) -> None:
        """The trouble is over."""
        if self._last is not None:
            self._log.info("working again", session=self._session)
        self._last = None
