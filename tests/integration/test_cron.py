"""Crontab texts through SQL: arrays that go straight into pga_schedule, texts of stored schedules, errors."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import add_job, add_schedule

pytestmark = pytest.mark.shared_database

_ADD = """
    insert into pgagent.pga_schedule
        (jscjobid, jscname, jscstart, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
    select %s, 'made of a crontab text', '2020-01-01', c.* from pgagent.cron(%s) c
    returning jscid
"""


def value(conn: Connection[TupleRow], query: str, *arguments: object) -> Any:
    row = conn.execute(query, arguments).fetchone()
    assert row is not None
    return row[0]


def refused(conn: Connection[TupleRow], text: str) -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        conn.execute("select pgagent.cron(%s)", (text,))
    return caught.value.diag


def test_schedule_is_made_of_a_text(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set timezone = 'UTC'")
    jscid = value(connection, _ADD, add_job(connection, "job"), "30 2 * * 1-5")
    saturday = datetime(2026, 6, 13, tzinfo=timezone.utc)
    assert value(connection, "select pgagent.next_run(%s, %s)", jscid, saturday) == datetime(
        2026, 6, 15, 2, 30, tzinfo=timezone.utc
    )


def test_arrays_have_the_names_and_sizes_of_the_columns(connection: Connection[TupleRow]) -> None:
    cursor = connection.execute("select * from pgagent.cron('1 2 L 4 *')")
    assert [column.name for column in cursor.description or ()] == [
        "jscminutes",
        "jschours",
        "jscweekdays",
        "jscmonthdays",
        "jscmonths",
    ]
    (arrays,) = cursor.fetchall()
    assert [len(array) for array in arrays] == [60, 24, 7, 32, 12]
    assert [[number for number, flag in enumerate(array) if flag] for array in arrays] == [[1], [2], [], [31], [3]]


def test_null_gives_nulls(connection: Connection[TupleRow]) -> None:
    assert connection.execute("select * from pgagent.cron(null)").fetchall() == [(None,) * 5]
    assert value(connection, "select pgagent.to_cron(null)") is None
    assert value(connection, "select pgagent.to_cron('{}', '{}', '{}', '{}', null)") is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("*/15 9-17 * * mon-fri", "*/15 9-17 * * 1-5"),
        ("0 0 1,L jan-jun *", "0 0 1,L 1-6 *"),
        ("@weekly", "0 0 * * 0"),
        ("0-59 0-23 1-31 1-12 0-7", "* * * * *"),
        ("0 0 1-31 * 1", "0 0 * * *"),
        ("0 0 */2 * 1", None),
    ],
)
def test_stored_schedule_is_written(connection: Connection[TupleRow], text: str, written: str | None) -> None:
    jscid = value(connection, _ADD, add_job(connection, "job"), text)
    assert value(connection, "select pgagent.to_cron(%s)", jscid) == written
    arrays = "jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths"
    assert value(connection, f"select pgagent.to_cron({arrays}) from pgagent.cron(%s)", text) == written


def test_state_and_exceptions_do_not_matter(connection: Connection[TupleRow]) -> None:
    jscid = add_schedule(connection, add_job(connection, "job"), hours=[2], minutes=[30])
    connection.execute(
        "update pgagent.pga_schedule set jscenabled = false, jscstart = 'infinity', jscend = '-infinity'"
    )
    connection.execute("insert into pgagent.pga_exception (jexscid, jextime) values (%s, '02:30')", (jscid,))
    assert value(connection, "select pgagent.to_cron(%s)", jscid) == "30 2 * * *"


def test_interval_is_not_written(connection: Connection[TupleRow]) -> None:
    jscid = add_schedule(connection, add_job(connection, "job"))
    connection.execute("update pgagent.pga_schedule set jscinterval = '10 s'")
    assert value(connection, "select pgagent.to_cron(%s)", jscid) is None


@pytest.mark.parametrize(
    ("hours", "written"),
    [
        ("{}", "*"),
        ("{t}", "0"),
        ("{f,NULL,t}", "2"),
        ("[0:2]={t,t,f}", "0"),
        ("[3:4]={t,f}", "2"),
        ("[-5:-4]={t,t}", "*"),
        ("[2000000000:2000000000]={t}", "*"),
        ("{{t,t},{t,t}}", "*"),
        (f"{{{','.join('t' * 24)}}}", "*"),
        (f"{{f,{','.join('t' * 99)}}}", "1-23"),
    ],
)
def test_any_array_is_written(connection: Connection[TupleRow], hours: str, written: str) -> None:
    query = "select pgagent.to_cron('{t}', %s, '{}', '{}', '{}')"
    assert value(connection, query, hours) == f"0 {written} * * *"


def test_schedule_that_does_not_exist(connection: Connection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject) as caught:
        connection.execute("select pgagent.to_cron(4711)")
    assert "schedule 4711 does not exist" in (caught.value.diag.message_primary or "")
    assert "pgagent.pga_schedule" in (caught.value.diag.message_hint or "")


@pytest.mark.parametrize(
    ("text", "message", "detail"),
    [
        ("0 24 * * *", "hour 24 is out of range", ["At character 3:", "0 24 * * *", "  ^"]),
        ("0\t22-4 * * *", 'range "22-4" is descending', ["At character 3:", "0\t22-4 * * *", " \t^"]),
        ("", "crontab text is empty", ["At character 1:", "", "^"]),
        ("\uff15 * * * *", "is not an ASCII digit", ["At character 1:", "\uff15 * * * *", "^"]),
        ("5,%s * * * *", '"%" belongs to a command', ["At character 3:", "5,%s * * * *", "  ^"]),
        ("0 0 13 * fri", "a schedule when both match", ["At character 10:", "0 0 13 * fri", " " * 9 + "^"]),
        (
            "1," * 200 + "61 * * * *",
            "minute 61 is out of range",
            ["At character 401:", "..." + "1," * 31 + "61 * * * *", " " * 65 + "^"],
        ),
    ],
)
def test_error_shows_the_place(connection: Connection[TupleRow], text: str, message: str, detail: list[str]) -> None:
    shown = refused(connection, text)
    assert message in (shown.message_primary or "")
    assert (shown.message_detail or "").split("\n") == detail
    assert shown.message_hint


def test_both_kinds_of_days_become_two_schedules(connection: Connection[TupleRow]) -> None:
    hint = refused(connection, "0 0 13 * fri").message_hint
    assert hint == 'Give the job two schedules: "0 0 13 * *" and "0 0 * * fri".'


def test_rows_are_read_and_written_in_one_statement(connection: Connection[TupleRow]) -> None:
    """A stub keeps nothing from one call to the next."""
    different = connection.execute(
        """
        select text, written
        from (select format('%s %s * * %s', n, n % 24, n % 7) as text from generate_series(0, 59) n) given
        cross join lateral pgagent.cron(text)
        cross join lateral pgagent.to_cron(jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths) written
        where written is distinct from text
        """
    ).fetchall()
    assert different == []
