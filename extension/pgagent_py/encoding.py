"""Text in the encodings of databases. Pure.

The engine keeps its books in its database's own encoding, so that nothing is converted and nothing can be refused on
the way. A step session speaks whatever encoding its database has. What does not fit is written as an escape.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import lru_cache

_KEEP = "pgagent_py_keep"
_IRREGULAR = {
    "sql_ascii": "utf-8",
    "euc_cn": "gb2312",
    "win": "cp1251",
    "alt": "cp866",
    "uhc": "cp949",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
}


def _keep(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Bytes that were no text become bytes again; a character that the encoding lacks becomes ``\u20ac``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = [
        bytes([ord(character) - 0xDC00])
        if 0xDC80 <= ord(character) <= 0xDCFF
        else character.encode("ascii", "backslashreplace")
        for character in error.object[error.start : error.end]
    ]
    return b"".join(parts), error.end


codecs.register_error(_KEEP, _keep)


class Untranslatable(ValueError):
    """A character that an encoding lacks."""

    def __init__(self, character: str, encoding: str) -> None:
        super().__init__(f'encoding "{encoding}" lacks the character "{character}" (U+{ord(character):04X})')


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding by PostgreSQL's name. In SQL_ASCII, text is taken for UTF-8 where it can be."""

    name: str
    codec: str

    def decode(self, data: bytes) -> str:
        """Text of bytes; bytes that are none survive encode()."""
        return data.decode(self.codec, "surrogateescape")

    def encode(self, text: str) -> bytes:
        """Bytes of any text."""
        return text.encode(self.codec, _KEEP)

    def encode_exactly(self, text: str) -> bytes:
        """Bytes of a text that must not change. Raises Untranslatable if the encoding lacks one of its characters."""
        try:
            return text.encode(self.codec, "surrogateescape")
        except UnicodeEncodeError as error:
            raise Untranslatable(error.object[error.start], self.name) from None

    def show(self, text: str) -> str:
        """The text with escapes for what the encoding lacks, so that it can be a value or a message of the database."""
        return text.encode(self.codec, "backslashreplace").decode(self.codec)

    def read_output(self, data: bytes) -> str:
        r"""Output as text that a database takes: what is no text, and NUL, as escapes like ``\xe9``."""
        return data.decode(self.codec, "backslashreplace").replace("\0", "\\x00")


@lru_cache(maxsize=64)
def find(name: str) -> Encoding:
    """The encoding of this name. One that Python does not know is taken for ASCII with foreign bytes."""
    lower = name.lower()
    for codec in (_IRREGULAR.get(lower, lower), lower.replace("win", "cp"), lower.replace("_", "")):
        try:
            return Encoding(name, codecs.lookup(codec).name)
        except LookupError:
            continue
    return Encoding(name, "ascii")


UTF8 = find("UTF8")
