from __future__ import annotations

import math
import time as process_time
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgagent_py import recurrence
from pgagent_py.explain import Definition, describe, why_never

SUNDAY, MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY = range(7)
WEEKDAYS = range(MONDAY, SATURDAY)
LAST = 32
INFINITY = math.inf
Row = tuple[str | None, str | None]


def flags(chosen: Iterable[int], size: int, first: int = 0) -> tuple[bool, ...]:
    wanted = set(chosen)
    return tuple(number in wanted for number in range(first, first + size))


def instant(text: str, tz: str) -> float:
    if text.endswith("infinity"):
        return float(text)
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)).timestamp()


def schedule(
    *,
    minutes: Iterable[int] = (),
    hours: Iterable[int] = (),
    weekdays: Iterable[int] = (),
    monthdays: Iterable[int] = (),
    months: Iterable[int] = (),
    exceptions: Iterable[Row] = (),
    tz: str = "UTC",
    start: str | None = "2026-01-01 00:00",
    end: str | None = None,
    interval: int | None = None,
    calendar: str | None = None,
    holidays: Iterable[str] = (),
) -> Definition:
    return Definition(
        minutes=flags(minutes, 60),
        hours=flags(hours, 24),
        weekdays=flags(weekdays, 7),
        monthdays=flags(monthdays, 32, first=1),
        months=flags(months, 12, first=1),
        exceptions=tuple(exceptions),
        zone_name=tz,
        start=None if start is None else instant(start, tz),
        end=None if end is None else instant(end, tz),
        interval_seconds=interval,
        calendar=calendar,
        holidays=tuple(holidays),
    )


def days_from(first: str, count: int, step: int = 1) -> list[str]:
    return [(date.fromisoformat(first) + timedelta(days=step * index)).isoformat() for index in range(count)]


# ---- Times -------------------------------------------------------------------------------------------------

NIGHTLY: dict[str, Any] = {"minutes": [0], "hours": [3]}
CLOSED: dict[str, Any] = {"calendar": "closed", "holidays": ["2026-11-22", "2026-11-23", "2026-12-25"]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, "every minute", id="wildcards"),
        pytest.param({"minutes": range(0, 60, 15)}, "every 15 minutes", id="step"),
        pytest.param({"minutes": [0, 30]}, "every 30 minutes", id="half hours"),
        pytest.param({"minutes": range(0, 60, 2)}, "every 2 minutes", id="even minutes"),
        pytest.param({"minutes": [0]}, "every hour", id="hourly"),
        pytest.param({"minutes": [5]}, "at minute 5 of every hour", id="minute of every hour"),
        pytest.param(
            {"minutes": [5, 20, 35, 50]}, "at minutes 5, 20, 35 and 50 of every hour", id="few minutes of every hour"
        ),
        pytest.param({"minutes": range(10, 21)}, "at minutes 10 to 20 of every hour", id="range of minutes"),
        pytest.param(
            {"minutes": [0, 1, 5, *range(10, 21)]}, "at minutes 0, 1, 5 and 10 to 20 of every hour", id="many minutes"
        ),
        pytest.param({"minutes": range(1, 60, 5)}, "every 5 minutes from 00:01 to 23:56", id="step with an offset"),
        pytest.param(
            {"minutes": range(10, 31, 5)}, "at every 5th minute from 10 to 30 of every hour", id="step within the hour"
        ),
        pytest.param({"minutes": [30], "hours": [2]}, "at 02:30 every day", id="daily"),
        pytest.param({"minutes": [0], "hours": [8, 12, 18]}, "at 08:00, 12:00 and 18:00 every day", id="three times"),
        pytest.param({"minutes": [0, 30], "hours": [9]}, "at 09:00 and 09:30 every day", id="two times in an hour"),
        pytest.param({"hours": range(9, 17)}, "every minute from 09:00 to 16:59 every day", id="hours in a row"),
        pytest.param({"hours": [9]}, "every minute from 09:00 to 09:59 every day", id="one hour"),
        pytest.param({"hours": [9, 12, 15]}, "every minute in hours 09, 12 and 15 every day", id="hours apart"),
        pytest.param(
            {"hours": range(1, 24, 2)}, "every minute in every 2nd hour from 01 to 23 every day", id="odd hours"
        ),
        pytest.param(
            {"minutes": range(0, 60, 15), "hours": range(9, 17)},
            "every 15 minutes from 09:00 to 16:45 every day",
            id="step in hours in a row",
        ),
        pytest.param(
            {"minutes": range(0, 60, 15), "hours": [1, 5, 9, 12]},
            "every 15 minutes in hours 01, 05, 09 and 12 every day",
            id="step in hours apart",
        ),
        pytest.param({"minutes": [0], "hours": range(0, 24, 2)}, "every 2 hours", id="every 2 hours"),
        pytest.param(
            {"minutes": [30], "hours": range(9, 18)}, "every hour from 09:30 to 17:30 every day", id="hourly in the day"
        ),
        pytest.param(
            {"minutes": [30], "hours": range(0, 24, 2)},
            "every 2 hours from 00:30 to 22:30 every day",
            id="every 2 hours with an offset",
        ),
        pytest.param(
            {"minutes": [1, 7, 20], "hours": range(9, 18)},
            "at minutes 1, 7 and 20 of hours 09 to 17 every day",
            id="neither",
        ),
    ],
)
def test_times(fields: dict[str, Any], expected: str) -> None:
    assert describe(schedule(**fields)) == f"{expected}, UTC"


