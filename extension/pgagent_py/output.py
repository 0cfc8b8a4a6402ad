"""What is kept of a step's output: the beginning and the end of it, within a limit. Pure."""

from __future__ import annotations

from collections import deque

from .encoding import UTF8


class HeadTail:
    """Collects bytes; of more than ``limit`` bytes it keeps the first and the last halves. ``size``: of all of them."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit - limit // 2
        self._tail_limit = limit // 2
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0
        self.size = 0

    def append(self, data: bytes) -> None:
        """Adds data at the end."""
        self.size += len(data)
        head = data[: self._head_room]
        if head:
            self._head.append(head)
            self._head_room -= len(head)
        tail = data[len(head) :]
        if tail:
            self._tail.append(tail)
            self._tail_size += len(tail)
        while self._tail_size > self._tail_limit:
            self._shorten()

    def _shorten(self) -> None:
        surplus = self._tail_size - self._tail_limit
        first = self._tail.popleft()
        kept = first[surplus:]
        if kept:
            self._tail.appendleft(kept)
        self._tail_size -= len(first) - len(kept)
        self._left_out += len(first) - len(kept)

    def kept(self) -> bytes:
        """What was kept, with a note of how much was left out."""
        note = f"\n[... {self._left_out} bytes left out ...]\n".encode() if self._left_out else b""
        return b"".join((*self._head, note, *self._tail))


def shorten(text: str, limit: int) -> str:
    """The text cut to about ``limit`` bytes, head and tail kept."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return text
    kept = HeadTail(limit)
    kept.append(data)
    return UTF8.read_output(kept.kept())


def escape(text: str) -> str:
    r"""The text in ASCII, other characters as escapes: fits a database of any encoding."""
    return text.encode("ascii", "backslashreplace").decode("ascii")
