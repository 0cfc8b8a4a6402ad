"""A schedule in words, and why it never runs: the fields of a schedule in, one line of English out.

Nothing here reads a clock, a session or a table. What runs and what does not is asked of ``recurrence``: a
reason is found by taking one restriction away after the other, never concluded from the fields alone.

All fields are told in full, so two schedules of different fields never read the same; only exceptions are
cut short. Instants (seconds since 1970-01-01 00:00 UTC) are told in the wall clock of the schedule's zone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone, tzinfo
from itertools import count, islice, pairwise, takewhile

from . import recurrence
from .recurrence import Flags, Schedule

_HOUR_MINUTES = 60
_DAY_MINUTES = 24 * 60
_LONGEST_INTERVAL_SECONDS = 36_500 * 86_400  # that pga_schedule.jscinterval takes
_LAST_DAY_FLAG = 32
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Definition:
    """What a row of pga_schedule, its exceptions and its calendar say.

    The arrays are as `recurrence.parse` takes them; exceptions are (date, time) as PostgreSQL writes them in
    ISO; `start` and `end` are instants, which may be infinite or missing; `interval_seconds` is jscinterval;
    `calendar` is a name, `holidays` are its dates, in ISO too.
    """

    minutes: Flags
    hours: Flags
    weekdays: Flags
    monthdays: Flags
    months: Flags
    exceptions: tuple[tuple[str | None, str | None], ...]
    zone_name: str
    start: float | None
    end: float | None
    interval_seconds: int | None = None
    calendar: str | None = None
    holidays: tuple[str, ...] = ()


def describe(definition: Definition, *, after: float | None = None) -> str:
    """Tell a schedule in one line: times, days, bounds, exceptions, calendar, zone.

    With `after` (an instant, usually now), a start that is still to come is told as well, and exceptions of
    days gone by are left out. Nothing that the tables accept is an error, not even an unknown zone.
    """
    fields = _Fields.of(definition)
    opening, start, end = _once(definition, fields), _starting(definition, after), _ending(definition)
    if opening:
        start = end = ""
    elif definition.interval_seconds is None:
        opening = f"{_times(fields)} {_days(fields)}".rstrip()
    else:
        opening = _interval(fields, definition.interval_seconds)
        if fields.are_wildcards:
            opening, start = f"{opening} {start}", ""
    holidays = "" if definition.calendar is None else f'not on dates of calendar "{definition.calendar}"'
    rest = [start, end, _excepting(definition, after), holidays, definition.zone_name]
    return ", ".join([opening, *filter(None, rest)])


# ---- Fields ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fields:
    """What the arrays allow, in order; a wildcard allows everything."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    weekdays: tuple[int, ...]  # Monday is 0
    monthdays: tuple[int, ...]  # 1 to 31, 32 is the last day
    months: tuple[int, ...]  # January is 0

    @classmethod
    def of(cls, definition: Definition) -> _Fields:
        monthdays = _allowed(definition.monthdays, _LAST_DAY_FLAG, first=1)
        return cls(
            minutes=_allowed(definition.minutes, 60),
            hours=_allowed(definition.hours, 24),
            weekdays=tuple(sorted((day - 1) % 7 for day in _allowed(definition.weekdays, 7))),
            monthdays=tuple(range(1, 33)) if monthdays[:31] == tuple(range(1, 32)) else monthdays,
            months=_allowed(definition.months, 12),
        )

    @property
    def times(self) -> list[int]:
        """The allowed minutes of a day."""
        return [hour * _HOUR_MINUTES + minute for hour in self.hours for minute in self.minutes]

    @property
    def has_all_hours(self) -> bool:
        return len(self.hours) == 24

    @property
    def has_all_days(self) -> bool:
        return len(self.weekdays) == 7 and len(self.monthdays) == 32

    @property
    def are_wildcards(self) -> bool:
        return len(self.minutes) == 60 and self.has_all_hours and self.has_all_days and len(self.months) == 12