# ---- Days --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"weekdays": [MONDAY]}, "on Monday", id="one weekday"),
        pytest.param({"weekdays": WEEKDAYS}, "on weekdays", id="weekdays"),
        pytest.param({"weekdays": [SUNDAY, SATURDAY]}, "on weekends", id="weekends"),
        pytest.param({"weekdays": range(MONDAY, FRIDAY)}, "on Monday to Thursday", id="weekdays in a row"),
        pytest.param({"weekdays": [FRIDAY, SATURDAY, SUNDAY, MONDAY]}, "on Friday to Monday", id="across Sunday"),
        pytest.param({"weekdays": [SUNDAY, TUESDAY, THURSDAY]}, "on Tuesday, Thursday and Sunday", id="weekdays apart"),
        pytest.param(
            {"weekdays": [MONDAY, TUESDAY, WEDNESDAY, SATURDAY]},
            "on Monday to Wednesday and Saturday",
            id="row and one",
        ),
        pytest.param({"months": [1]}, "every day in January", id="month"),
        pytest.param({"months": [11, 12, 1]}, "every day from November to January", id="months across the year's end"),
        pytest.param({"weekdays": WEEKDAYS, "months": [1]}, "on weekdays in January", id="weekdays of a month"),
        pytest.param({"weekdays": [MONDAY], "months": range(3, 11)}, "on Monday from March to October", id="summer"),
        pytest.param({"monthdays": [15]}, "on day 15 of the month", id="monthday"),
        pytest.param({"monthdays": [31]}, "on day 31 of the month", id="the 31st"),
        pytest.param({"monthdays": [LAST]}, "on the last day of the month", id="last day"),
        pytest.param(
            {"monthdays": [1, 15, LAST]}, "on days 1, 15 and the last day of the month", id="days and the last"
        ),
        pytest.param({"monthdays": range(1, 32, 2)}, "on every 2nd day from 1 to 31 of the month", id="odd days"),
        pytest.param({"monthdays": range(1, 32)}, "every day", id="all days"),
        pytest.param({"monthdays": [29], "months": [2]}, "on 29 February", id="date of the year"),
        pytest.param(
            {"monthdays": [15, LAST], "months": [2, 3]},
            "on day 15 and the last day of February and March",
            id="days of months",
        ),
        pytest.param(
            {"monthdays": [1], "months": [1, 4, 7, 10]}, "on day 1 of January, April, July and October", id="quarterly"
        ),
        pytest.param(
            {"monthdays": [LAST], "months": range(3, 11)},
            "on the last day of each month from March to October",
            id="last day of months in a row",
        ),
        pytest.param(
            {"monthdays": [13], "weekdays": [FRIDAY]},
            "on day 13 of the month if it falls on Friday",
            id="Friday the 13th",
        ),
        pytest.param(
            {"monthdays": range(1, 8), "weekdays": [MONDAY]},
            "on days 1 to 7 of the month that fall on Monday",
            id="first Monday",
        ),
        pytest.param(
            {"monthdays": [LAST], "weekdays": WEEKDAYS},
            "on the last day of the month if it falls on a weekday",
            id="last day if a weekday",
        ),
        pytest.param(
            {"monthdays": [1, 2], "weekdays": [TUESDAY, THURSDAY], "months": [5]},
            "on days 1 and 2 of May that fall on Tuesday or Thursday",
            id="one of two weekdays",
        ),
    ],
)
def test_days(fields: dict[str, Any], expected: str) -> None:
    assert describe(schedule(**NIGHTLY, **fields)) == f"at 03:00 {expected}, UTC"


