from __future__ import annotations

import json
import time as process_time
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from itertools import chain
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgagent_py import recurrence
from pgagent_py.recurrence import ExceptionRow, Schedule
from unit import brute_force

CASES = Path(__file__).parents[1] / "data" / "schedule_cases.jsonl"
UTC = timezone.utc
EVERY_MONTHDAY = range(1, 32)
LAST = 32
MONDAY, TUESDAY, FRIDAY, SATURDAY = 1, 2, 5, 6


def flags(chosen: Iterable[int], size: int, first: int = 0) -> list[bool | None]:
    wanted = set(chosen)
    return [number in wanted for number in range(first, first + size)]


def schedule(
    *,
    minutes: Iterable[int] = (),
    hours: Iterable[int] = (),
    weekdays: Iterable[int] = (),
    monthdays: Iterable[int] = (),
    months: Iterable[int] = (),
    exceptions: Iterable[ExceptionRow] = (),
) -> Schedule:
    return recurrence.parse(
        flags(minutes, 60),
        flags(hours, 24),
        flags(weekdays, 7),
        flags(monthdays, 32, first=1),
        flags(months, 12, first=1),
        exceptions,
    )


def instant(text: str) -> float:
    """Read an instant as PostgreSQL or ISO writes it; without an offset it is UTC."""
    if text.endswith("infinity"):
        return float(text)
    year, rest = text[: text.index("-")], text[text.index("-") :]
    cycles = max(0, (int(year) - 9600) // 400) if len(year) > 4 else 0
    if rest[-3] in "+-":
        rest += ":00"
    moment = datetime.fromisoformat(f"{int(year) - 400 * cycles:04}{rest}")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.timestamp() + cycles * 146_097 * 86_400


def wall(run: int | None, zone: tzinfo) -> str | None:
    if run is None:
        return None
    return datetime.fromtimestamp(run, zone).isoformat(sep=" ", timespec="minutes")


def next_run(
    of: Schedule, after: str, *, tz: str = "UTC", start: str | None = "-infinity", end: str | None = None
) -> str | None:
    zone = recurrence.zone(tz)
    run = recurrence.next_run(
        of,
        zone,
        after=instant(after),
        start=None if start is None else instant(start),
        end=None if end is None else instant(end),
    )
    return wall(run, zone)


def upcoming(of: Schedule, after: str, *, tz: str, count: int) -> list[str | None]:
    zone = recurrence.zone(tz)
    runs: list[int] = []
    while len(runs) < count:
        begin = runs[-1] if runs else instant(after)
        run = recurrence.next_run(of, zone, after=begin, start=float("-inf"), end=None)
        assert run is not None
        assert run > begin
        runs.append(run)
    return [wall(run, zone) for run in runs]


class CountingZone(tzinfo):
    """A zone that counts how often it is asked: the measure of the work done."""

    def __init__(self, tz: str) -> None:
        self.zone = ZoneInfo(tz)
        self.questions = 0

    def fromutc(self, moment: datetime) -> datetime:
        self.questions += 1
        return self.zone.fromutc(moment.replace(tzinfo=self.zone)).replace(tzinfo=self)

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return self.zone.utcoffset(moment and moment.replace(tzinfo=self.zone))

    def dst(self, moment: datetime | None) -> timedelta | None:
        return self.zone.dst(moment and moment.replace(tzinfo=self.zone))

    def tzname(self, moment: datetime | None) -> str | None:
        return self.zone.key if moment else None


# ---- The collected cases -----------------------------------------------------------------------------------


def read_cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]


def read_array(literal: str) -> list[bool | None]:
    elements = literal[1:-1].split(",") if literal != "{}" else []
    return [{"t": True, "f": False, "NULL": None}[element] for element in elements]


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case["name"])
def test_case(case: dict[str, Any]) -> None:
    of = recurrence.parse(
        read_array(case["minutes"]),
        read_array(case["hours"]),
        read_array(case["weekdays"]),
        read_array(case["monthdays"]),
        read_array(case["months"]),
        case["exceptions"],
    )
    start, end, expected = (case[name] and instant(case[name]) for name in ("start", "end", "expected"))
    run = recurrence.next_run(of, recurrence.zone(case["tz"]), after=instant(case["after"]), start=start, end=end)
    assert run == expected


def test_all_cases_are_there() -> None:
    assert len(read_cases()) == 1172


# ---- pgAgent's wrong answers: the test vectors -------------------------------------------------------------


def test_vector_minutes_before_the_current_one_in_a_later_hour() -> None:
    of = schedule(hours={10}, minutes={15, 50})
    assert next_run(of, "2026-06-10 09:45") == "2026-06-10 10:15+00:00"


def test_vector_minutes_before_the_current_one_on_the_next_day() -> None:
    of = schedule(hours={2}, minutes={5, 35})
    assert next_run(of, "2026-06-10 14:30") == "2026-06-11 02:05+00:00"


