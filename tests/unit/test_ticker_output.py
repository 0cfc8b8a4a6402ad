from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgagent_ticker.output import Capture, compose, decode, escape, shorten, split_limit

LIMIT = 100


def capture(data: bytes, limit_bytes: int = LIMIT, piece_bytes: int = 7) -> Capture:
    stream = Capture(limit_bytes)
    for start in range(0, len(data), piece_bytes):
        stream.add(data[start : start + piece_bytes])
    return stream


def test_standard_output_stays_verbatim() -> None:
    assert compose(capture(b"  a\n\nb  \n\n"), capture(b""), LIMIT) == "  a\n\nb  \n\n"


def test_errors_follow_in_the_form_of_pgagent() -> None:
    assert compose(capture(b"out\n"), capture(b"bad\n"), LIMIT) == "out\n\nScript Error: \nbad\n\n"
    assert compose(capture(b""), capture(b"bad"), LIMIT) == "\nScript Error: \nbad\n"


def test_a_note_has_a_line_of_its_own() -> None:
    assert compose(capture(b"out"), capture(b""), LIMIT, "stopped") == "out\n[stopped]\n"
    assert compose(capture(b""), capture(b""), LIMIT, "stopped") == "[stopped]\n"


def test_a_long_stream_keeps_its_head_and_tail() -> None:
    data = bytes(range(32, 127)) * 10
    assert capture(data).cut(LIMIT) == data[:50] + b"\n[... 850 bytes left out ...]\n" + data[-50:]


def test_no_character_is_cut_in_two() -> None:
    text = "\u20ac" * 100
    kept = decode(capture(text.encode()).cut(LIMIT))
    assert "\\x" not in kept
    assert kept.count("\u20ac") == 32
    assert "204 bytes left out" in kept


@given(st.binary(max_size=400), st.integers(0, 120), st.integers(0, 120), st.integers(1, 50))
def test_a_cut_is_bounded_and_counts_what_is_missing(data: bytes, limit: int, less: int, piece: int) -> None:
    data = data.replace(b"[", b"(")  # the sign by which the line is found below
    cut = capture(data, limit, piece).cut(min(limit, less))
    if len(data) <= min(limit, less):
        assert cut == data
        return
    head, _, rest = cut.partition(b"\n[... ")
    number, _, tail = rest.partition(b" bytes left out ...]\n")
    assert len(head) + len(tail) <= limit
    assert len(head) + int(number) + len(tail) == len(data)
    assert data.startswith(head)
    assert data.endswith(tail)


@given(st.integers(0, 1000), st.integers(0, 2000), st.integers(0, 2000))
def test_shares_never_exceed_the_bound(limit: int, out_bytes: int, err_bytes: int) -> None:
    out_share, err_share = split_limit(limit, out_bytes, err_bytes)
    assert out_share + err_share <= limit
    assert min(out_share, err_share) >= 0
    if out_bytes + err_bytes <= limit:
        assert out_share >= out_bytes
        assert err_share >= err_bytes


def test_both_streams_share_the_bound() -> None:
    out, err = capture(b"o" * 1000), capture(b"e" * 1000)
    text = compose(out, err, LIMIT)
    assert text.count("o" * 25) == 2
    assert text.count("e" * 25) == 2
    small_error = compose(out, capture(b"tiny"), LIMIT)
    assert "tiny" in small_error
    assert small_error.count("o" * 48) == 2


def test_bytes_that_are_no_text_become_escapes() -> None:
    assert decode(b"caf\xe9 \x00 \xff\xfe ok") == "caf\\xe9 \\x00 \\xff\\xfe ok"
    assert decode("žluťoučký €".encode()) == "žluťoučký €"


@given(st.binary(max_size=300))
def test_every_output_can_be_stored(data: bytes) -> None:
    text = decode(data)
    assert "\0" not in text
    text.encode("utf-8")
    assert escape(text).isascii()


def test_shorten_keeps_the_end() -> None:
    assert shorten("short é") == "short \\xe9"
    assert shorten("a" * 50 + "end", 10) == "[... 43 characters left out ...]\naaaaaaaend"