def test_a_time_that_is_told_for_all_hours_needs_no_every_day() -> None:
    assert describe(schedule(minutes=[0], months=[1])) == "every hour in January, UTC"
    assert describe(schedule(minutes=[0], hours=range(0, 24, 2), months=[1])) == "every 2 hours in January, UTC"


@pytest.mark.parametrize("array", [(), (None,), (False,) * 99, (None,) * 60 + (True,)])
def test_an_array_without_a_true_element_is_a_wildcard(array: tuple[bool | None, ...]) -> None:
    of = schedule()
    assert describe(replace(of, minutes=array, hours=array, weekdays=array, months=array)) == "every minute, UTC"


# ---- Intervals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"interval": 1}, "every second from 2026-01-01 00:00", id="1 s"),
        pytest.param({"interval": 10}, "every 10 seconds from 2026-01-01 00:00", id="10 s"),
        pytest.param({"interval": 60}, "every minute from 2026-01-01 00:00", id="1 min"),
        pytest.param({"interval": 5400}, "every 90 minutes from 2026-01-01 00:00", id="90 min"),
        pytest.param({"interval": 86_400}, "every 24 hours from 2026-01-01 00:00", id="24 h"),
        pytest.param({"interval": 7 * 86_400}, "every 7 days from 2026-01-01 00:00", id="7 days"),
        pytest.param({"interval": 3601}, "every 3601 seconds from 2026-01-01 00:00", id="3601 s"),
        pytest.param(
            {"interval": 90, "start": "2026-11-22 10:00:07"}, "every 90 seconds from 2026-11-22 10:00:07", id="seconds"
        ),
        pytest.param({"interval": 60, "start": "-infinity"}, "every minute from 1970-01-01 00:00", id="unbounded"),
        pytest.param({"interval": 60, "start": None}, "every minute without a start", id="no start"),
        pytest.param(
            {"interval": 10, "hours": range(9, 17), "weekdays": WEEKDAYS},
            "every 10 seconds from 09:00 to 16:59 on weekdays, from 2026-01-01 00:00",
            id="hours in a row",
        ),
        pytest.param(
            {"interval": 10, "hours": [9, 12]}, "every 10 seconds in hours 09 and 12, from 2026-01-01 00:00", id="hours"
        ),
        pytest.param(
            {"interval": 10, "minutes": range(10)},
            "every 10 seconds in minutes 0 to 9 of every hour, from 2026-01-01 00:00",
            id="minutes of every hour",
        ),
        pytest.param(
            {"interval": 10, "minutes": range(10), "hours": [1, 3]},
            "every 10 seconds in minutes 0 to 9 of hours 01 and 03, from 2026-01-01 00:00",
            id="minutes of hours",
        ),
        pytest.param(
            {"interval": 10, **NIGHTLY}, "every 10 seconds in the minute 03:00, from 2026-01-01 00:00", id="one minute"
        ),
        pytest.param(
            {"interval": 10, "months": [1]}, "every 10 seconds in January, from 2026-01-01 00:00", id="only a month"
        ),
    ],
)
def test_intervals(fields: dict[str, Any], expected: str) -> None:
    assert describe(schedule(**fields)) == f"{expected}, UTC"