def test_vector_first_minute_on_a_later_weekday() -> None:
    of = schedule(weekdays={MONDAY}, hours={10}, minutes={0, 30})
    assert next_run(of, "2026-06-09 10:20") == "2026-06-15 10:00+00:00"


def test_vector_last_day_beside_another_day() -> None:
    of = schedule(monthdays={15, LAST}, hours={0}, minutes={0})
    assert next_run(of, "2026-06-15 12:00") == "2026-06-30 00:00+00:00"


def test_vector_day_31_skips_the_month_without_it() -> None:
    of = schedule(monthdays={31}, hours={0}, minutes={0})
    assert next_run(of, "2026-06-10 12:00") == "2026-07-31 00:00+00:00"


def test_vector_day_31_in_a_month_that_never_has_it() -> None:
    assert next_run(schedule(monthdays={31}, months={6}), "2026-06-10 12:00") is None


def test_vector_daily_run_in_the_spring_gap() -> None:
    of = schedule(hours={2}, minutes={30})
    assert next_run(of, "2031-03-29 12:00", tz="Europe/Berlin") == "2031-03-30 03:30+02:00"


def test_vector_every_minute_through_the_autumn_hour() -> None:
    assert next_run(schedule(), "2031-10-26 00:00", tz="Europe/Berlin") == "2031-10-26 02:01+02:00"
    assert next_run(schedule(), "2031-10-26 00:59", tz="Europe/Berlin") == "2031-10-26 02:00+01:00"


def test_vector_daily_time_excepted_on_any_date() -> None:
    of = schedule(hours={12}, minutes={0}, exceptions=[(None, "12:00:00")])
    assert next_run(of, "2026-06-10 00:00") is None


def test_vector_same_exception_on_two_schedules() -> None:
    holiday: list[ExceptionRow] = [("2026-06-11", "12:00:00")]
    noon = schedule(hours={12}, minutes={0}, exceptions=holiday)
    noon_and_one = schedule(hours={12, 13}, minutes={0}, exceptions=holiday)
    assert next_run(noon, "2026-06-10 13:00") == "2026-06-12 12:00+00:00"
    assert next_run(noon_and_one, "2026-06-10 13:00") == "2026-06-11 13:00+00:00"


def test_vector_empty_arrays_first_run_at_the_start_itself() -> None:
    assert next_run(schedule(), "2026-06-10 09:00", start="2026-06-10 10:17") == "2026-06-10 10:17+00:00"


# ---- pgAgent's faults W1 to W10 ----------------------------------------------------------------------------


def test_w1_all_wildcards_run_every_minute() -> None:
    assert upcoming(schedule(), "2026-06-10 10:00", tz="UTC", count=3) == [
        "2026-06-10 10:01+00:00",
        "2026-06-10 10:02+00:00",
        "2026-06-10 10:03+00:00",
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hours": {9}}, "2026-06-11 09:00+00:00"),
        ({"hours": {9}, "weekdays": {SATURDAY}}, "2026-06-13 09:00+00:00"),
        ({"hours": {9}, "months": {8}}, "2026-08-01 09:00+00:00"),
    ],
)
def test_w2_minutes_begin_anew_after_a_jump(fields: dict[str, Any], expected: str) -> None:
    assert next_run(schedule(minutes={0, 30}, **fields), "2026-06-10 10:15") == expected


def test_w3_last_day_adds_a_day_and_takes_none_away() -> None:
    of = schedule(monthdays={31, LAST}, hours={0}, minutes={0})
    runs = upcoming(of, "2026-01-01 12:00", tz="UTC", count=4)
    assert [run and run[:10] for run in runs] == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]


@pytest.mark.parametrize(("monthday", "expected"), [(29, "2026-03-29"), (30, "2026-03-30"), (31, "2026-03-31")])
def test_w4_days_that_february_lacks(monthday: int, expected: str) -> None:
    of = schedule(monthdays={monthday}, hours={0}, minutes={0})
    assert next_run(of, "2026-02-10 10:00") == f"{expected} 00:00+00:00"


