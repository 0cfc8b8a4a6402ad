"""What a script printed: kept within a bound while it runs, made into the text that the step's log gets."""

from __future__ import annotations

_LONGEST_CONTINUATION = 3  # bytes of a UTF-8 character after its first


class Capture:
    """The first and the last bytes of a stream of any length, at most `limit_bytes` of them together."""

    __slots__ = ("_head", "_head_bytes", "_tail", "_tail_bytes", "total_bytes")

    def __init__(self, limit_bytes: int) -> None:
        limit = max(limit_bytes, 2)
        self._head_bytes = limit - limit // 2
        self._tail_bytes = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total_bytes = 0

    def add(self, data: bytes) -> None:
        """Take in the next bytes of the stream."""
        self.total_bytes += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._tail_bytes :]
        del self._tail[: max(0, len(self._tail) - self._tail_bytes)]

    def cut(self, limit_bytes: int) -> bytes:
        """The stream within `limit_bytes`: head and tail, and a line between that says what is missing."""
        kept = bytes(self._head + self._tail)
        if self.total_bytes <= min(limit_bytes, len(kept)):
            return kept
        half = min(max(limit_bytes, 0) // 2, self._tail_bytes)
        head = _without_broken_end(kept[:half])
        tail = _without_broken_start(kept[len(kept) - half :])
        left_out = self.total_bytes - len(head) - len(tail)
        return head + b"\n[... %d bytes left out ...]\n" % left_out + tail


def _without_broken_end(data: bytes) -> bytes:
    for back in range(1, min(_LONGEST_CONTINUATION, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return data[:-back] if needed > back else data
    return data


def _without_broken_start(data: bytes) -> bytes:
    start = 0
    while start < min(_LONGEST_CONTINUATION, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


def split_limit(limit_bytes: int, out_bytes: int, err_bytes: int) -> tuple[int, int]:
    """Shares of the bound for standard output and error: half each; what one does not need the other gets."""
    half = limit_bytes // 2
    if err_bytes <= half:
        return limit_bytes - err_bytes, err_bytes
    if out_bytes <= half:
        return out_bytes, limit_bytes - out_bytes
    return limit_bytes - half, half


def decode(data: bytes) -> str:
    """Text that a database can store: bytes that are no UTF-8, and NUL, become backslash escapes."""
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def compose(out: Capture, err: Capture, limit_bytes: int, note: str = "") -> str:
    """A batch step's output in pgAgent's form: standard output verbatim, then `Script Error:` and the errors.

    `note` is a remark of the ticker, put in brackets on a line of its own at the end.
    """
    out_limit, err_limit = split_limit(limit_bytes, out.total_bytes, err.total_bytes)
    text = decode(out.cut(out_limit))
    if err.total_bytes:
        text += "\nScript Error: \n" + decode(err.cut(err_limit)) + "\n"
    if note:
        text += ("" if not text or text.endswith("\n") else "\n") + f"[{note}]\n"
    return text


def escape(text: str) -> str:
    """The text in plain ASCII, for a database whose encoding lacks its characters."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def shorten(text: str, most_chars: int = 2000) -> str:
    """The end of a text in plain ASCII, for a server that cannot take the whole."""
    plain = escape(text)
    if len(plain) <= most_chars:
        return plain
    return f"[... {len(plain) - most_chars} characters left out ...]\n" + plain[-most_chars:]
