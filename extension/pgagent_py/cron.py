"""Crontab's syntax and the arrays of pga_schedule, each made of the other.

The syntax is crontab(5)'s as Vixie cron reads it, with names in lists and ranges, and `L` for a month's last day.
Crontab and pgAgent differ in one thing: when the day of the month and the weekday are both restricted, cron runs
if *either* matches, pgAgent if *both* do. What cannot be said in the other's terms is refused, never bent.

How clocks that are put forward or back are dealt with is no part of either form: after a conversion, the rules
of docs/schedule.md hold. Only the last section knows the database.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from . import errors, schedules
from .spi import Plpy, execute

Flags = Sequence[bool | None]
"""One of the boolean arrays of pga_schedule, as it comes from the database."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The arrays of a pga_schedule row in their full sizes; one without a true element allows everything."""

    minutes: tuple[bool, ...]  # 60
    hours: tuple[bool, ...]  # 24
    weekdays: tuple[bool, ...]  # 7, Sunday first
    monthdays: tuple[bool, ...]  # 32: days 1 to 31, then the last day of a month
    months: tuple[bool, ...]  # 12


class CronError(ValueError):
    """A text that is not crontab's, or that a schedule cannot say. `str()` of it is the message."""

    def __init__(self, message: str, position: int, hint: str) -> None:
        """Say what is wrong, where (characters before it, from 0 on) and what to write instead."""
        super().__init__(message)
        self.position = position
        self.hint = hint


def normalise(minutes: Flags, hours: Flags, weekdays: Flags, monthdays: Flags, months: Flags) -> Fields:
    """Give arrays their sizes, and make those that allow everything wildcards, all of them false.

    As in `recurrence.parse`, elements that are NULL or missing are false, those beyond the size do not count.
    """
    days = _flags(monthdays, 32)
    return Fields(
        minutes=_wildcard_if(_flags(minutes, 60)),
        hours=_wildcard_if(_flags(hours, 24)),
        weekdays=_wildcard_if(_flags(weekdays, 7)),
        # A day 31 is the last of its month.
        monthdays=(False,) * 32 if all(days[:30]) and any(days[30:]) else days,
        months=_wildcard_if(_flags(months, 12)),
    )


def _flags(array: Flags, size: int) -> tuple[bool, ...]:
    flags = [flag is True for flag in array[:size]]
    return tuple(flags + [False] * (size - len(flags)))


def _wildcard_if(flags: tuple[bool, ...]) -> tuple[bool, ...]:
    return (False,) * len(flags) if all(flags) else flags


# ---- From text to arrays: the five fields ------------------------------------------------------------------

_LAST_DAY = 32
_BLANKS = " \t\r\n"
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class _Column:
    """One of the five fields of a line: what its numbers are called and between which they lie."""

    what: str
    first: int
    last: int
    names: tuple[str, ...] = ()  # of the numbers from `first` on


