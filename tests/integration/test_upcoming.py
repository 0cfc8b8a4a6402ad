"""What will run, and why something will not: upcoming, calendar, explain_schedule, warnings."""

from __future__ import annotations

import time as time_of_process
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta, timezone

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import add_exception, add_job, add_schedule, make_due, value

pytestmark = pytest.mark.shared_database

AFTER = datetime(2031, 3, 3, 10, 0, tzinfo=timezone.utc)  # a Monday
DAY = timedelta(days=1)
NOON = AFTER + timedelta(hours=2)


@pytest.fixture
def job(connection: Connection[TupleRow]) -> int:
    return add_job(connection, "job")


@contextmanager
def warnings_of(conn: Connection[TupleRow]) -> Iterator[list[tuple[str | None, str | None, str | None]]]:
    """Collect the warnings of a session: SQLSTATE, message, hint."""
    found: list[tuple[str | None, str | None, str | None]] = []

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        found.append((notice.sqlstate, notice.message_primary, notice.message_hint))

    conn.add_notice_handler(keep)
    try:
        yield found
    finally:
        conn.remove_notice_handler(keep)


def upcoming(conn: Connection[TupleRow], *arguments: object) -> list[tuple[datetime, int | None]]:
    marks = ", ".join(["%s"] * len(arguments))
    return [(run, jscid) for run, jscid, _ in conn.execute(f"select * from pgagent.upcoming({marks})", arguments)]


def test_runs_of_all_schedules_in_order(connection: Connection[TupleRow], job: int) -> None:
    noon = add_schedule(connection, job, hours=[12], minutes=[0], zone="UTC", name="noon")
    mondays = add_schedule(connection, job, hours=[11, 12], minutes=[0], weekdays=[1], zone="UTC", name="mondays")
    add_schedule(connection, job, enabled=False)
    assert upcoming(connection, job, 4, AFTER) == [
        (NOON - timedelta(hours=1), mondays),
        (NOON, noon),
        (NOON + DAY, noon),
        (NOON + 2 * DAY, noon),
    ]


def test_a_run_that_two_schedules_ask_for_is_one(connection: Connection[TupleRow], job: int) -> None:
    for _ in range(3):
        add_schedule(connection, job, hours=[12], minutes=[0], zone="UTC")
    assert [run for run, _ in upcoming(connection, job, 2, AFTER)] == [NOON, NOON + DAY]


def test_what_is_really_to_come_begins_with_the_jobs_own_time(connection: Connection[TupleRow], job: int) -> None:
    noon = add_schedule(connection, job, hours=[12], minutes=[0], zone="UTC")
    assert upcoming(connection, job, 3) == [(run, noon) for run, _ in upcoming(connection, job, 3)]
    connection.execute("update pgagent.pga_job set jobnextrun = %s", (AFTER,))
    assert upcoming(connection, job, 3) == [(AFTER, None), (NOON, noon), (NOON + DAY, noon)]
    connection.execute("update pgagent.pga_job set jobnextrun = %s", (NOON,))
    assert upcoming(connection, job, 2) == [(NOON, noon), (NOON + DAY, noon)]
    make_due(connection, job)
    first, second = upcoming(connection, job, 2)
    assert first[1] is None
    assert first[0] < second[0]


def test_a_disabled_job_has_nothing_to_come_but_its_schedules_can_be_asked(
    connection: Connection[TupleRow], job: int
) -> None:
    noon = add_schedule(connection, job, hours=[12], minutes=[0], zone="UTC")
    connection.execute("update pgagent.pga_job set jobenabled = false")
    assert upcoming(connection, job) == []
    assert upcoming(connection, job, 1, AFTER) == [(NOON, noon)]


def test_an_asked_for_time_without_schedules(connection: Connection[TupleRow], job: int) -> None:
    assert upcoming(connection, job) == []
    connection.execute("update pgagent.pga_job set jobnextrun = %s", (AFTER,))
    assert upcoming(connection, job) == [(AFTER, None)]


@pytest.mark.parametrize("count", [0, -1])
def test_none_are_asked_for(connection: Connection[TupleRow], job: int, count: int) -> None:
    add_schedule(connection, job)
    assert upcoming(connection, job, count, AFTER) == []


def test_the_last_ones_before_the_end(connection: Connection[TupleRow], job: int) -> None:
    add_schedule(connection, job, hours=[12], minutes=[0], zone="UTC", end=NOON + DAY)
    assert [run for run, _ in upcoming(connection, job, 10, AFTER)] == [NOON, NOON + DAY]


def test_a_job_that_is_not_there(connection: Connection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject) as caught:
        connection.execute("select pgagent.upcoming(4711)")
    assert "job 4711 does not exist" in (caught.value.diag.message_primary or "")


def test_calendar_of_all_enabled_jobs(connection: Connection[TupleRow], job: int) -> None:
    noon = add_schedule(connection, job, hours=[12], minutes=[0], zone="UTC", name="noon")
    other = add_job(connection, "a job")
    often = add_schedule(connection, other, start=AFTER, interval="30 min", hours=[11, 12], zone="UTC", name="often")
    disabled = add_job(connection, "disabled", enabled=False)
    add_schedule(connection, disabled)
    found = connection.execute("select * from pgagent.calendar(%s, %s)", (AFTER, NOON)).fetchall()
    assert found == [
        (NOON - timedelta(hours=1), other, "a job", often, "often"),
        (NOON - timedelta(minutes=30), other, "a job", often, "often"),
        (NOON, other, "a job", often, "often"),
        (NOON, job, "job", noon, "noon"),
    ]