ONCE: dict[str, Any] = {"start": "2031-05-01 08:15:42", "end": "2031-05-01 08:15:42", "interval": 36_500 * 86_400}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, "once at 2031-05-01 08:15:42, UTC", id="once"),
        pytest.param({"tz": "Asia/Tokyo"}, "once at 2031-05-01 08:15:42, Asia/Tokyo", id="zone"),
        pytest.param(
            {"exceptions": [("2031-05-01", None)]}, "once at 2031-05-01 08:15:42, except 2031-05-01, UTC", id="excepted"
        ),
        pytest.param(
            {"interval": 86_400},
            "every 24 hours from 2031-05-01 08:15:42, until 2031-05-01 08:15:42, UTC",
            id="another interval",
        ),
        pytest.param(
            {"end": "2031-05-01 08:15:43"},
            "every 36500 days from 2031-05-01 08:15:42, until 2031-05-01 08:15:43, UTC",
            id="another end",
        ),
        pytest.param(
            {"hours": [8]},
            "every 36500 days from 08:00 to 08:59, from 2031-05-01 08:15:42, until 2031-05-01 08:15:42, UTC",
            id="hours",
        ),
        pytest.param(
            {"start": "infinity", "end": "infinity"}, "every 36500 days from infinity, UTC", id="without an instant"
        ),
    ],
)
def test_once(fields: dict[str, Any], expected: str) -> None:
    assert describe(schedule(**{**ONCE, **fields})) == expected


def test_once_is_no_longer_told_as_to_come() -> None:
    of = schedule(**ONCE)
    assert describe(of, after=instant("2040-01-01 00:00", "UTC")) == "once at 2031-05-01 08:15:42, UTC"
    assert why_never(of, after=instant("2031-05-01 08:15:41", "UTC")) is None
    assert why_never(of, after=instant("2031-05-01 08:15:42", "UTC")) == "it ended on 2031-05-01 08:15:42"


# ---- Bounds, zone, exceptions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"end": "2027-06-30 23:59"}, "every minute, until 2027-06-30 23:59, Europe/Berlin"),
        ({"end": "2027-06-30 23:59:59.9"}, "every minute, until 2027-06-30 23:59:59, Europe/Berlin"),
        ({"end": "infinity", "start": "-infinity"}, "every minute, Europe/Berlin"),
        ({"end": "-infinity"}, "every minute, until -infinity, Europe/Berlin"),
        ({"start": None}, "every minute, without a start, Europe/Berlin"),
        ({"start": "infinity"}, "every minute, from infinity, Europe/Berlin"),
        ({"start": "2027-02-01 08:00"}, "every minute, Europe/Berlin"),
    ],
)
def test_bounds_are_told_where_they_matter(bounds: dict[str, Any], expected: str) -> None:
    assert describe(schedule(tz="Europe/Berlin", **bounds)) == expected


def test_a_start_to_come_is_told_to_who_says_when_it_is() -> None:
    of = schedule(start="2027-02-01 08:00", tz="Asia/Kathmandu")
    assert of.start is not None
    assert describe(of, after=of.start - 1) == "every minute, from 2027-02-01 08:00, Asia/Kathmandu"
    assert describe(of, after=of.start) == "every minute, Asia/Kathmandu"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (-210_866_803_200, "4714-11-24 00:00 BC"),
        (-62_167_219_200, "0001-01-01 00:00 BC"),
        (-62_135_596_800, "0001-01-01 00:00"),
        (253_402_300_799, "9999-12-31 23:59:59"),
        (253_402_300_800, "10000-01-01 00:00"),
        (9_224_318_015_999, "294276-12-31 23:59:59"),
    ],
)
def test_instants_beyond_the_calendar_are_told_as_the_server_does(end: float, expected: str) -> None:
    assert describe(replace(schedule(), end=end)) == f"every minute, until {expected}, UTC"


def test_instants_of_an_unknown_zone_are_told_in_utc() -> None:
    of = replace(schedule(end="2027-06-30 23:59"), zone_name="Europe/Berlim")
    assert describe(of) == "every minute, until 2027-06-30 23:59 UTC, Europe/Berlim"


CHRISTMAS = ["2027-12-24", "2027-12-25", "2027-12-26"]