def test_w5_all_runs_excepted_asks_the_zone_next_to_nothing() -> None:
    every_time: list[ExceptionRow] = [(None, time(minute // 60, minute % 60)) for minute in range(1440)]
    zone = CountingZone("Europe/Berlin")
    of = schedule(exceptions=every_time)
    assert recurrence.next_run(of, zone, after=0, start=0, end=None) is None
    assert zone.questions == 0


@pytest.mark.parametrize("field", [[], [None] * 60, [None, False], [[True, True]]])
def test_w6_null_and_missing_elements_are_false(field: list[Any]) -> None:
    assert recurrence.parse(field, field, field, field, field) == schedule()


def test_w6_null_beside_true() -> None:
    of = recurrence.parse([None, True], [None] * 9 + [True], [], [None], [None])
    assert next_run(of, "2026-06-10 10:00") == "2026-06-11 09:01+00:00"


def test_w8_an_exception_that_is_there_twice_counts_once() -> None:
    rows: list[ExceptionRow] = [("2026-06-11", None), ("2026-06-11", None), ("2026-06-12", "12:00:00")] * 2
    of = schedule(hours={12, 13}, minutes={0}, exceptions=rows)
    assert next_run(of, "2026-06-10 13:00") == "2026-06-12 13:00+00:00"


def test_w9_excepted_days_are_left_in_one_step() -> None:
    chain_of_days: list[ExceptionRow] = [(date(2026, 1, 1) + timedelta(number), None) for number in range(5000)]
    zone = CountingZone("Europe/Berlin")
    of = schedule(exceptions=chain_of_days)
    run = recurrence.next_run(of, zone, after=instant("2026-01-01 12:00"), start=0, end=None)
    assert wall(run, zone.zone) == "2039-09-10 00:00+02:00"
    assert zone.questions <= 12


def test_w9_days_excepted_time_by_time_are_left_in_one_step() -> None:
    rows: list[ExceptionRow] = [
        (date(2026, 1, 1) + timedelta(number), at) for number in range(5000) for at in ("09:00:00", "10:00:00")
    ]
    zone = CountingZone("Europe/Berlin")
    of = schedule(hours={9, 10, 11}, minutes={0}, exceptions=[*rows, (None, "11:00:00")])
    run = recurrence.next_run(of, zone, after=instant("2026-01-01 12:00"), start=0, end=None)
    assert wall(run, zone.zone) == "2039-09-10 09:00+02:00"
    assert zone.questions <= 12


@pytest.mark.parametrize("start", ["infinity", None, "10000-01-01 00:00:00+00"])
def test_w10_no_start_no_run(start: str | None) -> None:
    assert next_run(schedule(), "2026-06-10 10:00", start=start) is None


# ---- pgAgent's faults D1 to D6: clock changes --------------------------------------------------------------


def test_d_a_continuous_job_does_not_pause_when_the_clock_goes_back() -> None:
    runs = upcoming(schedule(), "2024-11-03 04:59", tz="America/New_York", count=121)
    assert runs[0] == "2024-11-03 01:00-04:00"
    assert runs[59:61] == ["2024-11-03 01:59-04:00", "2024-11-03 01:00-05:00"]
    assert runs[120] == "2024-11-03 02:00-05:00"


def test_d_hourly_jobs_run_in_both_hours() -> None:
    assert upcoming(schedule(minutes={30}), "2024-11-03 04:59", tz="America/New_York", count=3) == [
        "2024-11-03 01:30-04:00",
        "2024-11-03 01:30-05:00",
        "2024-11-03 02:30-05:00",
    ]


def test_d_every_minute_of_some_hours_runs_in_both_hours() -> None:
    runs = upcoming(schedule(hours={1}), "2024-11-03 04:59", tz="America/New_York", count=121)
    assert runs[119:] == ["2024-11-03 01:59-05:00", "2024-11-04 01:00-05:00"]


def test_d_a_field_with_all_flags_is_a_wildcard() -> None:
    assert schedule(hours=range(24), minutes={30}) == schedule(minutes={30})
    assert schedule(minutes=range(60), hours={1}) == schedule(hours={1})
    assert schedule(weekdays=range(7), monthdays=range(1, 33), months=range(1, 13)) == schedule()


def test_d_a_fixed_time_runs_at_the_first_showing_only() -> None:
    of = schedule(hours={1}, minutes={30})
    assert upcoming(of, "2024-11-03 04:59", tz="America/New_York", count=2) == [
        "2024-11-03 01:30-04:00",
        "2024-11-04 01:30-05:00",
    ]


def test_d_a_skipped_time_runs_as_much_later_as_the_clock_has_jumped() -> None:
    of = schedule(hours={2}, minutes={30})
    assert upcoming(of, "2024-03-09 12:00", tz="America/New_York", count=2) == [
        "2024-03-10 03:30-04:00",
        "2024-03-11 02:30-04:00",
    ]


def test_d_minutes_after_the_gap_are_not_lost() -> None:
    of = schedule(minutes={5, 35})
    assert upcoming(of, "2024-03-10 06:40", tz="America/New_York", count=3) == [
        "2024-03-10 03:05-04:00",
        "2024-03-10 03:35-04:00",
        "2024-03-10 04:05-04:00",
    ]


def test_d_the_zone_of_the_process_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    of = schedule(hours={2}, minutes={30})
    answers = set()
    with monkeypatch.context() as patch:
        for name in ("UTC", "America/New_York", "Pacific/Apia"):
            patch.setenv("TZ", name)
            process_time.tzset()
            answers.add(next_run(of, "2031-03-29 12:00", tz="Europe/Berlin"))
    process_time.tzset()
    assert answers == {"2031-03-30 03:30+02:00"}


# ---- 2. Matching days and times ----------------------------------------------------------------------------


def test_weekday_and_monthday_must_both_match() -> None:
    of = schedule(weekdays={FRIDAY}, monthdays={13}, hours={0}, minutes={0})
    assert next_run(of, "2026-03-14 00:00") == "2026-11-13 00:00+00:00"


def test_leap_years_are_gregorian() -> None:
    of = schedule(monthdays={29}, months={2}, hours={0}, minutes={0})
    assert next_run(of, "2096-03-01 00:00") == "2104-02-29 00:00+00:00"
    assert next_run(of, "2396-03-01 00:00") == "2400-02-29 00:00+00:00"


def test_all_months_days_are_a_wildcard_also_without_the_last_day_flag() -> None:
    of = schedule(monthdays=EVERY_MONTHDAY, hours={0}, minutes={0})
    assert next_run(of, "2026-02-28 12:00") == "2026-03-01 00:00+00:00"


def test_elements_beyond_the_size_of_a_field_do_not_count() -> None:
    assert recurrence.parse([False] * 60 + [True], [], [False] * 7 + [True], [], []) == schedule()


def test_only_29_februaries_are_visited() -> None:
    of = schedule(monthdays={29}, months={2}, weekdays={MONDAY})
    first, last = (date(year, 1, 1).toordinal() - date(1970, 1, 1).toordinal() for year in (2000, 2400))
    days = list(recurrence._matching_days(of, first, last))
    assert len(days) == 15
    assert {(date(1970, 1, 1) + timedelta(day)).strftime("%m-%d %a") for day in days} == {"02-29 Mon"}


def test_a_schedule_is_a_value() -> None:
    rows: list[ExceptionRow] = [("2026-06-11", None), (None, "03:00:00"), ("2026-06-12", "04:00:00")]
    of = schedule(minutes={0}, exceptions=rows)
    assert of == schedule(minutes={0}, exceptions=reversed(rows))
    assert hash(of) == hash(schedule(minutes={0}, exceptions=rows))
    assert of != schedule(minutes={0})


def test_fields_are_parsed_once() -> None:
    assert schedule(minutes={17}) is schedule(minutes={17})


# ---- 3. Exceptions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        (None, None),
        (None, "03:00:30"),
        (None, "03:00:00.5"),
        (None, "24:00:00"),
        (None, time(3, 0, 30)),
        ("2026-06-11", "03:00:30"),
        ("2026-06-11", "24:00:00"),
        ("infinity", None),
        ("-infinity", None),
        ("infinity", "03:00:00"),
        ("infinity", "24:00:00"),
        ("10000-01-01", None),
        ("10000-01-01", "03:00:00"),
        ("0044-03-15 BC", None),
        ("0044-03-15 BC", "03:00:00"),
    ],
)
def test_what_no_scheduled_time_can_meet_takes_nothing_away(row: ExceptionRow) -> None:
    of = schedule(hours={0, 3}, minutes={0}, exceptions=[row])
    assert upcoming(of, "2026-06-10 12:00", tz="UTC", count=3) == [
        "2026-06-11 00:00+00:00",
        "2026-06-11 03:00+00:00",
        "2026-06-12 00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("2026-06-11", "03:00:00"), ["11 04", "12 03", "12 04"]),
        (("2026-06-11", None), ["12 03", "12 04", "13 03"]),
        ((None, "03:00:00"), ["11 04", "12 04", "13 04"]),
        ((date(2026, 6, 11), time(3)), ["11 04", "12 03", "12 04"]),
    ],
)
def test_kinds_of_exceptions(row: ExceptionRow, expected: list[str]) -> None:
    of = schedule(hours={3, 4}, minutes={0}, exceptions=[row])
    runs = upcoming(of, "2026-06-10 12:00", tz="UTC", count=3)
    assert [run and run[8:13] for run in runs] == expected


