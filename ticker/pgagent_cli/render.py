"""How values look: tables and JSON, words for statuses, durations and times. Pure, but for `print_...`.

Text from the database is shown through `plain`: a job's name must not steer the reader's terminal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {
    "succeeded": "green",
    "ignored": "yellow",
    "failed": "bold red",
    "internal failure": "bold red",
    "aborted": "magenta",
    "running": "cyan",
    "OK": "green",
    "INFO": "cyan",
    "WARNING": "yellow",
    "ERROR": "bold red",
    "CRITICAL": "bold red",
}
PIPED_WIDTH = 10_000  # columns: a table that nobody looks at is never cut

_MOST_DAYS = 1_000_000
_WITHOUT_YEAR = timedelta(days=182)
_INFINITE_YEARS = (1, 9999)  # how `connection` reads the infinite times
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the key of its values, its heading, and how a value is shown."""

    key: str
    heading: str
    show: Callable[[Any], Cell]
    justify: Literal["left", "right"] = "left"
    may_wrap: bool = False
    most_chars: int | None = None  # at a terminal; longer values are cut
    takes_rest: bool = False  # at a terminal: what the others leave of the line, and no more


def new_console(*, stderr: bool = False) -> Console:
    """A console without markup; as wide as its content needs where it is no terminal."""
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def plain(text: object) -> str:
    """A text on one or several lines with its control characters shown as escapes, so that it steers no terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", "" if text is None else str(text))


def one_line(text: object) -> str:
    """A text on one line."""
    return " ".join(plain(text).split())


def show_status(status: str | None) -> Text:
    """A status word in its colour."""
    return Text(plain(status), style=STATUS_STYLES.get(status or "", ""))


def show_duration(duration: timedelta | None) -> str:
    """A duration in two units at most, such as "1 h 05 min"; empty for None."""
    if duration is None:
        return ""
    seconds = duration.total_seconds()
    if seconds < 0.9995:
        return f"{max(round(seconds * 1000), 0)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return _show_long(round(seconds))


def _show_long(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min {rest:02} s"
    days, hours = divmod(hours, 24)
    return f"{hours} h {minutes:02} min" if days == 0 else f"{days} d {hours:02} h"


def show_time(when: datetime | None, now: datetime) -> str:
    """A time, in the zone that it has: without the date if that is today's, without the year if it is near (as ls)."""
    if when is None:
        return ""
    if when.year in _INFINITE_YEARS:
        return "infinity" if when.year > 1 else "-infinity"
    if when.date() == now.astimezone(when.tzinfo).date():
        return f"{when:%H:%M:%S}"
    return f"{when:%b %d %H:%M}" if abs(when - now) < _WITHOUT_YEAR else f"{when:%Y-%m-%d}"


def show_wait(wait: timedelta) -> str:
    """How long something is still to come; what should have come is overdue."""
    if wait.days > _MOST_DAYS:
        return "never"
    return show_duration(wait) if wait > timedelta(0) else "overdue"


def time_shower(now: datetime) -> Callable[[datetime | None], str]:
    """`show_time` for a column."""
    return lambda when: show_time(when, now)


def make_table(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> Table:
    """A table of rows for people."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.heading,
            justify=column.justify,
            overflow="fold" if column.may_wrap else "ellipsis",
            no_wrap=not column.may_wrap,
            max_width=column.most_chars,
            ratio=1 if column.takes_rest else None,
        )
    table.expand = any(column.takes_rest for column in columns)
    for row in rows:
        table.add_row(*(column.show(row[column.key]) for column in columns))
    return table


def print_rows(console: Console, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], nothing: str) -> None:
    """Print a table, or that there is nothing, which at a terminal is said in words."""
    if rows and console.is_terminal:
        console.print(make_table(columns, rows))
    elif rows:
        console.file.writelines(_plain_lines(columns, rows))
    elif console.is_terminal:
        console.print(nothing)


def print_stripped(console: Console, drawn: RenderableType) -> None:
    """Print something; where it goes to no terminal, without the blanks that fill its lines up."""
    if console.is_terminal:
        console.print(drawn)
        return
    with console.capture() as captured:
        console.print(drawn)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _plain_lines(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table for programs: nothing is cut. Of thousands of rows rich would take seconds."""
    table = [[column.heading for column in columns]]
    table += [[str(column.show(row[column.key])) for column in columns] for row in rows]
    widths = [max(map(cell_len, cells)) for cells in zip(*table, strict=True)]
    for cells in table:
        padded = zip(columns, cells, widths, strict=True)
        yield "  ".join(_pad(cell, width, column.justify) for column, cell, width in padded).rstrip() + "\n"


def _pad(cell: str, width: int, justify: str) -> str:
    blanks = " " * (width - cell_len(cell))
    return blanks + cell if justify == "right" else cell + blanks


def print_json(console: Console, value: object) -> None:
    """Print JSON: times as ISO 8601, durations in seconds."""
    text = to_json(console, value)
    console.file.write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) if console.is_terminal else text)


def to_json(console: Console, value: object) -> str:
    """JSON for a console, with nothing in it that its encoding lacks."""
    return json.dumps(value, indent=2, ensure_ascii=not is_utf8(console), default=_to_json) + "\n"


def is_utf8(console: Console) -> bool:
    """Whether all of Unicode can be written: what programs are to read is written in ASCII otherwise."""
    return console.encoding.replace("_", "-").lower() in ("utf-8", "utf8")


def _to_json(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime) and value.year in _INFINITE_YEARS:
        return "infinity" if value.year > 1 else "-infinity"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def print_failure(console: Console, message: str, detail: str | None = None, hint: str | None = None) -> None:
    """Print an error as psql does: the message, then DETAIL and HINT."""
    console.print(Text.assemble(("error: ", "bold red"), plain(message)), soft_wrap=True)
    if detail:
        console.print(Text(f"DETAIL: {plain(detail)}"), soft_wrap=True)
    if hint:
        console.print(Text(f"HINT: {plain(hint)}"), soft_wrap=True)
