from __future__ import annotations

import io
import json
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from rich.console import Console

from pgagent_cli.connection import FAR_FUTURE, FAR_PAST
from pgagent_cli.render import (
    Column,
    one_line,
    plain,
    print_failure,
    print_json,
    print_rows,
    show_duration,
    show_status,
    show_time,
    show_wait,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
COLUMNS = [Column("id", "id", str, justify="right"), Column("name", "name", one_line, may_wrap=True)]
ROWS = [{"id": 7, "name": "a" * 100}, {"id": 10, "name": "b\x1b[31m"}]


def console(width: int = 80, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=terminal, color_system=None, highlight=False), file


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (86399, "23 h 59 min"),
        (90000, "1 d 01 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert show_duration(timedelta(seconds=seconds)) == words


def test_no_duration_is_empty() -> None:
    assert show_duration(None) == ""


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (NOW, "12:00:00"),
        (NOW + timedelta(hours=12), "Nov 24 00:00"),
        (NOW + timedelta(days=90), "Feb 21 12:00"),
        (NOW + timedelta(days=182), "2027-05-24"),
        (NOW - timedelta(days=365), "2025-11-23"),
        (datetime(2026, 11, 24, 1, 30, tzinfo=timezone(timedelta(hours=13, minutes=30))), "01:30:00"),
        (None, ""),
        (FAR_FUTURE, "infinity"),
        (FAR_PAST, "-infinity"),
    ],
)
def test_a_time_says_no_more_of_its_date_than_is_needed(when: datetime | None, words: str) -> None:
    assert show_time(when, NOW) == words


def test_what_should_have_come_is_overdue() -> None:
    assert show_wait(timedelta(seconds=-1)) == "overdue"
    assert show_wait(timedelta(seconds=61)) == "1 min 01 s"
    assert show_wait(FAR_FUTURE - NOW) == "never"


def test_text_from_the_database_does_not_steer_the_terminal() -> None:
    assert plain("a\x1b[31m\x07\x9b\u202e\nb\tc") == "a\\x1b[31m\\x07\\x9b\\x202e\nb\tc"
    assert one_line("a\r\n b\n") == "a\\x0d b"
    assert plain(None) == ""


def test_a_status_has_its_colour() -> None:
    assert show_status("failed").style == "bold red"
    assert show_status("succeeded").style == "green"
    assert show_status("nobody knows").style == ""
    assert show_status(None).plain == ""


def test_a_piped_table_is_neither_cut_nor_padded() -> None:
    out, file = console(10_000)
    print_rows(out, COLUMNS, ROWS, "nothing")
    assert file.getvalue() == f"id  name\n 7  {'a' * 100}\n10  b\\x1b[31m\n"


def test_a_piped_table_is_aligned_by_what_a_character_takes() -> None:
    out, file = console(10_000)
    print_rows(out, COLUMNS, [{"id": 1, "name": "漢字"}, {"id": 2, "name": "x" * 20_000}], "nothing")
    assert file.getvalue() == f"id  name\n 1  漢字\n 2  {'x' * 20_000}\n"
    out, file = console()
    print_rows(out, COLUMNS[::-1], [{"id": 1, "name": "漢字"}, {"id": 2, "name": "abcd"}], "nothing")
    assert file.getvalue() == "name  id\n漢字   1\nabcd   2\n"


def test_json_is_ascii_where_the_encoding_lacks_something() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="backslashreplace")
    print_json(Console(file=file), ["\xe9 \U0001f600 \u6f22"])
    file.seek(0)
    assert json.loads(file.read()) == ["\xe9 \U0001f600 \u6f22"]


def test_a_table_at_a_terminal_fits() -> None:
    out, file = console(40, terminal=True)
    print_rows(out, COLUMNS, ROWS, "nothing")
    assert max(len(line) for line in file.getvalue().splitlines()) <= 40
    assert file.getvalue().count("a") == 101


def test_nothing_is_said_at_a_terminal_only() -> None:
    for terminal, text in ((True, "nothing here\n"), (False, "")):
        out, file = console(terminal=terminal)
        print_rows(out, COLUMNS, [], "nothing here")
        assert file.getvalue() == text


def test_json_has_iso_times_and_seconds() -> None:
    out, file = console()
    row = {
        "at": NOW,
        "took": timedelta(seconds=1.5),
        "day": NOW.date(),
        "time": time(12),
        "n": Decimal("1.5"),
        "t": "ü",
    }
    print_json(out, [row])
    assert json.loads(file.getvalue()) == [
        {"at": "2026-11-23T12:00:00+00:00", "took": 1.5, "day": "2026-11-23", "time": "12:00:00", "n": 1.5, "t": "ü"}
    ]
    assert "ü" in file.getvalue()
    with pytest.raises(TypeError):
        print_json(out, object())


def test_json_steers_no_terminal() -> None:
    out, file = console(80, terminal=True)
    row = {"name": "\x1b]0;x\x07 \x9b31m \u202e ü\n"}
    print_json(out, row)
    assert json.loads(file.getvalue()) == row
    assert not set("\x1b\x07\x9b\u202e") & set(file.getvalue())
    assert "ü" in file.getvalue()


def test_an_error_looks_as_in_psql() -> None:
    out, file = console(20)
    print_failure(out, "job [red] is longer than the screen is wide", "some\ndetail", "do this")
    assert file.getvalue() == (
        "error: job [red] is longer than the screen is wide\nDETAIL: some\ndetail\nHINT: do this\n"
    )
