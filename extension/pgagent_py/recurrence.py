"""The next run of a schedule: calendar fields, exceptions and a time zone in, an instant out.

The rules are those of docs/schedule.md; the parts below follow its sections, in its order and by its numbers.
What section 8 asks of the cost rests on `_matching_days` and `Schedule.spent_days`: the work is by days,
never by minutes. Nothing here reads a clock, a session or a table.

Units of time, all whole numbers:

* an *instant* counts the seconds since 1970-01-01 00:00 UTC. Whole seconds suffice: `after` and `start` are
  cut down to their minute anyway, and because runs lie on whole seconds, an `end` without its fraction lets
  the same runs through. Floats are accepted (infinities are floats); a caller floors an instant before making
  it a float, which could round it up;
* a *wall second* counts in the same way what the clock on the wall shows: the instant plus the UTC offset;
* a *day* is counted from 1970-01-01, a *minute* from midnight (0 to 1439).
"""

from __future__ import annotations

import math
import re
import struct
from bisect import bisect_left
from calendar import isleap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAY_MINUTES = 24 * 60
_MINUTE_SECONDS = 60
_DAY_SECONDS = _DAY_MINUTES * _MINUTE_SECONDS

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_FIRST_DAY = date.min.toordinal() - _EPOCH_ORDINAL
_LAST_DAY = date.max.toordinal() - _EPOCH_ORDINAL

# ---- 1. Input and output -----------------------------------------------------------------------------------

Flags = Sequence[bool | None]
"""One of the boolean arrays of pga_schedule, as it comes from the database."""

ExceptionRow = tuple[date | str | None, time | str | None]
"""Date and time of a row of pga_exception; text is as PostgreSQL writes it in ISO: 2027-01-01, 03:00:00."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The fields and exceptions of a schedule in the form in which runs are computed; made by `parse`."""

    months: tuple[int, ...]  # 1 to 12; only months that can have an allowed day
    monthdays: tuple[tuple[int, ...], ...]  # the allowed days of a month of 28, 29, 30 and 31 days
    weekdays: frozenset[int]  # 0 to 6, Sunday is 0
    times: tuple[int, ...]  # the matching minutes of a day in order, without those excepted on every day
    is_continuous: bool  # also runs when the clock shows a time again (section 4)
    excepted_times: frozenset[int] = frozenset()  # minutes taken away on every day
    excepted_days: frozenset[int] = frozenset()  # days of which all times are taken away
    excepted_moments: frozenset[int] = frozenset()  # single scheduled times: day * 1440 + minute
    spent_days: frozenset[int] = frozenset()  # days on which exceptions of any kind leave no time
    interval_seconds: int | None = None  # runs are points of a grid (section 9), not every minute that matches


def parse(
    minutes: Flags,
    hours: Flags,
    weekdays: Flags,
    monthdays: Flags,
    months: Flags,
    exceptions: Iterable[ExceptionRow] = (),
    interval_seconds: int | None = None,
) -> Schedule:
    """Make a schedule of the arrays of a pga_schedule row and the pga_exception rows that belong to it.

    Nothing that the tables accept is an error: elements that are NULL or missing count as false, those beyond
    the size of a field do not count, and exceptions that no scheduled time can meet take nothing away.
    `interval_seconds`, 1 or more, makes it a schedule by interval.
    """
    fields = _parse_fields(_flags(minutes), _flags(hours), _flags(weekdays), _flags(monthdays), _flags(months))
    schedule = without(fields, read_exceptions(exceptions))
    return schedule if interval_seconds is None else replace(schedule, interval_seconds=interval_seconds)


# ---- 2. Matching days and times ----------------------------------------------------------------------------

_LONGEST_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LAST_DAY_FLAG = 32
_EPOCH_WEEKDAY = 4  # 1970-01-01 was a Thursday
_DAY = tuple(range(_DAY_MINUTES))  # one set of numbers for the times of all schedules


def _flags(array: Flags) -> tuple[bool, ...]:
    return tuple([flag is True for flag in array])