@pytest.mark.parametrize(
    ("exceptions", "expected"),
    [
        pytest.param([("2027-01-01", None)], ", except 2027-01-01", id="date"),
        pytest.param([("2027-01-01", "03:00:00")], ", except 2027-01-01 03:00", id="moment"),
        pytest.param([(None, "03:00:00")], ", except 03:00 every day", id="time"),
        pytest.param(
            [("2027-04-05", None), (None, "03:00:00"), ("2027-01-01", "04:00:00")],
            ", except 03:00 every day, 2027-01-01 04:00 and 2027-04-05",
            id="in order",
        ),
        pytest.param([(day, None) for day in CHRISTMAS], ", except 2027-12-24 to 2027-12-26", id="row of days"),
        pytest.param([(day, None) for day in CHRISTMAS[1:]], ", except 2027-12-25 and 2027-12-26", id="two days"),
        pytest.param(
            [(day, "03:00:00") for day in CHRISTMAS[:2]] + [(CHRISTMAS[0], None)] * 2,
            ", except 2027-12-24 and 2027-12-25 03:00",
            id="said twice",
        ),
        pytest.param(
            [(day, None) for day in days_from("2027-01-01", 4, step=7)],
            ", except 2027-01-01, 2027-01-08, 2027-01-15 and 2027-01-22",
            id="four",
        ),
        pytest.param(
            [(day, None) for day in days_from("2027-01-01", 10_000, step=2)],
            ", except 2027-01-01, 2027-01-03, 2027-01-05 and 9,997 more",
            id="many",
        ),
        pytest.param(
            [(day, None) for day in days_from("2027-01-01", 10_000)], ", except 2027-01-01 to 2054-05-18", id="years"
        ),
        pytest.param(
            [
                (None, None),
                (None, "24:00:00"),
                (None, "03:00:30"),
                (None, "03:00:00.5"),
                ("infinity", None),
                ("-infinity", "03:00:00"),
                ("0044-03-15 BC", None),
                ("10000-01-01", None),
                ("2027-01-01", "24:00:00"),
            ],
            "",
            id="what takes nothing away",
        ),
    ],
)
def test_exceptions(exceptions: list[Row], expected: str) -> None:
    assert describe(schedule(exceptions=exceptions)) == f"every minute{expected}, UTC"


def test_exceptions_gone_by_are_left_out_for_who_says_when_it_is() -> None:
    rows = [(day, None) for day in days_from("2027-01-06", 3)]
    of = schedule(exceptions=rows, tz="Asia/Tokyo", start="-infinity")
    after = instant("2027-01-07 00:00", "Asia/Tokyo")
    assert describe(of, after=after) == "every minute, except 2027-01-07 and 2027-01-08, Asia/Tokyo"
    assert describe(of, after=after - 1) == describe(of)
    assert describe(of, after=-INFINITY) == describe(of)
    assert describe(of, after=INFINITY) == "every minute, Asia/Tokyo"


def test_all_parts_in_order() -> None:
    of = schedule(
        minutes=[30],
        hours=[2],
        weekdays=WEEKDAYS,
        months=[1],
        exceptions=[("2027-01-01", None)],
        end="2028-01-01 00:00",
        tz="Europe/Berlin",
    )
    expected = "at 02:30 on weekdays in January, until 2028-01-01 00:00, except 2027-01-01, Europe/Berlin"
    assert describe(of) == expected


# ---- Why there is no run -----------------------------------------------------------------------------------