def _allowed(array: Flags, size: int, first: int = 0) -> tuple[int, ...]:
    chosen = tuple([number for number, flag in enumerate(array[:size], first) if flag is True])
    return chosen or tuple(range(first, first + size))


# ---- Times -------------------------------------------------------------------------------------------------

_MOST_TIMES = 6  # more times of day than these are told by minutes and hours
_MOST_MINUTES = 4  # more pieces than these are no longer told as minutes of every hour if there is another way


def _once(definition: Definition, fields: _Fields) -> str:
    """Tell a schedule as pgagent.add_schedule(at => ...) writes it: it ends where it starts. Empty for others."""
    start = definition.start
    if start is None or start != definition.end or not math.isfinite(start) or not fields.are_wildcards:
        return ""
    is_longest = definition.interval_seconds == _LONGEST_INTERVAL_SECONDS
    return f"once at {_moment(definition, start)}" if is_longest else ""


def _times(fields: _Fields) -> str:
    times = fields.times
    step = _step(times, at_least=4)
    if _is_all_day(times):
        return f"every {_amount(60 * step)}"
    if fields.has_all_hours and not (step and len(_pieces(fields.minutes)) > _MOST_MINUTES):
        return f"at {_numbered('minute', fields.minutes)} of every hour"
    if step:
        return f"every {_amount(60 * step)} from {_time(times[0])} to {_time(times[-1])}"
    if len(times) <= _MOST_TIMES:
        return f"at {_join([_time(each) for each in times])}"
    hours = _numbered("hour", fields.hours, _two_digits)
    step = _step(fields.minutes, at_least=2)
    if step and fields.minutes[0] == 0 and len(fields.minutes) * step == _HOUR_MINUTES:
        return f"every {_amount(60 * step)} in {hours}"
    return f"at {_numbered('minute', fields.minutes)} of {hours}"


def _is_all_day(times: Sequence[int]) -> bool:
    """Whether times are as far apart across midnight as they are on the day, and midnight is one of them."""
    return times[0] == 0 and _step(times, at_least=4) * len(times) == _DAY_MINUTES


def _interval(fields: _Fields, interval_seconds: int) -> str:
    """An interval, and the minutes and days that the arrays leave to it."""
    days = "" if fields.has_all_days and len(fields.months) == 12 else _days(fields)
    return " ".join(filter(None, [f"every {_amount(interval_seconds)}", _minutes_left(fields), days]))


def _minutes_left(fields: _Fields) -> str:
    times = fields.times
    if len(times) == _DAY_MINUTES:
        return ""
    if times[-1] - times[0] == len(times) - 1 > 0:
        return f"from {_time(times[0])} to {_time(times[-1])}"
    if len(times) <= _MOST_TIMES:
        return f"in the {'minute' if len(times) == 1 else 'minutes'} {_join([_time(each) for each in times])}"
    hours = "every hour" if fields.has_all_hours else _numbered("hour", fields.hours, _two_digits)
    if len(fields.minutes) == _HOUR_MINUTES:
        return f"in {hours}"
    return f"in {_numbered('minute', fields.minutes)} of {hours}"


def _amount(seconds: int) -> str:
    """A length of time after "every". A day may have 23 or 25 hours: one day is told as 24 hours."""
    for unit, unit_seconds, at_least in (("day", 86_400, 2), ("hour", 3600, 1), ("minute", 60, 1)):
        number, rest = divmod(seconds, unit_seconds)
        if not rest and number >= at_least:
            return unit if number == 1 else f"{number} {unit}s"
    return "second" if seconds == 1 else f"{seconds} seconds"


def _time(minute: int) -> str:
    return f"{minute // _HOUR_MINUTES:02}:{minute % _HOUR_MINUTES:02}"


def _two_digits(number: int) -> str:
    return f"{number:02}"