@lru_cache(maxsize=512)
def _parse_fields(
    minutes: tuple[bool, ...],
    hours: tuple[bool, ...],
    weekdays: tuple[bool, ...],
    monthdays: tuple[bool, ...],
    months: tuple[bool, ...],
) -> Schedule:
    in_hour, in_day = _allowed(minutes, 60), _allowed(hours, 24)
    in_month = _monthdays_by_length(_allowed(monthdays, 32, first=1))
    in_year = sorted(_allowed(months, 12, first=1))
    return Schedule(
        months=tuple(month for month in in_year if in_month[_LONGEST_MONTH_DAYS[month - 1] - 28]),
        monthdays=in_month,
        weekdays=_allowed(weekdays, 7),
        times=tuple([_DAY[hour * 60 + minute] for hour in sorted(in_day) for minute in sorted(in_hour)]),
        is_continuous=len(in_hour) == 60 or len(in_day) == 24,
    )


def _allowed(flags: tuple[bool, ...], size: int, first: int = 0) -> frozenset[int]:
    """Return what a field allows, by the number of its first element; a wildcard allows everything."""
    chosen = frozenset(number for number, flag in enumerate(flags[:size], first) if flag)
    return chosen or frozenset(range(first, first + size))


@lru_cache(maxsize=512)
def _monthdays_by_length(allowed: frozenset[int]) -> tuple[tuple[int, ...], ...]:
    """Return the allowed days of a month of 28, 29, 30 and 31 days; the last-day flag adds the last one."""
    by_length = []
    for length in (28, 29, 30, 31):
        chosen = allowed | {length} if _LAST_DAY_FLAG in allowed else allowed
        by_length.append(tuple(day for day in range(1, length + 1) if day in chosen))
    return tuple(by_length)


def _matching_days(schedule: Schedule, first: int, last: int) -> Iterator[int]:
    """Yield the matching days from `first` to `last` that have a time left, without visiting other days."""
    opening, closing = (date.fromordinal(day + _EPOCH_ORDINAL) for day in (first, last))
    for year in range(opening.year, closing.year + 1):
        for month in schedule.months:
            if year == opening.year and month < opening.month:
                continue
            month_eve = date(year, month, 1).toordinal() - _EPOCH_ORDINAL - 1
            for monthday in schedule.monthdays[_month_days(year, month) - 28]:
                day = month_eve + monthday
                if day > last:
                    return
                if day < first or day in schedule.spent_days:
                    continue
                if (day + _EPOCH_WEEKDAY) % 7 in schedule.weekdays:
                    yield day


def _month_days(year: int, month: int) -> int:
    return 28 if month == 2 and not isleap(year) else _LONGEST_MONTH_DAYS[month - 1]


# ---- 3. Exceptions -----------------------------------------------------------------------------------------

