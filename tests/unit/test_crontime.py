"""Cron's times as texts for pgagent.cron: which go through, which become two, which are refused and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgagent_cli.crontime import NoCounterpart, read_times
from pgagent_py import cron


@pytest.mark.parametrize(
    "time",
    ["* * * * *", "*/15 0-6 1,15 jan-mar,DEC *", "30 2 * * 1-5", "0 0 L * *", "5 4 * * sun", "0 0 */2 * 1", "@daily"],
)
def test_time_goes_through(time: str) -> None:
    assert read_times(time) == [time]


def test_blanks_and_case_of_macros_do_not_matter() -> None:
    assert read_times("  30\t2 *  * 1 ") == ["30 2 * * 1"]
    assert read_times("@Hourly") == ["@hourly"]


def test_both_kinds_of_days_become_two_schedules() -> None:
    assert read_times("0 5 1,15 * mon") == ["0 5 1,15 * *", "0 5 * * mon"]


@pytest.mark.parametrize("time", ["0 0 1-31 * 1", "0 0 1 * 0-6", "0 0 13 * 1-7"])
def test_days_of_which_one_kind_allows_all_stay_one(time: str) -> None:
    assert read_times(time) == [time]
    assert not any(cron.parse(time).weekdays)


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("@reboot", "names no time"),
        ("@every 5m", "not a time that every cron reads"),
        ("0 0 * *", "not the five fields"),
        ("0~59 * * * *", "a random minute"),
        ("5/15 * * * *", "reads .* alike"),
        ("0 22-2 * * *", "descending"),
        ("60 * * * *", "no minute"),
        ("0 24 * * *", "no hour"),
        ("0 0 0 * *", "no day of the month"),
        ("0 0 * 13 *", "no month"),
        ("0 0 * * 8", "no weekday"),
        ("0 0 * * monday", "no weekday"),
        ("*/60 * * * *", "not between 1 and 59"),
        ("*/0 * * * *", "not between"),
        ("0 0 15W * *", "no day of the month"),
        ("1,, * * * *", "that every cron reads"),
        ("٣ * * * *", "no minute"),
        ("9" * 5000 + " * * * *", "no minute"),
    ],
)
def test_time_without_a_counterpart_is_refused(time: str, reason: str) -> None:
    with pytest.raises(NoCounterpart, match=reason):
        read_times(time)


_NUMBERS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@st.composite
def fields(draw: st.DrawFn, first: int, last: int) -> str:
    """A field of a crontab line, right or wrong."""

    def item() -> str:
        low, high = draw(st.integers(0, last + 2)), draw(st.integers(0, last + 2))
        text = draw(st.sampled_from(["*", f"{low}", f"{low}-{high}", "L", "mon", "jan-jun"]))
        return text + draw(st.sampled_from(["", "", f"/{draw(st.integers(0, last + 2))}"]))

    return ",".join(item() for _ in range(draw(st.integers(1, 3)))) if first >= 0 else ""


@given(st.tuples(*(fields(first, last) for first, last in _NUMBERS)))
def test_what_goes_through_is_what_the_server_reads(words: tuple[str, ...]) -> None:
    """Whatever is accepted here is accepted there; the two texts are those of the server's own hint."""
    time = " ".join(words)
    try:
        times = read_times(time)
    except NoCounterpart:
        with pytest.raises(cron.CronError):
            cron.parse(time)
        return
    if len(times) == 1:
        cron.parse(time)
        return
    with pytest.raises(cron.CronError) as caught:
        cron.parse(time)
    assert all(f'"{one}"' in caught.value.hint for one in times)
    assert [cron.parse(one) is not None for one in times] == [True, True]