_MINUTE = _Column("minute", 0, 59)
_HOUR = _Column("hour", 0, 23)
_MONTHDAY = _Column("day of the month", 1, 31)
_MONTH = _Column("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
_WEEKDAY = _Column("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
_COLUMNS = (_MINUTE, _HOUR, _MONTHDAY, _MONTH, _WEEKDAY)


def parse(text: str) -> Fields:
    """Read the five fields of a crontab line, or a macro such as @daily; blanks around them do not matter.

    Errors: CronError. If both kinds of days are restricted, its hint has the two lines that say the same.
    """
    spans = _split(text)
    if text[spans[0].start :].startswith("@"):
        return parse(_expand_macro(text, spans))
    if len(spans) != len(_COLUMNS):
        _refuse_count(text, spans)
    minutes, hours, monthdays, months, weekdays = (
        _parse_field(text, span, column) for span, column in zip(spans, _COLUMNS, strict=True)
    )
    fields = normalise(
        minutes=[number in minutes for number in range(60)],
        hours=[number in hours for number in range(24)],
        weekdays=[number in weekdays for number in range(7)],
        monthdays=[number in monthdays for number in range(1, 33)],
        months=[number in months for number in range(1, 13)],
    )
    return _join_days(fields, text, spans)


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of a text, in characters from 0 on."""

    start: int
    end: int  # not included

    def of(self, text: str) -> str:
        return text[self.start : self.end]


def _split(text: str) -> list[_Span]:
    spans = [_Span(*found.span()) for found in re.finditer(rf"[^{_BLANKS}]+", text)]
    if not spans:
        raise CronError(
            "crontab text is empty", 0, "Write five fields, such as 30 2 * * 1-5, or a macro, such as @daily."
        )
    line_break = re.compile("[\r\n]").search(text, spans[0].start, spans[-1].end)
    if line_break:
        raise CronError("crontab text has more than one line", line_break.start(), "Convert each line by itself.")
    return spans


def _expand_macro(text: str, spans: list[_Span]) -> str:
    word = spans[0].of(text).lower()
    position = spans[0].start
    if word == "@reboot":
        raise CronError("@reboot names no time", position, "A schedule cannot wait for a start of the server.")
    if word.startswith("@every"):
        hint = "See column jscinterval of pgagent.pga_schedule: '5 min' is every five minutes."
        raise CronError("@every is an interval, not a calendar", position, hint)
    if word not in _MACROS:
        raise CronError(f"unknown macro {_quote(word)}", position, f"There are {', '.join(_MACROS)}.")
    if len(spans) > 1:
        raise CronError(f"text after {word}", spans[1].start, "A macro stands for all five fields; nothing follows it.")
    return _MACROS[word]


# A sixth field that looks like these is a time, not the beginning of a command.
_TIMELIKE = re.compile(r"(?:[0-9*?,/#LW-]|" + "|".join(_MONTH.names + _WEEKDAY.names) + ")+", re.IGNORECASE)


def _refuse_count(text: str, spans: list[_Span]) -> NoReturn:
    fields = f"crontab text has {len(spans)} field{'s' if len(spans) > 1 else ''} instead of five"
    if len(spans) < len(_COLUMNS):
        hint = "The fields are minute, hour, day of the month, month and weekday; a field that does not matter is *."
        raise CronError(fields, spans[-1].end, hint)
    if len(spans) == 6 and _TIMELIKE.fullmatch(spans[5].of(text)):
        raise CronError(fields, spans[0].start, "Seconds are not crontab's: see column jscinterval.")
    hint = "Only the time is converted: the command belongs into a step of the job."
    raise CronError(fields, spans[5].start, hint)


def _join_days(fields: Fields, text: str, spans: list[_Span]) -> Fields:
    """Deal with the "or" between both kinds of days, which cron has if neither field begins with `*`."""
    minute, hour, monthday, month, weekday = (span.of(text) for span in spans)
    if monthday.startswith("*") or weekday.startswith("*"):
        return fields
    if not any(fields.monthdays) or not any(fields.weekdays):
        return Fields(fields.minutes, fields.hours, (False,) * 7, (False,) * 32, fields.months)
    by_monthday, by_weekday = f"{minute} {hour} {monthday} {month} *", f"{minute} {hour} * {month} {weekday}"
    raise CronError(
        "crontab runs when the day of the month or the weekday matches, a schedule when both match",
        spans[4].start,
        f'Give the job two schedules: "{by_monthday}" and "{by_weekday}".',
    )


# ---- From text to arrays: one field ------------------------------------------------------------------------

_ITEM = re.compile(
    r"(?: \* | (?P<low> [0-9]+ | [A-Za-z]+ ) (?: - (?P<high> [0-9]+ | [A-Za-z]+ ) )? ) (?: / (?P<step> [0-9]+ ) )?",
    re.VERBOSE,
)


def _parse_field(text: str, span: _Span, column: _Column) -> set[int]:
    """Return the numbers that a field allows: Sunday is 0, a month's last day is 32."""
    allowed: set[int] = set()
    for item in _items(text, span):
        allowed.update(_parse_item(text, item, column))
    if column is _WEEKDAY and 7 in allowed:
        allowed.add(0)
    return allowed


def _items(text: str, span: _Span) -> Iterator[_Span]:
    start = span.start
    for item in span.of(text).split(","):
        yield _Span(start, start + len(item))
        start += len(item) + 1


def _parse_item(text: str, item: _Span, column: _Column) -> Sequence[int]:
    match = _ITEM.match(text, item.start, item.end)
    if match is None or match.end() < item.end:
        _refuse_syntax(text, match.end() if match else item.start, item, column)
    if column is _MONTHDAY and item.of(text).upper() == "L":
        return (_LAST_DAY,)
    step = _parse_step(match, column)
    if match["low"] is None:
        return range(column.first, column.last + 1, step)
    low = _parse_number(match, "low", column)
    if match["high"] is None:
        if match["step"] is not None:
            _refuse_step_without_range(match, low, column)
        return (low,)
    high = _parse_number(match, "high", column)
    if high < low:
        _refuse_descending(match, low, high, column)
    return range(low, high + 1, step)


def _parse_step(match: re.Match[str], column: _Column) -> int:
    digits = match["step"]
    if digits is None:
        return 1
    step = _to_int(digits)
    if step == 0:
        raise CronError("a step of 0 leads nowhere", match.start("step"), "Write a step from 1 on.")
    if step > column.last:
        hint = "A step counts from the beginning of its range, and anew in each hour, day, month, year or week."
        if column in {_MINUTE, _HOUR}:
            hint += " For an interval of its own see column jscinterval."
        message = f"a step of {_shorten(digits)} goes beyond the last {column.what}, {column.last}"
        raise CronError(message, match.start("step"), hint)
    return step


def _parse_number(match: re.Match[str], group: str, column: _Column) -> int:
    token, position = match[group], match.start(group)
    if not token.isdigit():
        return _parse_name(token, position, column)
    number = _to_int(token)
    if not column.first <= number <= column.last:
        raise CronError(f"{column.what} {_shorten(token)} is out of range", position, _describe_range(column))
    return number


def _to_int(digits: str) -> int:
    """Return the number, or another that is too large for every field: int() refuses thousands of digits."""
    return int(digits.lstrip("0")[:9] or "0")


def _parse_name(token: str, position: int, column: _Column) -> int:
    name = token.lower()
    if name in column.names:
        return column.first + column.names.index(name)
    if name[-1] in "lw" and (len(name) == 1 or name == "lw" or name[:-1] in column.names):
        _refuse_character(token[-1].upper(), position + len(token) - 1, column)
    hint = _describe_range(column)
    if name[:3] in column.names:
        hint = f'Names have three letters: write "{name[:3]}".'
    raise CronError(f"unknown {column.what} {_quote(token)}", position, hint)


def _describe_range(column: _Column) -> str:
    numbers = f"Numbers are {column.first} to {column.last}"
    if column.names:
        numbers += f", names {column.names[0]} to {column.names[-1]}"
    return numbers + ("; 0 and 7 are Sunday." if column is _WEEKDAY else ".")


# ---- From text to arrays: refusals -------------------------------------------------------------------------

_EXPLANATIONS = {
    "?": ('"?" is not crontab\'s', "Write * for any day."),
    "W": (
        'a schedule cannot say "the workday nearest to"',
        "Weekdays 1-5 are the workdays, of whatever day of the month.",
    ),
    "#": (
        'crontab cannot say "the n-th weekday of a month"',
        "A schedule can: jscmonthdays 8 to 14 together with Monday in jscweekdays is the second Monday.",
    ),
    "$": ('"$" is not crontab\'s', "The last day of a month is L."),
    "~": ('a random time ("~") is not crontab\'s', "Choose a time."),
    "%": ('"%" belongs to a command, not to a time', "Only the five fields of the time are converted."),
}
_QUOTED_LENGTH = 20  # characters


def _refuse_syntax(text: str, position: int, item: _Span, column: _Column) -> NoReturn:
    """Say why an item is not valid from a position on."""
    if item.start == item.end:
        raise CronError(f"empty item in the {column.what} field", position, "Write a number, or take a comma away.")
    character = text[position]
    before, after = position > item.start, text[position + 1 : item.end]
    if character == "-" and not before:
        raise CronError("range without a beginning", position, f"{_describe_range(column)} A range is low-high.")
    if character == "-" and text[item.start : position] == "*":
        raise CronError('"*" cannot begin a range', position, _describe_range(column))
    if character == "-" and not after:
        raise CronError("range without an end", position, f"{_describe_range(column)} A range is low-high.")
    if character == "/" and before and "/" not in text[item.start : position]:
        raise CronError("a step has to be a number", position + 1, "Write, for example, */15 or 10-50/5.")
    if character == "/" and not before:
        raise CronError("step without a range", position, "Write, for example, */15 or 10-50/5.")
    _refuse_character(character.upper() if character in "lw" else character, position, column)


def _refuse_character(character: str, position: int, column: _Column) -> NoReturn:
    if character == "L":
        _refuse_last(position, column)
    if character in _EXPLANATIONS:
        raise CronError(_EXPLANATIONS[character][0], position, _EXPLANATIONS[character][1])
    if unicodedata.decimal(character, None) is not None and not character.isascii():
        raise CronError(f'"{character}" is not an ASCII digit', position, "Write numbers with the digits 0 to 9.")
    shown = f'"{character}"' if character.isprintable() else f"U+{ord(character):04X}"
    hint = f"{_describe_range(column)} There are also *, ranges (low-high), steps (*/2, low-high/2) and lists (1,2)."
    raise CronError(f"unexpected character {shown} in the {column.what} field", position, hint)


def _refuse_last(position: int, column: _Column) -> NoReturn:
    if column is _MONTHDAY:
        hint = "It is a day by itself, as in L or 15,L; a schedule cannot count from it."
        raise CronError('"L" takes no number, range or step', position, hint)
    if column is _WEEKDAY:
        hint = "It is one of the last seven days: a schedule for each length of a month can say that."
        raise CronError('a schedule cannot say "the last weekday of a month"', position, hint)
    raise CronError(f'"L" is no {column.what}', position, "L is the last day of a month, in the third field.")


def _refuse_step_without_range(match: re.Match[str], low: int, column: _Column) -> NoReturn:
    step = match["step"]
    last = 6 if column is _WEEKDAY else column.last
    raise CronError(
        f"crons do not agree on what {_quote(match[0])} means",
        match.start(),
        f'Write "{low % 7 if column is _WEEKDAY else low}-{last}/{step}", or "{low}" for that {column.what} alone.',
    )


def _refuse_descending(match: re.Match[str], low: int, high: int, column: _Column) -> NoReturn:
    last = 6 if column is _WEEKDAY else column.last
    step = _parse_step(match, column)
    if column is _WEEKDAY and low == 7:
        pieces = [_render_range(0, high, step)]
    elif column is _WEEKDAY and high == 0:
        pieces = [_render_range(low, 7, step)]
    else:
        resumed = low + ((last - low) // step + 1) * step - (last + 1 - column.first)
        pieces = [_render_range(low, last, step)]
        if resumed <= high:
            pieces.append(_render_range(resumed, high, step))
    raise CronError(f"range {_quote(match[0])} is descending", match.start(), f'Write "{",".join(pieces)}".')


def _render_range(low: int, high: int, step: int) -> str:
    if low + step > high:
        return str(low)
    return f"{low}-{high}" if step == 1 else f"{low}-{high}/{step}"


def _quote(token: str) -> str:
    return f'"{_shorten(token)}"'


def _shorten(token: str) -> str:
    return token if len(token) <= _QUOTED_LENGTH else f"{token[:_QUOTED_LENGTH]}..."


# ---- Where an error is -------------------------------------------------------------------------------------

_SHOWN_LENGTH = 72  # characters


def point_at(text: str, position: int) -> str:
    """Return two lines: the text, or the part of it around a character, and a caret under that character."""
    start = max(0, min(position - _SHOWN_LENGTH // 2, len(text) - _SHOWN_LENGTH))
    end = start + _SHOWN_LENGTH
    before, after = "..." if start > 0 else "", "..." if end < len(text) else ""
    shown = "".join(map(_in_one_line, text[start:end]))
    blank = " " * len(before) + "".join(map(_blank, text[start:position]))
    return f"{before}{shown}{after}\n{blank}^"


def _in_one_line(character: str) -> str:
    return character if character == "\t" or character.isprintable() else " "


def _blank(character: str) -> str:
    return "\t" if character == "\t" else " " * _width(character)


def _width(character: str) -> int:
    """Return how many cells of a terminal a character takes."""
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


# ---- From arrays to text -----------------------------------------------------------------------------------


def format(fields: Fields) -> str | None:  # noqa: A001  # read as cron.format
    """Return a short crontab text that means the same; None if both kinds of days are restricted.

    Vixie cron could say some of those, such as `0 0 */2 * 1`, but other crons read them with "or". The fields
    need not be normalised. `L`, for the last day of a month, is the only thing that not every cron knows.
    """
    fields = normalise(fields.minutes, fields.hours, fields.weekdays, fields.monthdays, fields.months)
    if any(fields.monthdays) and any(fields.weekdays):
        return None
    monthdays = _render_field(fields.monthdays[:31], first=1)
    if fields.monthdays[-1]:
        monthdays = "L" if monthdays == "*" else f"{monthdays},L"
    texts = (
        _render_field(fields.minutes),
        _render_field(fields.hours),
        monthdays,
        _render_field(fields.months, first=1),
        _render_field(fields.weekdays),
    )
    return " ".join(texts)


def _render_field(flags: tuple[bool, ...], first: int = 0) -> str:
    numbers = [number for number, flag in enumerate(flags, first) if flag]
    if not numbers:
        return "*"
    texts = [_shortest_list(numbers)]
    if len(numbers) > 1:
        step = numbers[1] - numbers[0]
        is_even = len(numbers) > 2 or len(flags) % step == 0
        if is_even and numbers == list(range(first, first + len(flags), step)):
            texts.append(f"*/{step}")
    return min(reversed(texts), key=len)


def _shortest_list(numbers: list[int]) -> str:
    """Return a shortest list of numbers and ranges, with a number rather than an equally short range."""
    best = [""]  # of the first 0, 1, 2... numbers; each begins with a comma
    for last, number in enumerate(numbers):
        candidates = [f"{best[last]},{number}"]
        first = last - 1
        step = number - numbers[first]
        while first >= 0 and numbers[first + 1] - numbers[first] == step:
            candidates.append(f"{best[first]},{_render_range(numbers[first], number, step)}")
            first -= 1
        best.append(min(candidates, key=len))
    return best[-1][1:]


# ---- The functions of SQL ----------------------------------------------------------------------------------

STORED = """
select jscinterval is not null as has_interval,
       jscminutes::text, jschours::text, jscweekdays::text, jscmonthdays::text, jscmonths::text
  from pgagent.pga_schedule where jscid = $1
"""


def read_crontab(plpy: Plpy, text: str) -> tuple[list[bool], ...]:
    """The arrays of a crontab text, in the order of pga_schedule's columns. Errors: 22023."""
    try:
        fields = parse(text)
    except CronError as error:
        # The text begins on a line of its own, or the label before it would shift it against the caret.
        detail = f"At character {error.position + 1}:\n{point_at(text, error.position)}"
        errors.fail(plpy, errors.INVALID_PARAMETER_VALUE, str(error), detail=detail, hint=error.hint)
    arrays = (fields.minutes, fields.hours, fields.weekdays, fields.monthdays, fields.months)
    return tuple(list(array) for array in arrays)


def write_crontab(arrays: Sequence[str]) -> str | None:
    """The crontab text of arrays in the server's text form, in the order of pga_schedule's columns."""
    minutes, hours, weekdays, monthdays, months = (schedules.read_array(array) for array in arrays)
    return format(normalise(minutes, hours, weekdays, monthdays, months))


def write_crontab_of_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int) -> str | None:
    """The crontab text of a stored schedule, None with an interval. Errors: 42704 if there is no such schedule."""
    rows = execute(plpy, plans, STORED, ["int4"], [schedule])
    if not len(rows):
        errors.fail_without_schedule(plpy, schedule)
    row = rows[0]
    if row["has_interval"]:
        return None
    return write_crontab([row[name] for name in ("jscminutes", "jschours", "jscweekdays", "jscmonthdays", "jscmonths")])