# Only whole minutes of a day are here: 03:00:30 and 24:00:00 are not, so they take nothing away.
_MINUTE_BY_TEXT = {f"{minute // 60:02}:{minute % 60:02}:00": minute for minute in _DAY}
_NEVER = 10**12  # as a day or a minute: one that no scheduled time has


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What the exceptions of a schedule take away, in numbers. Those that no scheduled time can meet may be there."""

    times: frozenset[int] = frozenset()  # minutes, on every day
    days: frozenset[int] = frozenset()  # whole days
    moments: frozenset[int] = frozenset()  # single scheduled times: day * 1440 + minute


def read_exceptions(rows: Iterable[ExceptionRow]) -> Exceptions:
    """Return what rows of pga_exception take away."""
    times, days, moments = set(), set(), set()
    for on, at in rows:
        if on is not None and at is not None:
            moments.add(_day_number(on) * _DAY_MINUTES + _minute_of_day(at))
        elif on is not None:
            days.add(_day_number(on))
        elif at is not None:
            times.add(_minute_of_day(at))
    return Exceptions(frozenset(times), frozenset(days), frozenset(moments))


def without(schedule: Schedule, exceptions: Exceptions) -> Schedule:
    """Return the schedule without what its exceptions take away."""
    if exceptions == Exceptions():
        return schedule
    times_left = schedule.times
    if exceptions.times:
        times_left = tuple(minute for minute in schedule.times if minute not in exceptions.times)
    # One set of days for all schedules that share a calendar.
    spent_days = exceptions.days
    if exceptions.moments:
        spent_days |= _days_used_up(exceptions.moments, frozenset(times_left))
    return replace(
        schedule,
        times=times_left,
        excepted_times=exceptions.times,
        excepted_days=exceptions.days,
        excepted_moments=exceptions.moments,
        spent_days=spent_days,
    )


def _day_number(on: date | str) -> int:
    if isinstance(on, date):
        return on.toordinal() - _EPOCH_ORDINAL
    try:
        return date.fromisoformat(on).toordinal() - _EPOCH_ORDINAL
    except ValueError:  # infinity, BC, beyond the year 9999
        return _NEVER


def _minute_of_day(at: time | str) -> int:
    return _MINUTE_BY_TEXT.get(at if isinstance(at, str) else at.isoformat(), _NEVER)


def _days_used_up(moments: Iterable[int], times: frozenset[int]) -> frozenset[int]:
    """Return the days of which every one of `times` is among the excepted moments."""
    taken = Counter([moment // _DAY_MINUTES for moment in moments if moment % _DAY_MINUTES in times])
    return frozenset(day for day, count in taken.items() if count == len(times))


def _is_excepted(schedule: Schedule, wall_second: int) -> bool:
    moment, second = divmod(wall_second, _MINUTE_SECONDS)
    day, minute = divmod(moment, _DAY_MINUTES)
    return second == 0 and (
        moment in schedule.excepted_moments or day in schedule.excepted_days or minute in schedule.excepted_times
    )


# ---- 4. From scheduled times to instants: clock changes ----------------------------------------------------


class _Stretch(NamedTuple):
    """A piece of a day's wall clock of which all times are read with the same UTC offset."""

    begin: int  # wall second
    end: int  # wall second, not included
    offset_seconds: int
    jump_seconds: int = 0  # the clock skips these times: how far a run is moved on the new clock
    is_repeat: bool = False  # the clock has shown these times before


@lru_cache(maxsize=256)
def _stretches(zone: tzinfo, day: int) -> tuple[_Stretch, ...]:
    """Return what the wall clock shows and skips on a day, in the order of the instants: mostly one stretch.

    Offsets are less than 24 hours: the instants of a day lie from a day before it to a day after it in UTC.
    """
    midnight, day_end = day * _DAY_SECONDS, (day + 1) * _DAY_SECONDS
    stretches: list[_Stretch] = []
    reached = midnight  # the latest wall second shown or skipped so far
    offset_before = 0
    for since, until, offset in _offset_periods(zone, midnight - _DAY_SECONDS, day_end + _DAY_SECONDS):
        begin, end = since + offset, until + offset
        stretches += [
            _Stretch(reached, min(begin, day_end), offset_before, jump_seconds=offset - offset_before),
            _Stretch(max(begin, midnight), min(reached, end), offset, is_repeat=True),
            _Stretch(max(begin, reached), min(end, day_end), offset),
        ]
        reached, offset_before = min(max(reached, end), day_end), offset
    return tuple(stretch for stretch in stretches if stretch.begin < stretch.end)


def _has_change(zone: tzinfo, day: int) -> bool:
    stretches = _stretches(zone, day)
    return len(stretches) > 1 or stretches[0].jump_seconds != 0


def _offset_periods(zone: tzinfo, first: int, last: int) -> list[tuple[int, int, int]]:
    """Split the instants from `first` to `last` into (since, until, offset) of constant offset.

    One look a day is enough: no zone has ever changed and changed again within four days.
    """
    periods = []
    since, offset = first, _offset_seconds(zone, first)
    for instant in range(first + _DAY_SECONDS, last + 1, _DAY_SECONDS):
        new_offset = _offset_seconds(zone, instant)
        if new_offset != offset:
            change = _change_before(zone, instant, new_offset)
            periods.append((since, change, offset))
            since, offset = change, new_offset
    return [*periods, (since, last, offset)]


def _change_before(zone: tzinfo, instant: int, offset: int) -> int:
    """Return since when `offset` has been in force, within the day before `instant`."""
    instants = range(instant - _DAY_SECONDS, instant)
    return instants[0] + bisect_left(instants, True, key=lambda each: _offset_seconds(zone, each) == offset)


def _first_run_on(schedule: Schedule, zone: tzinfo, day: int, earliest: int) -> int | None:
    """Return the smallest instant of a matching day's runs that is not before `earliest`."""
    runs = [
        _first_run_in(schedule, stretch, day, earliest)
        for stretch in _stretches(zone, day)
        if schedule.is_continuous or not stretch.is_repeat
    ]
    return min((run for run in runs if run is not None), default=None)


