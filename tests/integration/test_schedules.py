"""Next runs through SQL: tables, settings, session; every example of tests/data/schedule_cases.jsonl."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, Database, add_exception, add_job, add_schedule

CASES = Path(__file__).resolve().parents[1] / "data" / "schedule_cases.jsonl"

BERLIN = ZoneInfo("Europe/Berlin")

_ADD = """
    with given as (
        select * from jsonb_to_recordset(%s) as c (
            id int, name text, start timestamptz, "end" timestamptz, minutes text, hours text, weekdays text,
            monthdays text, months text, exceptions jsonb)
    ), job as (
        insert into pgagent.pga_job (jobid, jobjclid, jobname, jobenabled) select 10000 + id, 1, name, false from given
    ), schedule as (
        insert into pgagent.pga_schedule (
            jscid, jscjobid, jscname, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
        select id, 10000 + id, name, start, "end", minutes::bool[], hours::bool[], weekdays::bool[], monthdays::bool[],
               months::bool[]
        from given
    )
    select id, exceptions from given where exceptions <> '[]'
"""

_ADD_EXCEPTIONS = """
    insert into pgagent.pga_exception (jexscid, jexdate, jextime)
    select distinct c.id, (e ->> 0)::date, (e ->> 1)::time
    from jsonb_to_recordset(%s) as c (id int, exceptions jsonb) cross join jsonb_array_elements(c.exceptions) e
"""

_WRONG_UPCOMING = """
    select c.name, c.about, c.expected, u.run::text
    from jsonb_to_recordset(%s) as c (id int, name text, about text, after timestamptz, expected text)
    left join lateral pgagent.upcoming(10000 + c.id, 1, c.after) u on true
    where u.run is distinct from c.expected::timestamptz
"""

_WRONG = """
    select c.name, c.about, c.expected, pgagent.next_run(c.id, c.after)::text
    from jsonb_to_recordset(%s) as c (id int, name text, about text, after timestamptz, expected text)
    where pgagent.next_run(c.id, c.after) is distinct from c.expected::timestamptz
"""


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection[TupleRow]]:
    """A session in a database of the module: one disabled job, so that schedules cost nothing when added."""
    made = cluster.create_database("of_schedules")
    with cluster.connect(made.name) as conn:
        add_job(conn, "job", enabled=False)
        yield conn
    cluster.drop_database(made.name)


@pytest.fixture
def empty(session: Connection[TupleRow]) -> Iterator[Connection[TupleRow]]:
    """The module's session, without schedules."""
    yield session
    session.execute("delete from pgagent.pga_schedule")
    session.execute("delete from pgagent.pga_job where jobid > 10000")
    session.execute("reset all")


def read_cases() -> dict[str, list[dict[str, Any]]]:
    """The examples by time zone; a schedule's id is its line's number."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with CASES.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            case = json.loads(line)
            found[case["tz"]].append({**case, "id": number})
    return found


@pytest.mark.parametrize(("zone", "cases"), read_cases().items(), ids=read_cases())
def test_examples(empty: Connection[TupleRow], zone: str, cases: list[dict[str, Any]]) -> None:
    empty.execute("update pgagent.settings set timezone = %s", (zone,))
    stored = [case for case in cases if case["start"] is not None]
    empty.execute(_ADD, (json.dumps(stored),))
    empty.execute(_ADD_EXCEPTIONS, (json.dumps(stored),))
    assert empty.execute(_WRONG, (json.dumps(stored),)).fetchall() == []
    assert empty.execute(_WRONG_UPCOMING, (json.dumps(stored),)).fetchall() == []


def test_there_are_as_many_examples_as_there_should_be() -> None:
    cases = [case for group in read_cases().values() for case in group]
    assert len(cases) == 1172
    # The column is NOT NULL: a schedule without start cannot be stored.
    assert [case["expected"] for case in cases if case["start"] is None] == [None]


def test_examples_do_not_depend_on_the_session(empty: Connection[TupleRow]) -> None:
    cases = [case for case in read_cases()["America/New_York"] if case["start"] is not None]
    empty.execute("update pgagent.settings set timezone = 'America/New_York'")
    empty.execute(_ADD, (json.dumps(cases),))
    empty.execute(_ADD_EXCEPTIONS, (json.dumps(cases),))
    empty.execute("set timezone = 'Asia/Kolkata'")
    empty.execute("set datestyle = 'German'")
    assert empty.execute(_WRONG, (json.dumps(cases),)).fetchall() == []


def next_run(
    conn: Connection[TupleRow],
    after: str,
    exceptions: Collection[tuple[date | None, time | None]] = (),
    zone: str = "UTC",
    **fields: Any,
) -> datetime | None:
    """Store a schedule in a zone and ask for its next run; the answer is in that zone."""
    conn.execute("update pgagent.settings set timezone = %s", (zone,))
    jscid = add_schedule(conn, 1, **fields)
    for day, at in exceptions:
        add_exception(conn, jscid, day, at)
    now = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    row = conn.execute("select pgagent.next_run(%s, %s)", (jscid, now)).fetchone()
    assert row is not None
    run: datetime | None = row[0]
    return run and run.astimezone(ZoneInfo(zone))


# What pgAgent 4.2 gets wrong: section of its faults, what is asked, the right answer.
VECTORS: dict[str, tuple[dict[str, Any], str | None]] = {
    "minute after a later hour": (
        {"after": "2026-06-15 09:45", "hours": [10], "minutes": [15, 50]},
        "2026-06-15 10:15",
    ),
    "minute after a new day": ({"after": "2026-06-15 14:30", "hours": [2], "minutes": [5, 35]}, "2026-06-16 02:05"),
    "minute after a new week": (
        {"after": "2026-06-16 10:20", "weekdays": [1], "hours": [10], "minutes": [0, 30]},
        "2026-06-22 10:00",
    ),
    "minutes and hour asked later": (
        {"after": "2026-06-15 10:15", "hours": [9], "minutes": [0, 30]},
        "2026-06-16 09:00",
    ),
    "last day beside others": (
        {"after": "2026-06-15 23:59", "monthdays": [15, 32], "hours": [0], "minutes": [0]},
        "2026-06-30 00:00",
    ),
    "day 31 in June": (
        {"after": "2026-06-01 00:00", "monthdays": [31], "hours": [0], "minutes": [0]},
        "2026-07-31 00:00",
    ),
    "31 April": ({"after": "2026-01-01 00:00", "monthdays": [31], "months": [4]}, None),
    "30 February": ({"after": "2026-01-01 00:00", "monthdays": [30], "months": [2]}, None),
    "29 February": (
        {"after": "2026-01-01 00:00", "monthdays": [29], "months": [2], "hours": [0], "minutes": [0]},
        "2028-02-29 00:00",
    ),
    "every minute": ({"after": "2026-01-01 10:02"}, "2026-01-01 10:03"),
    "every minute, seconds cut": ({"after": "2026-01-01 10:02:59"}, "2026-01-01 10:03"),
    "every time excepted": (
        {"after": "2026-01-01 10:00", "hours": [12], "minutes": [0], "exceptions": [(None, time(12))]},
        None,
    ),
    "first run is the start": (
        {"after": "2026-01-01 10:00", "start": datetime(2026, 1, 1, 10, 17, tzinfo=ZoneInfo("UTC"))},
        "2026-01-01 10:17",
    ),
    "run at the end": (
        {
            "after": "2026-01-01 10:00",
            "hours": [12],
            "minutes": [0],
            "end": datetime(2026, 1, 1, 12, tzinfo=ZoneInfo("UTC")),
        },
        "2026-01-01 12:00",
    ),
}


@pytest.mark.parametrize(("question", "expected"), VECTORS.values(), ids=VECTORS)
def test_what_pgagent_gets_wrong(empty: Connection[TupleRow], question: dict[str, Any], expected: str | None) -> None:
    run = next_run(empty, **question)
    assert (run and f"{run:%Y-%m-%d %H:%M}") == expected


def test_skipped_time_runs_after_the_jump(empty: Connection[TupleRow]) -> None:
    run = next_run(empty, "2031-03-29 12:00", zone="Europe/Berlin", hours=[2], minutes=[30])
    assert run == datetime(2031, 3, 30, 3, 30, tzinfo=BERLIN)


def test_every_minute_goes_on_in_the_hour_that_comes_twice(empty: Connection[TupleRow]) -> None:
    run = next_run(empty, "2031-10-26 02:59", zone="Europe/Berlin")
    assert run == datetime(2031, 10, 26, 2, 0, fold=1, tzinfo=BERLIN)


def test_excepted_days_cost_little(empty: Connection[TupleRow]) -> None:
    first = date(2026, 1, 1)
    jscid = add_schedule(empty, 1)
    empty.execute(
        "insert into pgagent.pga_exception (jexscid, jexdate) select %s, %s::date + i from generate_series(0, 9999) i",
        (jscid, first),
    )
    empty.execute("update pgagent.settings set timezone = 'UTC'")
    empty.execute("set statement_timeout = '2 s'")
    row = empty.execute("select pgagent.next_run(%s, %s)", (jscid, first)).fetchone()
    assert row == (datetime.combine(first + timedelta(days=10000), time(), ZoneInfo("UTC")),)


def test_exception_with_a_large_id(empty: Connection[TupleRow]) -> None:
    jscid = add_schedule(empty, 1, hours=[12], minutes=[0])
    empty.execute(
        "insert into pgagent.pga_exception (jexid, jexscid, jextime) values (2147483647, %s, '12:00')", (jscid,)
    )
    assert empty.execute("select pgagent.next_run(%s)", (jscid,)).fetchone() == (None,)


def test_without_after_it_is_now(empty: Connection[TupleRow]) -> None:
    jscid = add_schedule(empty, 1)
    row = empty.execute(
        "select pgagent.next_run(%s) = date_trunc('minute', now()) + '1 min', pgagent.next_run(%s, null)",
        (jscid, jscid),
    ).fetchone()
    assert row == (True, None)


@pytest.mark.parametrize("after", ["-infinity", "infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59+00"])
def test_after_may_be_any_instant(empty: Connection[TupleRow], after: str) -> None:
    jscid = add_schedule(empty, 1)
    row = empty.execute("select pgagent.next_run(%s, %s) = '2020-01-01 00:00+00'", (jscid, after)).fetchone()
    assert row == (True if after.startswith(("-", "4")) else None,)


def test_pga_next_schedule_reads_the_arrays_in_the_sessions_zone(empty: Connection[TupleRow]) -> None:
    empty.execute("update pgagent.settings set timezone = 'UTC'")
    empty.execute("set timezone = 'Asia/Kolkata'")
    row = empty.execute(
        "select to_char(pgagent.pga_next_schedule("
        " 0, '2020-01-01', null, array[true], array[false, true], null, '{}', null)"
        " at time zone 'Asia/Kolkata', 'HH24:MI')"
    ).fetchone()
    assert row == ("01:00",)


def test_pga_next_schedule_heeds_the_exceptions_of_the_schedule(empty: Connection[TupleRow]) -> None:
    jscid = add_schedule(empty, 1)
    add_exception(empty, jscid, at=time(12))
    ask = (
        "select pgagent.pga_next_schedule(%s, '2020-01-01', null, array[true], array_fill(false, array[12]) || true,"
        " null, null, null)"
    )
    assert empty.execute(ask, (jscid,)).fetchone() == (None,)
    row = empty.execute(ask, (jscid + 1,)).fetchone()
    assert row is not None
    assert row[0] is not None


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), ("infinity", None), ("2020-01-01", "-infinity"), ("2020-01-01", "2020-01-02")]
)
def test_pga_next_schedule_without_a_time_left(empty: Connection[TupleRow], start: str | None, end: str | None) -> None:
    row = empty.execute(
        "select pgagent.pga_next_schedule(null, %s, %s, null, null, null, null, null)", (start, end)
    ).fetchone()
    assert row == (None,)


def test_every_zone_of_the_server_is_known(empty: Connection[TupleRow]) -> None:
    empty.execute("set client_min_messages = error")
    rows = empty.execute(
        "select name from pg_timezone_names where pgagent._next_schedule_epoch("
        "null, 0, null, null, null, null, null, null, name, 0) is null"
    ).fetchall()
    assert rows == []


@pytest.mark.parametrize("zone", ["europe/berlin", "EUROPE/BERLIN", "utc"])
def test_case_of_a_zones_name_does_not_matter(connection: Connection[TupleRow], zone: str) -> None:
    add_schedule(connection, add_job(connection, "job"), hours=[12], minutes=[0])
    connection.execute("update pgagent.settings set timezone = %s", (zone,))
    row = connection.execute(
        "select to_char(jobnextrun at time zone %s, 'HH24:MI') from pgagent.pga_job", (zone,)
    ).fetchone()
    assert row == ("12:00",)


_MIDNIGHT = (
    "select to_char(pgagent.pga_next_schedule(null, '2020-01-01', null, array[true], array[true], null, null, null),"
    " 'HH24:MI')"
)


@pytest.mark.parametrize(
    "zone", ["Etc/GMT+5", "europe/berlin", "posix/Asia/Kolkata", "3", "<+03>-03", "EST5EDT4,M3.2.0,M11.1.0"]
)
def test_pga_next_schedule_takes_the_zones_of_the_server(empty: Connection[TupleRow], zone: str) -> None:
    empty.execute("select set_config('timezone', %s, false)", (zone,))
    assert empty.execute(_MIDNIGHT).fetchone() == ("00:00",)


@pytest.mark.parametrize("zone", ["3", "<+03>-03", "europe/berlin"])
def test_extension_created_in_a_session_with_an_odd_zone(cluster: Cluster, zone: str) -> None:
    made = cluster.create_database("odd_zone", extension=False)
    try:
        with cluster.connect(made.name) as conn:
            conn.execute("select set_config('timezone', %s, false)", (zone,))
            conn.execute("set client_min_messages = error")
            conn.execute("create extension pgagent_py cascade")
            add_schedule(conn, add_job(conn, "job"), hours=[12], minutes=[0])
            row = conn.execute(
                "select to_char(jobnextrun, 'HH24:MI'), s.timezone = current_setting('TimeZone')"
                " from pgagent.pga_job, pgagent.settings s"
            ).fetchone()
        assert row == ("12:00", True)
    finally:
        cluster.drop_database(made.name)


def test_schedules_of_the_same_job_are_independent(database: Database) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        jobid = add_job(conn, "job")
        excepted = add_schedule(conn, jobid, hours=[12], minutes=[0])
        other = add_schedule(conn, jobid, hours=[12], minutes=[0])
        add_exception(conn, excepted, at=time(12))
        row = conn.execute("select pgagent.next_run(%s), pgagent.next_run(%s)", (excepted, other)).fetchone()
    assert row is not None
    assert (row[0], row[1] is not None) == (None, True)
