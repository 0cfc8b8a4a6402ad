"""Schedules by interval: finer than a minute, or of any length from a start."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import add_exception, add_job, add_schedule, run_due, runs, sql_step, value, wait_until

pytestmark = pytest.mark.shared_database

START = datetime(2031, 3, 3, 10, 17, 25, tzinfo=timezone.utc)  # a Monday


@pytest.fixture
def job(connection: Connection[TupleRow]) -> int:
    return add_job(connection, "job", sql_step("select 1"))


def next_after(conn: Connection[TupleRow], jscid: int, after: datetime) -> datetime | None:
    found = value(conn, "select pgagent.next_run(%s, %s)", jscid, after)
    assert found is None or isinstance(found, datetime)
    return found


@pytest.mark.parametrize("interval", ["1 s", "10 s", "61 s", "90 min", "1 day", "1 day 1 s", "2500 days"])
def test_runs_at_the_start_and_at_multiples_after_it(connection: Connection[TupleRow], job: int, interval: str) -> None:
    jscid = add_schedule(connection, job, start=START, interval=interval)
    length = value(connection, "select %s::interval", interval)
    assert next_after(connection, jscid, START - timedelta(days=400)) == START
    assert next_after(connection, jscid, START) == START + length
    assert next_after(connection, jscid, START + 7 * length - timedelta(seconds=0.5)) == START + 7 * length
    assert next_after(connection, jscid, START + 7 * length + timedelta(seconds=0.5)) == START + 8 * length


def test_a_start_without_bound_counts_from_1970(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, interval="7 days")
    connection.execute("update pgagent.pga_schedule set jscstart = '-infinity'")
    thursday = next_after(connection, jscid, START)
    assert thursday == datetime(2031, 3, 6, tzinfo=timezone.utc)


def test_the_end_counts_exactly(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, start=START, end=START + timedelta(seconds=20), interval="10 s")
    assert next_after(connection, jscid, START + timedelta(seconds=10)) == START + timedelta(seconds=20)
    assert next_after(connection, jscid, START + timedelta(seconds=20)) is None


def test_arrays_say_in_which_minutes(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, start=START, interval="25 s", hours=[12], weekdays=[2], zone="UTC")
    first = datetime(2031, 3, 4, 12, 0, 0, tzinfo=timezone.utc)
    found = next_after(connection, jscid, START)
    assert found is not None
    assert first <= found < first + timedelta(seconds=25)
    assert (found - START) % timedelta(seconds=25) == timedelta()
    last = next_after(connection, jscid, first + timedelta(hours=1, seconds=-1))
    assert last is not None
    assert last.date() == date(2031, 3, 11)


def test_exceptions_take_days_and_minutes_away(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, start=START, interval="30 s", zone="UTC")
    add_exception(connection, jscid, day=START.date())
    add_exception(connection, jscid, at=time(0, 0))
    assert next_after(connection, jscid, START) == datetime(2031, 3, 4, 0, 1, 25, tzinfo=timezone.utc)


def test_points_that_no_minute_takes_are_given_up(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, start=START.replace(minute=0), interval="1 hour", minutes=[30], zone="UTC")
    assert next_after(connection, jscid, START) is None


@pytest.mark.parametrize(
    "interval", ["0", "-1 s", "0.5 s", "1.5 s", "1 month", "1 year 1 day", "1000000 days", "1 mon -29 days"]
)
def test_other_intervals_are_refused(connection: Connection[TupleRow], job: int, interval: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        add_schedule(connection, job, interval=interval)
    assert caught.value.diag.constraint_name == "pga_schedule_jscinterval_check"


def test_a_job_of_every_second_runs_every_second_without_drift(connection: Connection[TupleRow], job: int) -> None:
    """Each start belongs to a second of its own, however long the run before took."""
    start = value(connection, "select date_trunc('second', now()) - interval '100.5 s'")
    add_schedule(connection, job, start=start, interval="1 s")

    def has_run() -> bool:
        run_due(connection, "1 s")
        return len(runs(connection, job)) >= 4

    wait_until(has_run, what="four runs")
    connection.execute("delete from pgagent.pga_schedule")
    starts = [run.start.replace(microsecond=0) for run in runs(connection, job)]
    assert len(set(starts)) == len(starts)
    assert {run.status for run in runs(connection, job)} == {"s"}


def test_points_that_were_missed_are_made_up_once(connection: Connection[TupleRow], job: int) -> None:
    add_schedule(connection, job, start=datetime(2020, 1, 1, tzinfo=timezone.utc), interval="1000 days")
    connection.execute("update pgagent.pga_job set jobnextrun = '2021-01-01'")
    run_due(connection)
    run_due(connection)
    assert [run.status for run in runs(connection, job)] == ["s"]
    assert value(connection, "select jobnextrun > now() from pgagent.pga_job")


def test_a_client_that_knows_no_intervals_may_save_the_schedule(connection: Connection[TupleRow], job: int) -> None:
    """pgAdmin writes the columns that it knows."""
    jscid = add_schedule(connection, job, start=START, interval="10 s")
    connection.execute(
        "update pgagent.pga_schedule set jscname = 'new', jscstart = jscstart where jscid = %s", (jscid,)
    )
    assert next_after(connection, jscid, START) == START + timedelta(seconds=10)