def _first_run_in(schedule: Schedule, stretch: _Stretch, day: int, earliest: int) -> int | None:
    midnight = day * _DAY_SECONDS
    begin = max(stretch.begin, earliest + stretch.offset_seconds)
    first_minute = -((midnight - begin) // _MINUTE_SECONDS)  # rounded up
    for index in range(bisect_left(schedule.times, first_minute), len(schedule.times)):
        wall_second = midnight + schedule.times[index] * _MINUTE_SECONDS
        if wall_second >= stretch.end:
            return None
        if _is_excepted(schedule, wall_second):
            continue
        if not (stretch.jump_seconds and _is_excepted(schedule, wall_second + stretch.jump_seconds)):
            return wall_second - stretch.offset_seconds
    return None


# ---- 5. Start, end, now ------------------------------------------------------------------------------------


def next_run(schedule: Schedule, zone: tzinfo, *, after: float, start: float | None, end: float | None) -> int | None:
    """Return the first run later than the minute of `after`, from `start` to `end`, or None if there is none.

    By interval, it is the first run later than `after` itself. All three are instants and may be infinite. No
    `start` means no run, no `end` no bound. Handing each answer back as `after` gives the runs in order.
    """
    if _is_impossible(schedule):
        return None
    latest = _LAST_RUN if end is None else min(end, _LAST_RUN)
    if schedule.interval_seconds is not None:
        return _first_point(schedule, zone, _Grid(start, schedule.interval_seconds), after, latest)
    earliest = _earliest(zone, after, start)
    if earliest is None or earliest > latest:
        return None
    run = _smallest_run(schedule, zone, earliest, latest)
    return run if run is not None and run <= latest else None


def _earliest(zone: tzinfo, after: float, start: float | None) -> int | None:
    """Return the earliest instant that the answer may have; None stands for infinity."""
    if start is None or max(start, after + _MINUTE_SECONDS) >= _CALENDAR_END:
        return None
    earliest = max(_minute_begin(zone, after + _MINUTE_SECONDS), _FIRST_INSTANT)
    return earliest if start <= after else max(_minute_begin(zone, start), earliest)


def _minute_begin(zone: tzinfo, instant: float) -> int:
    """Cut an instant down to its whole minute on the zone's clock."""
    second = math.floor(max(instant, _FIRST_INSTANT))
    return second - (second + _offset_seconds(zone, second)) % _MINUTE_SECONDS


def _smallest_run(schedule: Schedule, zone: tzinfo, earliest: int, latest: float) -> int | None:
    """Return the first run from `earliest` on; past `latest` the search may give up.

    No clock has ever jumped by more than 24 hours. So the runs from `earliest` on belong to the day of that
    instant, the one before if the clock was changed on it, or later ones, and no day's runs come before those of
    a day but the next one's.
    """
    today = (earliest + _offset_seconds(zone, earliest)) // _DAY_SECONDS
    first = max(today - 1, _FIRST_DAY)
    if not _has_change(zone, first):
        first = max(today, _FIRST_DAY)
    days = _matching_days(schedule, first, min(today + _CYCLE_DAYS, _LAST_DAY))
    for day in days:
        if (day - 1) * _DAY_SECONDS > latest:
            return None
        run = _first_run_on(schedule, zone, day, earliest)
        if run is None:
            continue
        if _has_change(zone, day) and next(days, None) == day + 1:
            morrow_run = _first_run_on(schedule, zone, day + 1, earliest)
            return run if morrow_run is None else min(run, morrow_run)
        return run
    return None


# ---- 6. Impossible schedules and limits --------------------------------------------------------------------

_CYCLE_DAYS = 146_097  # 400 years, after which dates and weekdays repeat
_CYCLE_SECONDS = _CYCLE_DAYS * _DAY_SECONDS
_FIRST_INSTANT = _FIRST_DAY * _DAY_SECONDS
_CALENDAR_END = (_LAST_DAY + 1) * _DAY_SECONDS  # the first instant beyond the year 9999
_LAST_RUN = _CALENDAR_END - _MINUTE_SECONDS


def _is_impossible(schedule: Schedule) -> bool:
    return not (schedule.months and schedule.times)


# ---- 7. The zone -------------------------------------------------------------------------------------------

_YEAR_SECONDS = 366 * _DAY_SECONDS
_USUAL_RULE = ",M3.2.0,M11.1.0"  # what the server takes for a specification that names a summer time and no rule
# RFC 8536, version 2: a header and a body for 32 bits, then both for 64 bits; each with one type of local time, UTC.
_EMPTY_ZONE_FILE = (
    2 * (b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0") + b"\n"
)


class UnknownZone(ValueError):
    """A name that the tz database of this Python does not have."""


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Return the zone of a name of the tz database, or of a POSIX specification; raise UnknownZone for others."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there; malformed; the name of a folder
        return _posix_zone(name)


def _posix_zone(specification: str) -> ZoneInfo:
    """Return the zone of a POSIX specification, as the server takes it: CET-1CEST,M3.5.0,M10.5.0/3 or <+05:30>-05:30.

    A tz database file may end with such a line, for the time after all the changes that it lists: this one lists
    none. The abbreviations do not matter, and those in brackets may have characters that Python does not take.
    """
    has_summer_time = re.fullmatch(r"(<[^>]+>|[^-+\d,<:]+)[-+]?[\d:]+(<[^>]+>|[^-+\d,<:]+)[^,]*", specification)
    line = re.sub("<[^>]+>", "<ABBREVIATION>", specification) + (_USUAL_RULE if has_summer_time else "")
    try:
        if specification:
            made = ZoneInfo.from_file(BytesIO(_EMPTY_ZONE_FILE + f"{line}\n".encode("ascii")), key=specification)
            for instant in range(0, _YEAR_SECONDS, 30 * _DAY_SECONDS):  # 24 hours from UTC are too much for Python
                datetime.fromtimestamp(instant, made).utcoffset()
            return made
    except ValueError:
        pass
    raise UnknownZone(specification)


@lru_cache(maxsize=1024)  # many schedules are asked with the same now
def _offset_seconds(zone: tzinfo, instant: int) -> int:
    """Return the UTC offset in force at an instant.

    At both ends of the calendar, where the zone's clock may have left the years 1 to 9999, it is taken from
    400 years nearer to us: that early and that late, offsets repeat with the calendar.
    """
    if instant < _FIRST_INSTANT + _YEAR_SECONDS:
        instant += _CYCLE_SECONDS
    elif instant > _CALENDAR_END - _YEAR_SECONDS:
        instant -= _CYCLE_SECONDS
    offset = datetime.fromtimestamp(instant, zone).utcoffset() or timedelta()
    return offset.days * _DAY_SECONDS + offset.seconds


# ---- 9. Intervals ------------------------------------------------------------------------------------------

_MOST_POINTS = 1000  # and one more for each exception


class _Grid:
    """The points `start`, `start` + interval, and so on; a start without a bound counts from 1970-01-01 00:00 UTC."""

    def __init__(self, start: float | None, interval_seconds: int) -> None:
        self.interval_seconds = interval_seconds
        self.first: int | None = None
        if start is not None and start < _CALENDAR_END:
            self.first = math.floor(start) if start >= _FIRST_INSTANT else 0

    def first_after(self, instant: float) -> int | None:
        """Return the first point later than an instant."""
        if self.first is None or instant >= _CALENDAR_END:
            return None
        if instant < self.first:
            return self.first
        return self.first + ((math.floor(instant) - self.first) // self.interval_seconds + 1) * self.interval_seconds


def _first_point(schedule: Schedule, zone: tzinfo, grid: _Grid, after: float, latest: float) -> int | None:
    """Return the first point later than `after` that lies in a minute in which the schedule has a run."""
    point = grid.first_after(after)
    exceptions = len(schedule.excepted_times) + len(schedule.excepted_days) + len(schedule.excepted_moments)
    for _ in range(_MOST_POINTS + exceptions):
        if point is None or point > latest:
            return None
        minute = _smallest_run(schedule, zone, _minute_begin(zone, point), latest)
        if minute is None:
            return None
        if minute <= point < minute + _MINUTE_SECONDS:
            return point
        point = grid.first_after(minute - 1)
    return None
