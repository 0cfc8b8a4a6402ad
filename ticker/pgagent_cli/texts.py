"""Reading files that are given on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

from pgagent_cli.outcome import Failure


def read_text(path: str) -> str:
    """The text of a file, of standard input for -; `Failure` if it cannot be read or is no UTF-8."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Failure(f"cannot read {path}", detail=error.strerror) from None
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is no UTF-8", detail=f"Byte {error.start} is not part of a character.") from None


def write_text(path: str, text: str) -> None:
    """Write a file; `Failure` if that is not possible."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {path}", detail=error.strerror) from None
