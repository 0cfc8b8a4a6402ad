from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgagent_py.output import HeadTail, escape, shorten

NOTE = re.compile(rb"\n\[\.\.\. ([0-9]+) bytes left out \.\.\.\]\n")


def collect(limit: int, *chunks: bytes) -> bytes:
    """Return what is kept of some chunks."""
    kept = HeadTail(limit)
    for chunk in chunks:
        kept.append(chunk)
    return kept.kept()


@given(st.lists(st.binary(max_size=20)), st.integers(1, 200))
def test_what_fits_is_kept_as_it_is(chunks: list[bytes], more: int) -> None:
    data = b"".join(chunks)
    assert collect(len(data) + more, *chunks) == data
    assert collect(max(1, len(data)), *chunks) == data


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=2), st.data())
def test_of_more_both_ends_are_kept_and_the_rest_is_counted(chunks: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(chunks)
    limit = data.draw(st.integers(1, len(whole) - 1))
    head, tail = limit - limit // 2, limit // 2
    note = f"\n[... {len(whole) - limit} bytes left out ...]\n".encode()
    assert collect(limit, *chunks) == whole[:head] + note + whole[len(whole) - tail :]


@given(st.binary(min_size=1), st.integers(1, 50), st.integers(1, 100))
def test_chunks_do_not_matter(data: bytes, size: int, limit: int) -> None:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert collect(limit, *pieces) == collect(limit, data)


def test_nothing_is_nothing() -> None:
    assert collect(10) == b""
    assert collect(10, b"", b"") == b""


def test_short_text_is_not_touched() -> None:
    assert shorten("größer", 100) == "größer"
    assert shorten("größer", 8) == "größer"
    assert shorten("", 1) == ""


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 50))
def test_long_text_is_cut_to_about_the_limit(text: str, limit: int) -> None:
    short = shorten(text, limit)
    if len(text.encode()) <= limit:
        assert short == text
    else:
        # A character cut in two, or a NUL, is shown as escapes, four characters a byte.
        assert len(short.encode()) <= limit + 3 * limit + len("\n[...  bytes left out ...]\n") + 20
        assert NOTE.search(short.encode())


def test_long_text_keeps_its_ends() -> None:
    assert shorten("a" * 50 + "b" * 50, 10) == "aaaaa\n[... 90 bytes left out ...]\nbbbbb"


def test_character_cut_in_two_is_shown_as_escapes() -> None:
    assert shorten("ääää", 6) == "ä\\xc3\n[... 2 bytes left out ...]\n\\xa4ä"


@pytest.mark.parametrize(
    ("text", "ascii_text"), [("plain", "plain"), ("5 €", "5 \\u20ac"), ("ä", "\\xe4"), ("🙂", "\\U0001f642")]
)
def test_escape_leaves_ascii_alone(text: str, ascii_text: str) -> None:
    assert escape(text) == ascii_text
    assert escape(ascii_text) == ascii_text