# ---- Days --------------------------------------------------------------------------------------------------


def _days(fields: _Fields) -> str:
    if len(fields.monthdays) < 32:
        days = f"on {_monthdays(fields)}"
        return days if len(fields.weekdays) == 7 else f"{days} {_falling(fields)}"
    if len(fields.weekdays) < 7:
        days = f"on {_weekdays(fields.weekdays)}"
    elif fields.has_all_hours or _is_all_day(fields.times):
        days = ""
    else:
        days = "every day"
    if len(fields.months) == 12:
        return days
    months = _names(fields.months, _MONTHS)
    return f"{days} {'from' if _cycle(fields.months, 12) else 'in'} {_join(months)}".lstrip()


def _monthdays(fields: _Fields) -> str:
    numbers = [day for day in fields.monthdays if day != _LAST_DAY_FLAG]
    if fields.monthdays == tuple(numbers) and len(numbers) == len(fields.months) == 1:
        return f"{numbers[0]} {_MONTHS[fields.months[0]]}"
    also = ["the last day"] if len(numbers) < len(fields.monthdays) else []
    days = _numbered("day", numbers, also=also)
    if len(fields.months) == 12:
        return f"{days} of the month"
    each = "each month from " if _cycle(fields.months, 12) else ""
    return f"{days} of {each}{_join(_names(fields.months, _MONTHS))}"


def _weekdays(weekdays: tuple[int, ...]) -> str:
    if weekdays in {(0, 1, 2, 3, 4), (5, 6)}:
        return "weekdays" if 0 in weekdays else "weekends"
    return _join(_names(weekdays, _WEEKDAYS))


def _falling(fields: _Fields) -> str:
    """The weekdays of a schedule that restricts the days of the month as well: a day must be both."""
    if fields.weekdays in {(0, 1, 2, 3, 4), (5, 6)}:
        weekdays = "a weekday" if 0 in fields.weekdays else "a weekend"
    else:
        weekdays = _join(_names(fields.weekdays, _WEEKDAYS), "or")
    return f"{'if it falls' if len(fields.monthdays) == 1 else 'that fall'} on {weekdays}"


# ---- Bounds and exceptions ---------------------------------------------------------------------------------

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CYCLE_SECONDS = 146_097 * 86_400  # 400 years, after which the calendar repeats
_FIRST_SECOND = (date.min.toordinal() - _EPOCH_ORDINAL) * 86_400
_EDGE_SECONDS = 366 * 86_400  # that near to the ends of the calendar, a zone's clock may leave it
_LAST_SECOND = (date.max.toordinal() - _EPOCH_ORDINAL) * 86_400
_DATE_LENGTH = len("2027-01-01")  # infinity, years BC and beyond 9999 have another one
_MOST_EXCEPTIONS = 4


def _starting(definition: Definition, after: float | None) -> str:
    start = definition.start
    if start is None:
        return "without a start"
    if definition.interval_seconds is None:
        is_told = start == math.inf or (after is not None and math.isfinite(start) and start > after)
        return f"from {_moment(definition, start)}" if is_told else ""
    # docs/schedule.md, section 9: what has no beginning within the calendar counts from 1970.
    return f"from {_moment(definition, start if start >= _FIRST_SECOND else 0)}"


def _ending(definition: Definition) -> str:
    if definition.end is None or definition.end == math.inf:
        return ""
    return f"until {_moment(definition, definition.end)}"


def _excepting(definition: Definition, after: float | None) -> str:
    times, dated = _effective_exceptions(definition, "" if after is None else _date(definition, after))
    total = len(times) + len(dated)
    told = [(f"{each} every day", 1) for each in times]
    told += islice(_dated_exceptions(dated), _MOST_EXCEPTIONS + 1)
    if not told:
        return ""
    if len(told) <= _MOST_EXCEPTIONS:
        return f"except {_join([text for text, _ in told])}"
    told = told[: _MOST_EXCEPTIONS - 1]
    return f"except {_join([*(text for text, _ in told), f'{total - sum(count for _, count in told):,} more'])}"


