"""Cron's times as the schedules of a jobs document: what `pgagent.cron` reads goes through, the rest is refused.

Every cron descends from Vixie's, whose reading this is. Where a time restricts both the day of the month and the
weekday, cron runs if *either* matches and a schedule if *both* do: that time becomes two schedules. Where both
match, both are due at the same instant, which is one run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class NoCounterpart(ValueError):
    """A time that a schedule cannot say, or that not every cron reads alike. `str()` of it is the reason."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: what it counts, and its numbers and names."""

    what: str
    first: int
    last: int
    names: tuple[str, ...] = ()


_MONTHDAY = _Field("day of the month", 1, 31)
_WEEKDAY = _Field("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIELDS = (_Field("minute", 0, 59), _Field("hour", 0, 23), _MONTHDAY, _Field("month", 1, 12, _MONTHS), _WEEKDAY)

_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_ITEM = re.compile(r"(?:\*|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>[0-9]+))?")
_LAST_DAY = "L"  # pgagent.cron's own: no cron has it


def read_times(text: str) -> list[str]:
    """Return the texts for `pgagent.cron` that together say the same as a time of cron's. Errors: NoCounterpart."""
    words = text.split()
    if words and words[0].startswith("@"):
        return [_read_macro(words)]
    if len(words) != len(_FIELDS):
        raise NoCounterpart(f'"{text}" has not the five fields of a time')
    allowed = [_read_field(word, field) for word, field in zip(words, _FIELDS, strict=True)]
    minute, hour, monthday, month, weekday = words
    if "*" in (monthday[0], weekday[0]) or _is_all(allowed[2], _MONTHDAY) or _is_all(allowed[4], _WEEKDAY):
        return [" ".join(words)]
    return [f"{minute} {hour} {monthday} {month} *", f"{minute} {hour} * {month} {weekday}"]


def make_schedules(times: list[str], timezone: str | None) -> list[dict[str, str]]:
    """Return the schedules of a jobs document for such texts, each named by its own."""
    return [{"name": time, "cron": time} | ({"timezone": timezone} if timezone else {}) for time in times]


def explain_two(time: str) -> str:
    """Say why a time has become two schedules."""
    return f'"{time}" runs when the day of the month or the weekday matches: two schedules say the same'


def _read_macro(words: list[str]) -> str:
    word = words[0].lower()
    if word == "@reboot":
        remedy = "Have the service manager do it; a unit of it may call pgagent-py run."
        raise NoCounterpart("@reboot names no time: no schedule waits for a start of the host", remedy)
    if word not in _MACROS or len(words) > 1:
        raise NoCounterpart(f'"{" ".join(words)}" is not a time that every cron reads', "Write the five fields.")
    return word


def _is_all(allowed: set[int], field: _Field) -> bool:
    numbers = {number % 7 for number in allowed} if field is _WEEKDAY else allowed
    return len(numbers) == (7 if field is _WEEKDAY else 31)


def _read_field(word: str, field: _Field) -> set[int]:
    allowed: set[int] = set()
    for item in word.split(","):
        allowed |= _read_item(item, field)
    return allowed


def _read_item(item: str, field: _Field) -> set[int]:
    if field is _MONTHDAY and item == _LAST_DAY:
        return {32}
    match = _ITEM.fullmatch(item)
    if match is None:
        random = "~" in item
        raise NoCounterpart(
            f'"{item}" is a random {field.what}' if random else f'"{item}" is no {field.what} that every cron reads',
            "Choose one." if random else "",
        )
    step = int(match["step"] or 1)
    if not 1 <= step <= field.last:
        raise NoCounterpart(f'the step of "{item}" is not between 1 and {field.last}')
    if match["low"] is None:
        return set(range(field.first, field.last + 1, step))
    return _read_range(match, field, step)


def _read_range(match: re.Match[str], field: _Field, step: int) -> set[int]:
    low = _read_number(match["low"], field)
    if match["high"] is None:
        if match["step"]:
            last = 6 if field is _WEEKDAY else field.last
            remedy = f'Write "{low}" for this one, or "{low}-{last}/{step}" for those after it too.'
            raise NoCounterpart(f'not every cron reads "{match[0]}" alike', remedy)
        return {low}
    high = _read_number(match["high"], field)
    if high < low:
        raise NoCounterpart(f'the range "{match[0]}" is descending', "Write it as two ranges, with a comma.")
    return set(range(low, high + 1, step))


def _read_number(word: str, field: _Field) -> int:
    if word.lower() in field.names:
        return field.first + field.names.index(word.lower())
    if word.isascii() and word.isdigit() and field.first <= int(word[:9]) <= field.last and len(word) < 9:
        return int(word)
    raise NoCounterpart(f'"{word}" is no {field.what}')
