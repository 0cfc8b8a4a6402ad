"""SQL scripts cut into statements, as psql does it."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What may hold a semicolon that ends nothing, or a quote that begins nothing.
_PIECE = re.compile(
    r"""
      --[^\n]*
    | /\*.*?\*/
    | [eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)
    | (?P<end>;)
    | [\w$]+
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def split_statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, without the semicolons; comments alone are none."""
    start = 0
    for piece in _PIECE.finditer(script):
        if piece["end"]:
            yield from _unless_empty(script[start : piece.start()])
            start = piece.end()
    yield from _unless_empty(script[start:])


def _unless_empty(text: str) -> Iterator[str]:
    if _COMMENT.sub("", text).strip():
        yield text.strip()