AFTER = "2026-11-22 10:00"
LEAP_DAY: dict[str, Any] = {**NIGHTLY, "monthdays": [29], "months": [2]}
AT_TEN: dict[str, Any] = {"start": "2026-01-01 10:00", "interval": 86_400}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="has a run"),
        pytest.param({"monthdays": [31], "months": [4]}, "31 April does not exist", id="31 April"),
        pytest.param({"monthdays": [30], "months": [2]}, "30 February does not exist", id="30 February"),
        pytest.param(
            {"monthdays": [31], "months": [4, 6, 9, 11]},
            "day 31 does not exist in April, June, September and November",
            id="the 31st of short months",
        ),
        pytest.param(
            {"monthdays": [30, 31], "months": [2]}, "days 30 and 31 do not exist in February", id="days of February"
        ),
        pytest.param({"monthdays": [30, LAST], "months": [2]}, None, id="30 February or the last day"),
        pytest.param(
            {"monthdays": [31], "months": [4], "start": None}, "31 April does not exist", id="narrowest first"
        ),
        pytest.param({"start": None}, "it has no start", id="no start"),
        pytest.param({"start": "infinity"}, "its start is infinity", id="infinite start"),
        pytest.param({"end": "2026-01-05 12:00"}, "it ended on 2026-01-05 12:00", id="ended"),
        pytest.param({"end": AFTER}, f"it ended on {AFTER}", id="ends now"),
        pytest.param({"end": "2025-12-31 12:00"}, "it ends before it starts", id="ends before it starts"),
        pytest.param({"start": "2027-01-01", "end": "2026-12-31"}, "it ends before it starts", id="both to come"),
        pytest.param({"end": "-infinity"}, "its end is -infinity", id="infinite end"),
        pytest.param(
            {**LEAP_DAY, "start": "-infinity", "end": "2027-06-30 23:59"},
            "29 February does not come again before it ends on 2027-06-30 23:59",
            id="no leap year left",
        ),
        pytest.param(
            {**LEAP_DAY, "end": "2027-06-30 23:59"},
            "no 29 February falls between its start and its end",
            id="no leap year",
        ),
        pytest.param(
            {**LEAP_DAY, "end": "2028-02-29 02:59"},
            "no run falls between its start and its end",
            id="leap day too short",
        ),
        pytest.param(
            {**NIGHTLY, "start": "2026-12-01 03:01", "end": "2026-12-02 02:59"},
            "no run falls between its start and its end",
            id="between the runs",
        ),
        pytest.param(
            {**NIGHTLY, "end": "2026-11-23 02:59"}, "no run is left before it ends on 2026-11-23 02:59", id="last"
        ),
        pytest.param({**NIGHTLY, "exceptions": [(None, "03:00:00")]}, "every run is excepted", id="only time excepted"),
        pytest.param(
            {**NIGHTLY, "end": "2026-11-24 02:00", "exceptions": [("2026-11-23", None)]},
            "every run left before it ends on 2026-11-24 02:00 is excepted",
            id="last run excepted",
        ),
        pytest.param(
            {**NIGHTLY, "start": "2026-11-23", "end": "2026-11-24 02:00", "exceptions": [("2026-11-23", "03:00:00")]},
            "every run before it ends on 2026-11-24 02:00 is excepted",
            id="only run excepted",
        ),
        pytest.param(
            {**NIGHTLY, **CLOSED, "holidays": ["2026-11-23"], "end": "2026-11-24 02:00"},
            'every run left before it ends on 2026-11-24 02:00 is on a date of calendar "closed"',
            id="last run on a date of the calendar",
        ),
        pytest.param(
            {**NIGHTLY, **CLOSED, "holidays": [], "exceptions": [(None, "03:00:00")]},
            "every run is excepted",
            id="calendar without dates",
        ),
        pytest.param(
            {**NIGHTLY, **CLOSED, "end": "2026-11-24 02:00", "exceptions": [("2026-11-23", None)]},
            "every run left before it ends on 2026-11-24 02:00 is excepted",
            id="exceptions take away what a calendar does",
        ),
        pytest.param(
            {**NIGHTLY, **CLOSED, "end": "2026-11-25 02:00", "exceptions": [("2026-11-24", None)]},
            'every run left before it ends on 2026-11-25 02:00 is excepted or is on a date of calendar "closed"',
            id="exceptions and calendar together",
        ),
        pytest.param({**NIGHTLY, **CLOSED}, None, id="calendar"),
        pytest.param({"start": "2026-01-01", "end": "9999-12-31", "monthdays": [1]}, None, id="long"),
        pytest.param({**AT_TEN}, None, id="interval"),
        pytest.param(
            {**AT_TEN, **NIGHTLY}, "no multiple of the interval is found in an allowed minute", id="interval of 10:00"
        ),
        pytest.param(
            {**AT_TEN, "exceptions": [(None, "10:00:00")]},
            "no multiple of the interval is found in a minute that is allowed and not excepted",
            id="interval's minute excepted",
        ),
        pytest.param(
            {**NIGHTLY, "interval": 10, "exceptions": [(None, "03:00:00")]},
            "every run is excepted",
            id="interval excepted",
        ),
        pytest.param({"interval": 60, "start": "-infinity"}, None, id="interval without bounds"),
        pytest.param(
            {"interval": 86_400, "end": "2026-11-22 23:00"},
            "no run is left before it ends on 2026-11-22 23:00",
            id="point",
        ),
    ],
)
def test_why_never(fields: dict[str, Any], expected: str | None) -> None:
    assert why_never(schedule(**fields), after=instant(AFTER, "UTC")) == expected