def test_calendar_from_now_on(connection: Connection[TupleRow], job: int) -> None:
    make_due(connection, job)
    assert [row[1] for row in connection.execute("select * from pgagent.calendar()")] == [job]
    connection.execute("update pgagent.pga_job set jobnextrun = now() + interval '2 days'")
    assert connection.execute("select * from pgagent.calendar()").fetchall() == []


def test_calendar_is_bounded(connection: Connection[TupleRow], job: int) -> None:
    add_schedule(connection, job)
    statement = "select count(*) from pgagent.calendar(%s, 'infinity', 25)"
    assert value(connection, statement, AFTER) == 25


def test_a_schedule_in_words(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(
        connection, job, hours=[2], minutes=[30], weekdays=[1, 2, 3, 4, 5], months=[1], zone="Europe/Berlin"
    )
    add_exception(connection, jscid, day=date(2032, 1, 1))
    assert value(connection, "select pgagent.explain_schedule(%s, %s)", jscid, AFTER) == (
        "at 02:30 on weekdays in January, except 2032-01-01, Europe/Berlin; next run 2032-01-02 02:30:00+01:00"
    )


def test_words_do_not_depend_on_the_session(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, start=AFTER, end=NOON + DAY, interval="90 s", hours=[11], zone="Asia/Tokyo")
    add_exception(connection, jscid, day=date(2031, 3, 4), at=time(11, 3))
    statement = "select pgagent.explain_schedule(%s, %s)"
    before = value(connection, statement, jscid, AFTER)
    connection.execute(
        "set datestyle = 'SQL, DMY'; set timezone = 'America/New_York'; set intervalstyle = 'sql_standard'"
    )
    assert value(connection, statement, jscid, AFTER) == before


def test_why_a_schedule_never_runs(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, monthdays=[31], months=[4], hours=[0], minutes=[0], zone="UTC")
    told = value(connection, "select pgagent.explain_schedule(%s)", jscid)
    assert told.endswith("; never runs: 31 April does not exist")
    with pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("select pgagent.explain_schedule(4711)")


def test_a_schedule_that_never_runs_is_saved_with_a_warning(connection: Connection[TupleRow], job: int) -> None:
    with warnings_of(connection) as warnings:
        jscid = add_schedule(connection, job, monthdays=[31], months=[4], name="draft")
    assert warnings == [
        (
            "01000",
            f'schedule "draft" of job {job} never runs: 31 April does not exist',
            f"SELECT pgagent.explain_schedule({jscid}) shows what it says.",
        )
    ]
    assert value(connection, "select count(*) from pgagent.pga_schedule") == 1


def test_an_exception_that_takes_the_last_run_away_warns(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, hours=[12], minutes=[0])
    with warnings_of(connection) as warnings:
        add_exception(connection, jscid, at=time(12))
    assert [(sqlstate, (message or "").partition(": ")[2]) for sqlstate, message, _ in warnings] == [
        ("01000", "every run is excepted")
    ]


def test_only_what_was_changed_warns(connection: Connection[TupleRow], job: int) -> None:
    add_schedule(connection, job, monthdays=[31], months=[4])
    with warnings_of(connection) as warnings:
        add_schedule(connection, job, hours=[12])
        connection.execute("update pgagent.pga_job set jobnextrun = null")
        connection.execute("update pgagent.pga_schedule set jscname = 'new' where jscmonths[4] is false")
    assert warnings == []


def test_many_warnings_are_counted(connection: Connection[TupleRow], job: int) -> None:
    with warnings_of(connection) as warnings:
        connection.execute(
            "insert into pgagent.pga_schedule (jscjobid, jscname, jscend) select %s, n, '2001-01-01'"
            " from generate_series(1, 100) n",
            (job,),
        )
    assert len(warnings) == 11
    assert warnings[-1][1] == "90 more schedules never run"


@pytest.mark.parametrize(
    "statement",
    ["select pgagent.upcoming(jobid, 1000000000) from pgagent.pga_job", "select pgagent.calendar(null, null, null)"],
)
def test_very_many_runs_can_be_cancelled(connection: Connection[TupleRow], job: int, statement: str) -> None:
    for _ in range(300):
        add_schedule(connection, job, interval="1 s")
    connection.execute("set statement_timeout = '500 ms'")
    began = time_of_process.monotonic()
    with suppress(psycopg.errors.QueryCanceled):
        connection.execute(statement)
    assert time_of_process.monotonic() - began < 30


def test_null_arguments(connection: Connection[TupleRow], job: int) -> None:
    add_schedule(connection, job)
    assert len(upcoming(connection, job, None)) == 10
    assert upcoming(connection, None, 3) == []
    assert value(connection, "select count(*) from pgagent.calendar(null, null, null)") == 1000