def test_exceptions_for_unscheduled_times_use_no_day_up() -> None:
    of = schedule(hours={3}, minutes={0}, exceptions=[("2026-06-11", "05:00:00")])
    assert next_run(of, "2026-06-10 12:00") == "2026-06-11 03:00+00:00"


def test_exceptions_are_read_in_the_zone() -> None:
    of = schedule(hours={1}, minutes={0}, exceptions=[("2026-06-11", "01:00:00")])
    assert next_run(of, "2026-06-10 00:00", tz="Asia/Tokyo") == "2026-06-12 01:00+09:00"


# ---- 4. From scheduled times to instants -------------------------------------------------------------------


def test_an_exception_takes_both_showings_away() -> None:
    of = schedule(minutes={30}, exceptions=[("2024-11-03", "01:30:00")])
    assert next_run(of, "2024-11-03 04:59", tz="America/New_York") == "2024-11-03 02:30-05:00"


@pytest.mark.parametrize("row", [("2024-03-10", "03:30:00"), (None, "03:30:00"), ("2024-03-10", "02:30:00")])
def test_a_moved_run_is_dropped_with_the_time_to_which_it_moves(row: ExceptionRow) -> None:
    of = schedule(hours={2}, minutes={30}, exceptions=[row])
    assert next_run(of, "2024-03-09 12:00", tz="America/New_York") == "2024-03-11 02:30-04:00"