def test_reasons_tell_the_wall_clock() -> None:
    of = schedule(tz="Pacific/Auckland", end="2026-07-01 12:00")
    assert why_never(of, after=instant(AFTER, "UTC")) == "it ended on 2026-07-01 12:00"


def test_why_never_of_an_unknown_zone() -> None:
    of = replace(schedule(), zone_name="Europe/Berlim")
    assert why_never(of, after=0) == 'time zone "Europe/Berlim" is unknown'


def test_why_never_at_the_end_of_the_calendar() -> None:
    assert why_never(replace(schedule(), start=1e12), after=0) == "no run before the year 10000"
    assert why_never(schedule(), after=1e12) == "no run is left before the year 10000"


def test_a_calendar_is_told_by_its_name() -> None:
    of = schedule(**NIGHTLY, **CLOSED, exceptions=[("2026-12-24", None)])
    assert describe(of) == 'at 03:00 every day, except 2026-12-24, not on dates of calendar "closed", UTC'
    assert describe(replace(of, holidays=())) == describe(of)


@pytest.mark.parametrize("at", [None, "03:00:00"])
def test_the_cost_of_very_many_exceptions_is_bounded(at: str | None) -> None:
    rows = [(day, at) for day in days_from("2026-11-22", 10_000)]
    of = schedule(**NIGHTLY, exceptions=rows, end="2054-04-08 02:00")
    before = process_time.process_time()
    assert why_never(of, after=instant(AFTER, "UTC")) is not None
    assert describe(of)
    assert process_time.process_time() - before < 0.5


# ---- Anything that the tables accept -----------------------------------------------------------------------

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "No/Where"]
NOW = 1_795_341_600
instants = st.one_of(
    st.integers(NOW - 4 * 366 * 86_400, NOW + 4 * 366 * 86_400).map(float),
    st.integers(-210_866_803_200, 9_224_318_015_999).map(float),
    st.sampled_from([INFINITY, -INFINITY, 0.0, 0.5, NOW - 1.0, float(NOW)]),
)
exceptions = st.lists(
    st.tuples(
        st.sampled_from([None, "infinity", "-infinity", "0044-03-15 BC", "0044-03-15", "10000-01-01", *CHRISTMAS]),
        st.sampled_from([None, "00:00:00", "03:00:00", "03:00:00.25", "23:59:00", "24:00:00"]),
    ),
    max_size=6,
)