def _effective_exceptions(definition: Definition, first_date: str) -> tuple[list[str], list[str]]:
    """Return the excepted times of every day and the excepted dates and moments, in order and without seconds.

    Left out are dates before `first_date`, and what takes nothing away: rows that no scheduled time can meet
    (docs/schedule.md, section 3), rows that are there twice, times of a day that is excepted as a whole.
    """
    times: set[str] = set()
    dates: set[str] = set()
    moments: set[str] = set()
    for on, at in definition.exceptions:
        if at is not None and not _is_minute(at):
            continue
        if on is None:
            times.update([at[:5]] if at else [])
        elif len(on) == _DATE_LENGTH and on >= first_date:
            if at is None:
                dates.add(on)
            else:
                moments.add(f"{on} {at[:5]}")
    return sorted(times), sorted(dates | {each for each in moments if each[:_DATE_LENGTH] not in dates})


def _dated_exceptions(dated: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield what is told of dates and moments in order, each with how many of them it stands for."""
    index = 0
    while index < len(dated):
        row = list(takewhile(_is_next_date(dated[index]), islice(dated, index, None)))
        if len(row) < 3:
            row = [dated[index]]
        yield (row[0] if len(row) == 1 else f"{row[0]} to {row[-1]}"), len(row)
        index += len(row)


def _is_next_date(first: str) -> Callable[[str], bool]:
    """Return what tells, asked once for each of a list, whether it is a row of dates from `first` on."""
    days = count(date.fromisoformat(first[:_DATE_LENGTH]).toordinal())
    return lambda text: len(text) == _DATE_LENGTH and date.fromisoformat(text).toordinal() == next(days)


def _is_minute(at: str) -> bool:
    return len(at) == 8 and at.endswith(":00") and at < "24"


def _date(definition: Definition, instant: float) -> str:
    """Return an instant's date as exceptions have it; near the ends of the calendar, one that may be earlier."""
    if instant < _FIRST_SECOND + _EDGE_SECONDS:
        return ""
    clock, _ = _clock(_zone_or_utc(definition)[0], min(instant, _LAST_SECOND - _EDGE_SECONDS))
    return clock.date().isoformat()


def _moment(definition: Definition, instant: float) -> str:
    """Tell an instant in the zone's wall clock; in UTC, and said so, if the zone is unknown."""
    if not math.isfinite(instant):
        return "infinity" if instant > 0 else "-infinity"
    zone, suffix = _zone_or_utc(definition)
    clock, cycles = _clock(zone, instant)
    year = clock.year + 400 * cycles
    seconds = f":{clock.second:02}" if clock.second else ""
    text = f"{year if year > 0 else 1 - year:04}-{clock:%m-%d %H:%M}{seconds}{suffix}"
    return text if year > 0 else f"{text} BC"


def _zone_or_utc(definition: Definition) -> tuple[tzinfo, str]:
    try:
        return recurrence.zone(definition.zone_name), ""
    except recurrence.UnknownZone:
        return timezone.utc, " UTC"


def _clock(zone: tzinfo, instant: float) -> tuple[datetime, int]:
    """Return what the clock shows, and by how many 400 years it had to be moved into the years 1 to 9999."""
    second = math.floor(instant)
    first, last = _FIRST_SECOND + _EDGE_SECONDS, _LAST_SECOND - _EDGE_SECONDS
    cycles = min(0, (second - first) // _CYCLE_SECONDS) + max(0, -((last - second) // _CYCLE_SECONDS))
    return datetime.fromtimestamp(second - cycles * _CYCLE_SECONDS, zone), cycles


# ---- Lists of numbers and names ----------------------------------------------------------------------------


def _numbered(noun: str, numbers: Sequence[int], name: Callable[[int], str] = str, also: Sequence[str] = ()) -> str:
    """Tell numbers with their noun: "day 5", "days 1 to 7 and 15", "every 2nd day from 1 to 31"."""
    if not numbers:
        return _join(also)
    step = _step(numbers, at_least=5)
    if step > 1:
        ordinal = {2: "2nd", 3: "3rd"}.get(step, f"{step}th")
        return _join([f"every {ordinal} {noun} from {name(numbers[0])} to {name(numbers[-1])}", *also])
    return f"{noun if len(numbers) == 1 else noun + 's'} {_join([*_pieces(numbers, name), *also])}"


def _pieces(numbers: Sequence[int], name: Callable[[int], str] = str) -> list[str]:
    """Tell three and more numbers in a row as a range."""
    pieces: list[str] = []
    first = 0
    for index, number in enumerate(numbers):
        if index + 1 < len(numbers) and numbers[index + 1] == number + 1:
            continue
        row = [name(each) for each in numbers[first : index + 1]]
        pieces += row if len(row) < 3 else [f"{row[0]} to {row[-1]}"]
        first = index + 1
    return pieces


def _names(chosen: Sequence[int], names: Sequence[str]) -> list[str]:
    """Tell months or weekdays; a range may go on from the last to the first: Friday to Monday."""
    cycle = _cycle(chosen, len(names))
    if cycle:
        return [f"{names[cycle[0]]} to {names[cycle[1]]}"]
    return _pieces(chosen, names.__getitem__)


def _cycle(chosen: Sequence[int], size: int) -> tuple[int, int] | None:
    """Return first and last of at least three numbers that are all in one row on a ring of `size`."""
    firsts = [each for each in chosen if (each - 1) % size not in chosen]
    if len(firsts) != 1 or len(chosen) < 3:
        return None
    return firsts[0], (firsts[0] + len(chosen) - 1) % size


def _step(numbers: Sequence[int], at_least: int) -> int:
    """Return how far apart numbers are; 0 if that differs or if they are fewer than `at_least`."""
    if len(numbers) < at_least:
        return 0
    step = numbers[1] - numbers[0]
    return step if all(later - number == step for number, later in pairwise(numbers)) else 0


def _join(pieces: Sequence[str], word: str = "and") -> str:
    if len(pieces) < 2:
        return "".join(pieces)
    return f"{', '.join(pieces[:-1])} {word} {pieces[-1]}"


# ---- Why there is no run -----------------------------------------------------------------------------------


def why_never(definition: Definition, *, after: float) -> str | None:
    """Say why a schedule has no run later than `after`, in the sense of `recurrence.next_run`; None if it has one.

    The reason is the narrowest that is found to be true by asking again with a restriction less. A zone that is
    unknown is a reason too.
    """
    schedule = _parse(definition)
    try:
        if _has_run(definition, after, schedule):
            return None
    except recurrence.UnknownZone:
        return f'time zone "{definition.zone_name}" is unknown'
    unexcepted = replace(definition, exceptions=(), holidays=())
    if (definition.exceptions or definition.holidays) and _has_run(unexcepted, after):
        return _why_excepted(definition, after, schedule)
    return (
        _why_impossible(unexcepted)
        or _why_not_started(unexcepted)
        or _why_no_point(unexcepted, after)
        or _why_ended(unexcepted, after)
        or _why_calendar_ends(unexcepted)
    )


def _parse(definition: Definition) -> Schedule:
    return recurrence.parse(
        definition.minutes,
        definition.hours,
        definition.weekdays,
        definition.monthdays,
        definition.months,
        (*definition.exceptions, *((day, None) for day in definition.holidays)),
        definition.interval_seconds,
    )


def _has_run(definition: Definition, after: float = -math.inf, schedule: Schedule | None = None) -> bool:
    """Ask for the next run: the only place that does. `schedule` is given if it need not be parsed again."""
    schedule = schedule or _parse(definition)
    zone = recurrence.zone(definition.zone_name)
    run = recurrence.next_run(schedule, zone, after=after, start=definition.start, end=definition.end)
    return run is not None


def _why_excepted(definition: Definition, after: float, schedule: Schedule) -> str:
    """There would be a run without the exceptions and the calendar."""
    if schedule.interval_seconds is not None and _has_run(definition, after, replace(schedule, interval_seconds=None)):
        return "no multiple of the interval is found in a minute that is allowed and not excepted"
    left = "left " if _has_run(definition, schedule=schedule) else ""
    taken = _how_taken(definition, after)
    if definition.end is not None and _has_run(replace(definition, end=None), after, schedule):
        return f"every run {left}before it ends on {_moment(definition, definition.end)} {taken}"
    return f"every run {left}{taken}"


def _how_taken(definition: Definition, after: float) -> str:
    """Tell whether the exceptions, or else the calendar, or only both together leave no run."""
    on_date = f'is on a date of calendar "{definition.calendar}"'
    if not _has_run(replace(definition, holidays=()), after):
        return "is excepted"
    return on_date if not _has_run(replace(definition, exceptions=()), after) else f"is excepted or {on_date}"


def _why_impossible(unexcepted: Definition) -> str | None:
    """The days that the fields name are in none of the months that they name."""
    if _has_run(replace(unexcepted, start=-math.inf, end=None, interval_seconds=None)):
        return None
    fields = _Fields.of(unexcepted)
    days, months = fields.monthdays, _names(fields.months, _MONTHS)
    if len(days) == len(fields.months) == 1:
        return f"{days[0]} {months[0]} does not exist"
    return f"{_numbered('day', days)} {'does' if len(days) == 1 else 'do'} not exist in {_join(months)}"


def _why_not_started(unexcepted: Definition) -> str | None:
    if unexcepted.start is None:
        return "it has no start"
    return "its start is infinity" if unexcepted.start == math.inf else None


def _why_no_point(unexcepted: Definition, after: float) -> str | None:
    """There are minutes left, but no point of the interval; the search for one gives up after a while."""
    endless = replace(unexcepted, end=None)
    if endless.interval_seconds is None or _has_run(endless, after):
        return None
    is_left = _has_run(replace(endless, interval_seconds=None), after)
    return "no multiple of the interval is found in an allowed minute" if is_left else None


def _why_ended(unexcepted: Definition, after: float) -> str | None:
    """There would be a run without the end."""
    start, end = unexcepted.start, unexcepted.end
    if start is None or end is None or not _has_run(replace(unexcepted, end=None), after):
        return None
    if end == -math.inf:
        return "its end is -infinity"
    had_run = _has_run(unexcepted)
    if start > end and not had_run:
        return "it ends before it starts"
    if end <= after:
        return f"it ended on {_moment(unexcepted, end)}"
    date_missed = _date_missed(unexcepted, after)
    if not had_run and math.isfinite(start):
        return f"no {date_missed or 'run'} falls between its start and its end"
    what = f"{date_missed} does not come again" if date_missed else "no run is left"
    return f"{what} before it ends on {_moment(unexcepted, end)}"


def _date_missed(unexcepted: Definition, after: float) -> str | None:
    """Return the one date of the year that the fields name, if no time of it is left whatever its weekday."""
    at_any_time = replace(unexcepted, minutes=(), hours=(), weekdays=(), interval_seconds=None)
    fields = _Fields.of(at_any_time)
    if len(fields.monthdays) > 1 or len(fields.months) > 1 or fields.monthdays[0] == _LAST_DAY_FLAG:
        return None
    return None if _has_run(at_any_time, after) else f"{fields.monthdays[0]} {_MONTHS[fields.months[0]]}"


def _why_calendar_ends(unexcepted: Definition) -> str:
    return f"no run {'is left ' if _has_run(unexcepted) else ''}before the year 10000"