def test_a_run_moved_across_midnight_is_judged_by_its_own_day() -> None:
    # 2024-03-30: 23:00 became 00:00 of the 31st.
    of = schedule(weekdays={SATURDAY}, hours={23}, minutes={30})
    assert next_run(of, "2024-03-30 12:00", tz="America/Nuuk") == "2024-03-31 00:30-01:00"


def test_a_run_moved_onto_an_excepted_day_is_dropped() -> None:
    of = schedule(weekdays={SATURDAY}, hours={23}, minutes={30}, exceptions=[("2024-03-31", None)])
    assert next_run(of, "2024-03-30 12:00", tz="America/Nuuk") == "2024-04-06 23:30-01:00"


def test_a_run_moved_onto_a_day_without_times_left_stays() -> None:
    rows: list[ExceptionRow] = [("2024-03-31", "22:30:00"), ("2024-03-31", "23:30:00")]
    of = schedule(hours={22, 23}, minutes={30}, exceptions=rows)
    assert next_run(of, "2024-03-31 00:45", tz="America/Nuuk") == "2024-03-31 00:30-01:00"


def test_a_moved_run_and_one_due_at_its_instant_are_one() -> None:
    of = schedule(hours={2, 3}, minutes={30})
    assert upcoming(of, "2024-03-10 06:00", tz="America/New_York", count=2) == [
        "2024-03-10 03:30-04:00",
        "2024-03-11 02:30-04:00",
    ]


def test_a_run_moved_to_no_whole_minute_meets_no_exception() -> None:
    # 1972-01-07: 00:00:00 became 00:44:30.
    of = schedule(hours={0}, minutes={10}, exceptions=[("1972-01-07", "00:54:00")])
    assert next_run(of, "1972-01-06 12:00", tz="Africa/Monrovia") == "1972-01-07 00:54+00:00"


def test_a_minute_shown_in_part_before_the_clock_goes_back_has_been_shown() -> None:
    # 1883-11-18: 12:03:58 became 12:00:00.
    of = schedule(hours={12}, minutes={3})
    assert upcoming(of, "1883-11-18 12:00", tz="America/New_York", count=2) == [
        "1883-11-18 12:03-04:56:02",
        "1883-11-19 12:03-05:00",
    ]


def test_lord_howe_moved_runs_come_between_real_ones() -> None:
    of = schedule(hours={2}, minutes={5, 32})
    assert upcoming(of, "2024-10-05 15:00", tz="Australia/Lord_Howe", count=3) == [
        "2024-10-06 02:32+11:00",
        "2024-10-06 02:35+11:00",
        "2024-10-07 02:05+11:00",
    ]


def test_st_johns_goes_back_to_the_day_before() -> None:
    # 2010-11-07: 00:01 becomes 23:01 of the 6th.
    of = schedule(minutes={0, 30}, hours=[])
    assert upcoming(of, "2010-11-07 02:00", tz="America/St_Johns", count=4) == [
        "2010-11-07 00:00-02:30",
        "2010-11-06 23:30-03:30",
        "2010-11-07 00:00-03:30",
        "2010-11-07 00:30-03:30",
    ]


def test_st_johns_second_showing_of_a_saturday() -> None:
    of = schedule(minutes={0, 30}, weekdays={SATURDAY})
    assert upcoming(of, "2010-11-07 01:30", tz="America/St_Johns", count=2) == [
        "2010-11-06 23:30-02:30",
        "2010-11-06 23:30-03:30",
    ]


def test_samoa_leaves_a_day_out() -> None:
    friday = schedule(hours={9}, minutes={0}, weekdays={FRIDAY})
    assert next_run(friday, "2011-12-29 12:00", tz="Pacific/Apia") == "2011-12-31 09:00+14:00"
    daily = schedule(hours={9}, minutes={0})
    assert upcoming(daily, "2011-12-29 12:00", tz="Pacific/Apia", count=3) == [
        "2011-12-29 09:00-10:00",
        "2011-12-31 09:00+14:00",
        "2012-01-01 09:00+14:00",
    ]


def test_samoa_earliest_instant_within_the_day_after() -> None:
    friday = schedule(hours={9}, minutes={0}, weekdays={FRIDAY})
    assert next_run(friday, "2011-12-30 18:00", tz="Pacific/Apia") == "2011-12-31 09:00+14:00"
    assert next_run(friday, "2011-12-30 19:00", tz="Pacific/Apia") == "2012-01-06 09:00+14:00"