def chosen(size: int, first: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    """Numbers of a field, often such as people choose: few, a range, a step."""
    number = st.integers(first, first + size - 1)
    steps = st.builds(lambda low, high, step: tuple(range(low, high + 1, step)), number, number, st.integers(1, 15))
    some = st.sets(number, max_size=size).map(lambda numbers: tuple(sorted(numbers)))
    return st.one_of(steps, some, st.just(()), number.map(lambda each: (each,)))


def array(size: int, first: int = 0) -> st.SearchStrategy[tuple[bool | None, ...]]:
    elements = st.lists(st.sampled_from([True, False, None]), max_size=size + 2).map(tuple)
    return st.one_of(chosen(size, first).map(lambda numbers: flags(numbers, size, first)), elements)


definitions = st.builds(
    Definition,
    minutes=array(60),
    hours=array(24),
    weekdays=array(7),
    monthdays=array(32, first=1),
    months=array(12, first=1),
    exceptions=exceptions.map(tuple),
    zone_name=st.sampled_from(ZONES),
    start=st.none() | instants,
    end=st.none() | instants,
    interval_seconds=st.none() | st.sampled_from([1, 10, 3600, 86_400, 86_401, 36_500 * 86_400]),
)


def next_run(of: Definition, after: float) -> int | None:
    arrays = (of.minutes, of.hours, of.weekdays, of.monthdays, of.months)
    parsed = recurrence.parse(*arrays, of.exceptions, of.interval_seconds)
    return recurrence.next_run(parsed, recurrence.zone(of.zone_name), after=after, start=of.start, end=of.end)


def assert_is_one_line(text: str) -> None:
    assert text.isprintable()
    assert text == " ".join(text.split())
    assert not text.endswith((".", ","))


@given(definitions, st.none() | instants)
def test_any_definition_is_described_in_one_line(of: Definition, after: float | None) -> None:
    text = describe(of, after=after)
    assert_is_one_line(text)
    assert text.endswith(f", {of.zone_name}")
    assert text == describe(replace(of, exceptions=of.exceptions[::-1]), after=after)


REMEDIES: dict[str, dict[str, Any]] = {
    "does not exist": {"months": (), "start": -INFINITY, "end": None, "interval_seconds": None, "exceptions": ()},
    "do not exist": {"months": (), "start": -INFINITY, "end": None, "interval_seconds": None, "exceptions": ()},
    "no start": {"start": -INFINITY, "end": None, "interval_seconds": None, "exceptions": ()},
    "start is infinity": {"start": -INFINITY, "end": None, "interval_seconds": None, "exceptions": ()},
    "excepted": {"exceptions": ()},
    "allowed minute": {"interval_seconds": None, "end": None, "exceptions": ()},
    "ended on": {"end": None, "exceptions": ()},
    "ends on": {"end": None, "exceptions": ()},
    "before it starts": {"end": None, "exceptions": ()},
    "its end": {"end": None, "exceptions": ()},
}


@given(definitions, instants)
@example(schedule(exceptions=[("2026-11-22", None)], end="2026-11-22 23:00"), float(NOW))
def test_a_reason_is_given_exactly_if_there_is_no_run_and_is_true(of: Definition, after: float) -> None:
    reason = why_never(of, after=after)
    if of.zone_name == "No/Where":
        assert reason == 'time zone "No/Where" is unknown'
        return
    assert (reason is None) == (next_run(of, after) is not None)
    if reason is None:
        return
    assert_is_one_line(reason)
    remedies = [remedy for words, remedy in REMEDIES.items() if words in reason]
    if "year 10000" in reason:
        assert next_run(replace(of, exceptions=(), end=None), after) is None
    else:
        after = -INFINITY if "exist" in reason or "start" in reason else after
        assert next_run(replace(of, **remedies[0]), after) is not None
    assert ("ended on" not in reason) or (of.end is not None and of.end <= after)


def allowed(field: tuple[int, ...], size: int) -> frozenset[int]:
    """What a field allows; the last day adds nothing to all days."""
    chosen_days = set(field) - {LAST} if size == 31 else set(field)
    return frozenset(field) if field and len(chosen_days) < size else frozenset()


def arrays_of(each: tuple[tuple[int, ...], ...]) -> dict[str, Any]:
    names = ("minutes", "hours", "weekdays", "monthdays", "months")
    places = zip(names, each, (60, 24, 7, 32, 12), (0, 0, 0, 1, 1), strict=True)
    return {name: flags(field, size, first) for name, field, size, first in places}


fields = st.tuples(chosen(60), chosen(24), chosen(7), chosen(32, first=1), chosen(12, first=1))


@given(fields, st.integers(0, 4), st.data(), st.none() | st.just(10))
def test_different_fields_read_differently(
    one: tuple[tuple[int, ...], ...], place: int, data: st.DataObject, interval: int | None
) -> None:
    changed = data.draw(chosen((60, 24, 7, 32, 12)[place], (0, 0, 0, 1, 1)[place]))
    other = (*one[:place], changed, *one[place + 1 :])
    texts = [describe(replace(schedule(interval=interval), **arrays_of(each))) for each in (one, other)]
    sizes = (60, 24, 7, 31, 12)
    meanings = [[allowed(field, size) for field, size in zip(each, sizes, strict=True)] for each in (one, other)]
    assert (texts[0] == texts[1]) == (meanings[0] == meanings[1])


@given(st.tuples(chosen(60), chosen(24)), st.tuples(chosen(60), chosen(24)))
def test_different_times_read_differently(
    one: tuple[tuple[int, ...], tuple[int, ...]], other: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    texts = [describe(schedule(minutes=minutes, hours=hours)) for minutes, hours in (one, other)]
    meanings = [(allowed(minutes, 60), allowed(hours, 24)) for minutes, hours in (one, other)]
    assert (texts[0] == texts[1]) == (meanings[0] == meanings[1])