def test_alaska_has_a_day_twice() -> None:
    # 1867-10-19 15:33:32 became the 18th, 15:33:32.
    zone = "America/Juneau"
    hourly = schedule(minutes={0})
    runs = upcoming(hourly, "1867-10-18 00:00", tz=zone, count=48)
    assert runs[23:25] == ["1867-10-19 15:00+15:02:19", "1867-10-18 16:00-08:57:41"]
    noons = [run for run in runs if run and run[11:16] == "12:00"]
    assert noons == ["1867-10-19 12:00+15:02:19", "1867-10-19 12:00-08:57:41"]
    daily = schedule(hours={12}, minutes={0})
    assert upcoming(daily, "1867-10-17 00:00", tz=zone, count=3) == [
        "1867-10-18 12:00+15:02:19",
        "1867-10-19 12:00+15:02:19",
        "1867-10-20 12:00-08:57:41",
    ]


def test_manila_leaves_a_year_end_out() -> None:
    of = schedule(monthdays={31}, hours={9}, minutes={0})
    assert next_run(of, "1844-12-25 00:00", tz="Asia/Manila") == "1845-01-01 09:00+08:03:52"


# ---- 5. Start, end, now ------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["00", "30", "59"])
def test_the_answer_is_later_than_the_minute_of_now(second: str) -> None:
    assert next_run(schedule(), f"2026-06-10 10:30:{second}") == "2026-06-10 10:31+00:00"


def test_the_start_is_cut_to_its_minute() -> None:
    assert next_run(schedule(), "2026-06-10 09:00", start="2026-06-10 10:30:45") == "2026-06-10 10:30+00:00"


def test_minutes_are_cut_on_the_clock_of_the_zone() -> None:
    # Juneau's clock was 15:02:19 ahead of UTC: 00:00:00 UTC is 15:02:19.
    run = next_run(schedule(), "1800-01-01 00:00:00", tz="America/Juneau")
    assert run == "1800-01-01 15:03+15:02:19"
    start = next_run(schedule(), "1799-12-31 00:00", start="1800-01-01 00:00:40.500", tz="America/Juneau")
    assert start == "1800-01-01 15:02+15:02:19"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("2026-06-10 10:29:59", None),
        ("2026-06-10 10:30:00", "2026-06-10 10:30+00:00"),
        ("2026-06-10 10:30:30.500", "2026-06-10 10:30+00:00"),
        ("infinity", "2026-06-10 10:30+00:00"),
        (None, "2026-06-10 10:30+00:00"),
        ("-infinity", None),
        ("2026-06-09 00:00", None),
    ],
)
def test_the_end_is_not_cut(end: str | None, expected: str | None) -> None:
    assert next_run(schedule(minutes={30}), "2026-06-10 10:00", end=end) == expected


def test_bounds_are_instants() -> None:
    of = schedule(minutes={30})
    start = "2024-11-03 01:30:00-05:00"
    assert next_run(of, "2024-11-03 04:00", tz="America/New_York", start=start) == "2024-11-03 01:30-05:00"
    end = "2024-11-03 01:30:00-04:00"
    assert next_run(of, "2024-11-03 05:30", tz="America/New_York", end=end) is None


def test_no_bounds_at_all() -> None:
    assert next_run(schedule(), "-infinity", start="-infinity", end="infinity") == "0001-01-01 00:00+00:00"
    assert next_run(schedule(), "infinity") is None


def test_a_near_end_spares_the_search() -> None:
    zone = CountingZone("Europe/Berlin")
    of = schedule(monthdays={29}, months={2}, weekdays={TUESDAY})
    after, end = instant("2026-06-10 10:00"), instant("2026-06-11 10:00")
    assert recurrence.next_run(of, zone, after=after, start=0, end=end) is None
    assert zone.questions <= 8


# ---- 6. Impossible schedules and limits --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ({"monthdays": {30, 31}, "months": {2}}, []),
        ({"monthdays": {31}, "months": {2, 4, 6, 9, 11}}, []),
        ({"hours": {12}, "minutes": {0}}, [(None, "12:00:00")]),
    ],
)
def test_the_impossible_is_found_out_beforehand(fields: dict[str, Any], rows: list[ExceptionRow]) -> None:
    zone = CountingZone("Europe/Berlin")
    of = schedule(exceptions=rows, **fields)
    assert recurrence.next_run(of, zone, after=0, start=0, end=None) is None
    assert zone.questions == 0


def test_a_day_beyond_400_years_is_not_looked_at() -> None:
    leap_days = [(date(year, 2, 29), None) for year in range(2000, 2400, 4) if year % 100 or not year % 400]
    of = schedule(monthdays={29}, months={2}, exceptions=leap_days)
    assert next_run(of, "2000-01-01 00:00") is None
    assert next_run(of, "2001-01-01 00:00") == "2400-02-29 00:00+00:00"


@pytest.mark.parametrize("end", [None, float("inf")])
@pytest.mark.parametrize(
    ("tz", "last"),
    [
        ("UTC", "9999-12-31 23:00+00:00"),
        ("Pacific/Kiritimati", "9999-12-31 09:00+00:00"),
        ("America/New_York", "9999-12-31 23:00+00:00"),
        ("Europe/Berlin", "9999-12-31 22:00+00:00"),
    ],
)
def test_years_end_with_9999(tz: str, last: str, end: float | None) -> None:
    def following(after: float) -> int | None:
        return recurrence.next_run(of, recurrence.zone(tz), after=after, start=0, end=end)

    of = schedule(minutes={0})
    assert following(instant(last) - 60) == instant(last)
    assert following(instant(last)) is None


@pytest.mark.parametrize("tz", ["UTC", "Pacific/Kiritimati", "America/New_York", "Asia/Manila"])
def test_years_begin_with_1(tz: str) -> None:
    run = recurrence.next_run(
        schedule(hours={12}, minutes={0}),
        recurrence.zone(tz),
        after=float("-inf"),
        start=float("-inf"),
        end=None,
    )
    assert run is not None
    assert instant("0001-01-01 00:00") <= run < instant("0001-01-03 00:00")


# ---- 7. The zone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "America", "../etc/passwd", "/etc/localtime", "a\0b", "x" * 5000, "\udc80", "."],
)
def test_unknown_zones(name: str) -> None:
    with pytest.raises(recurrence.UnknownZone):
        recurrence.zone(name)


def test_a_zone_is_loaded_once() -> None:
    assert recurrence.zone("Europe/Berlin") is recurrence.zone("Europe/Berlin")


# ---- Against the slow way ----------------------------------------------------------------------------------

ZONES_AND_CHANGES = [
    ("America/New_York", "2024-03-10 07:00"),
    ("America/New_York", "2024-11-03 06:00"),
    ("America/St_Johns", "2010-11-07 02:31"),
    ("America/St_Johns", "2011-03-13 03:31"),
    ("Australia/Lord_Howe", "2024-04-06 15:00"),
    ("Australia/Lord_Howe", "2024-10-05 15:30"),
    ("America/Caracas", "2016-05-01 07:00"),
    ("America/Nuuk", "2024-03-31 01:00"),
    ("Antarctica/Troll", "2103-03-25 01:00"),
    ("Pacific/Apia", "2011-12-30 10:00"),
    ("Pacific/Kwajalein", "1969-09-30 13:00"),
    ("America/Juneau", "1867-10-19 00:31"),
    ("Asia/Manila", "1844-12-31 15:56"),
    ("Asia/Kathmandu", "2026-06-10 10:00"),
    ("Europe/Amsterdam", "1937-06-30 23:40"),
    ("Asia/Kolkata", "1942-08-31 18:30"),
    ("Africa/Casablanca", "2026-02-15 02:00"),
    ("Africa/Casablanca", "2026-03-22 02:00"),
]


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[brute_force.Fields, ZoneInfo, dict[str, datetime]]:
    """A schedule and bounds that are likely to meet a change of the zone's clock."""
    tz, change = draw(st.sampled_from(ZONES_AND_CHANGES))
    zone = recurrence.zone(tz)
    moment = datetime.fromtimestamp(instant(change), UTC)

    def shifted(most_minutes: int) -> datetime:
        return moment + timedelta(seconds=draw(st.integers(-60 * most_minutes, 60 * most_minutes)))

    walls = [shifted(1800).astimezone(zone) for _ in range(4)]
    rows = {
        (on, at)
        for when in walls[: draw(st.integers(0, 4))]
        for on, at in [(draw(st.sampled_from([None, when.date()])), draw(st.sampled_from([None, minute_of(when)])))]
    }
    fields = brute_force.Fields(
        minutes=draw(st.sampled_from([frozenset(), frozenset({0, 30}), frozenset(when.minute for when in walls)])),
        hours=draw(st.sampled_from([frozenset(), frozenset(when.hour for when in walls)])),
        weekdays=draw(st.sampled_from([frozenset(), frozenset({walls[0].isoweekday() % 7})])),
        monthdays=draw(st.sampled_from([frozenset(), frozenset({walls[1].day, LAST})])),
        exceptions=frozenset(rows),
    )
    after = shifted(1500)
    return fields, zone, {"after": after, "start": shifted(1500), "end": after + timedelta(days=3)}


def minute_of(moment: datetime) -> time:
    return time(moment.hour, moment.minute)


@settings(max_examples=150, deadline=None, database=None)
@given(near_changes())
def test_agrees_with_the_slow_way(
    example: tuple[brute_force.Fields, ZoneInfo, dict[str, datetime]],
) -> None:
    fields, zone, bounds = example
    of = schedule(
        minutes=fields.minutes,
        hours=fields.hours,
        weekdays=fields.weekdays,
        monthdays=fields.monthdays,
        exceptions=fields.exceptions,
    )
    seconds = {name: moment.timestamp() for name, moment in bounds.items()}
    slow = brute_force.next_run(fields, zone, **bounds, days=4)
    expected = None if slow is None else int(slow.timestamp())
    assert recurrence.next_run(of, zone, after=seconds["after"], start=seconds["start"], end=seconds["end"]) == expected


@settings(max_examples=150, deadline=None, database=None)
@given(near_changes(), st.integers(0, 200_000))
def test_a_later_now_has_no_earlier_answer(
    example: tuple[brute_force.Fields, ZoneInfo, dict[str, datetime]], later_seconds: int
) -> None:
    fields, zone, bounds = example
    of = schedule(minutes=fields.minutes, hours=fields.hours, exceptions=fields.exceptions)
    after, start = bounds["after"].timestamp(), bounds["start"].timestamp()
    run = recurrence.next_run(of, zone, after=after, start=start, end=None)
    later = recurrence.next_run(of, zone, after=after + later_seconds, start=start, end=None)
    assert later is None or (run is not None and after < run <= later and later > after + later_seconds)


@settings(max_examples=150, deadline=None, database=None)
@given(near_changes(), st.sampled_from([1, 7, 25, 60, 90, 600, 3600, 5400]))
def test_points_of_an_interval_agree_with_the_slow_way(
    example: tuple[brute_force.Fields, ZoneInfo, dict[str, datetime]], interval_seconds: int
) -> None:
    """A point counts if its minute, cut on the zone's clock, is a run of the schedule without an interval."""
    fields, zone, bounds = example
    of = recurrence.parse(
        flags(fields.minutes, 60),
        flags(fields.hours, 24),
        flags(fields.weekdays, 7),
        flags(fields.monthdays, 32, first=1),
        [],
        list(fields.exceptions),
        interval_seconds,
    )
    start, after = (bounds[name].replace(microsecond=0) for name in ("start", "after"))
    days = {after.astimezone(zone).date() + timedelta(days=number) for number in range(-2, 4)}
    minutes = {run for day in days if fields.selects_day(day) for run in brute_force.runs_on(fields, zone, day)}
    first = (
        start
        if start > after
        else start + ((after - start) // timedelta(seconds=interval_seconds) + 1) * timedelta(seconds=interval_seconds)
    )
    points = (first + number * timedelta(seconds=interval_seconds) for number in range(86_400 // interval_seconds))
    expected = next((point for point in points if brute_force.cut_to_minute(point, zone) in minutes), None)
    found = recurrence.next_run(of, zone, after=after.timestamp(), start=start.timestamp(), end=None)
    if expected is not None:
        assert found == int(expected.timestamp())
    elif found is not None:
        assert found >= first.timestamp() + 86_400 - interval_seconds


@given(
    st.builds(
        brute_force.Fields,
        minutes=st.frozensets(st.integers(0, 59), max_size=3),
        hours=st.frozensets(st.integers(0, 23), max_size=3),
        weekdays=st.frozensets(st.integers(0, 6), max_size=2),
        monthdays=st.frozensets(st.integers(1, 32), max_size=2),
        months=st.frozensets(st.integers(1, 12), max_size=3),
    )
)
@settings(max_examples=150, deadline=None, database=None)
def test_no_day_is_forgotten(fields: brute_force.Fields) -> None:
    of = schedule(weekdays=fields.weekdays, monthdays=fields.monthdays, months=fields.months)
    first, epoch = date(2023, 12, 31), date(1970, 1, 1)
    begin = (first - epoch).days
    fast = [epoch + timedelta(day) for day in recurrence._matching_days(of, begin, begin + 800)]
    assert fast == [day for day in (first + timedelta(number) for number in range(801)) if fields.selects_day(day)]


def test_the_runs_of_a_day_are_those_of_the_slow_way_in_order() -> None:
    zone = recurrence.zone("Australia/Lord_Howe")
    fields = brute_force.Fields(minutes=frozenset({5, 32}))
    days = [date(2024, 10, 5), date(2024, 10, 6), date(2024, 10, 7)]
    slow = sorted(set(chain.from_iterable(brute_force.runs_on(fields, zone, day) for day in days)))
    before = slow[0] - timedelta(minutes=1)
    runs = upcoming(schedule(minutes={5, 32}), before.isoformat(), tz="Australia/Lord_Howe", count=len(slow))
    assert runs == [wall(int(run.timestamp()), zone) for run in slow]


def test_excepted_points_are_passed_over_however_many() -> None:
    rows: list[ExceptionRow] = [(date(2024, 1, 1) + timedelta(days=number), time(12)) for number in range(3000)]
    start = instant("2024-01-01 12:00")
    of = recurrence.parse([], [], [], [], [], rows, 86_400)
    run = recurrence.next_run(of, recurrence.zone("UTC"), after=start - 1, start=start, end=None)
    assert run == start + 3000 * 86_400


def test_a_day_left_out_whose_first_run_is_excepted_does_not_hide_the_next_days() -> None:
    of = schedule(minutes={0, 1}, hours={6}, exceptions=[("2011-12-30", "06:00:00")])
    assert next_run(of, "2011-12-29 17:00", tz="Pacific/Apia") == "2011-12-31 06:00+14:00"
