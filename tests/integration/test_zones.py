"""The time zone of a schedule, and that of the installation."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Database, add_job, add_schedule, value

pytestmark = pytest.mark.shared_database

LOCAL = "select to_char(jobnextrun at time zone %s, 'HH24:MI') from pgagent.pga_job where jobid = %s"


def noon(conn: Connection[TupleRow], zone: str | None) -> int:
    jobid = add_job(conn, "job")
    add_schedule(conn, jobid, hours=[12], minutes=[0], zone=zone)
    return jobid


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "Etc/GMT+5", "Pacific/Chatham"])
def test_a_schedule_is_read_in_its_own_zone(connection: Connection[TupleRow], zone: str) -> None:
    assert value(connection, LOCAL, zone, noon(connection, zone)) == "12:00"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("utc", "UTC"),
        ("5", "<+05>-05"),
        ("<+0530>-5:30", "<+0530>-5:30"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("EST5EDT4", "EST5EDT4"),
        ("5.5", "<+05:30>-05:30"),
        ("posix/Asia/Kolkata", "posix/Asia/Kolkata"),
    ],
)
def test_what_set_timezone_takes_is_taken(connection: Connection[TupleRow], given: str, kept: str) -> None:
    jobid = noon(connection, given)
    assert value(connection, "select jsctimezone from pgagent.pga_schedule") == kept
    connection.execute("select set_config('timezone', %s, false)", (given,))
    local = value(connection, "select to_char(jobnextrun, 'HH24:MI') from pgagent.pga_job where jobid = %s", jobid)
    assert local == "12:00"


def test_the_sessions_zone_stays_as_it_is(connection: Connection[TupleRow]) -> None:
    connection.execute("set timezone = 'Asia/Tokyo'")
    noon(connection, "Europe/Berlin")
    assert value(connection, "show timezone") == "Asia/Tokyo"


@pytest.mark.parametrize("zone", ["Mars/Phobos", "", " ", "Europe", "../../etc/passwd", "UTC\n", "é", "x" * 2000, "24"])
def test_an_unknown_zone_is_refused_with_a_hint(connection: Connection[TupleRow], zone: str) -> None:
    jobid = noon(connection, None)
    for statement in (
        "insert into pgagent.pga_schedule (jscjobid, jscname, jsctimezone) values (1, 'new', %s)",
        "update pgagent.pga_schedule set jsctimezone = %s",
        "update pgagent.settings set timezone = %s",
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            connection.execute(statement, (zone,))
        assert f'time zone "{zone}" not recognized' in (caught.value.diag.message_primary or "")
        assert "pg_timezone_names" in (caught.value.diag.message_hint or "")
    assert value(connection, "select jobnextrun is not null from pgagent.pga_job where jobid = %s", jobid)


def test_a_changed_zone_computes_the_next_run_anew(connection: Connection[TupleRow]) -> None:
    jobid = noon(connection, "Asia/Kolkata")
    connection.execute("update pgagent.pga_schedule set jsctimezone = 'America/New_York'")
    assert value(connection, LOCAL, "America/New_York", jobid) == "12:00"


def test_the_setting_does_not_move_a_schedule_with_its_own_zone(database: Database) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        before = value(conn, "select timezone from pgagent.settings")
        own, common = noon(conn, "Asia/Kolkata"), noon(conn, None)
        conn.execute("update pgagent.settings set timezone = 'America/New_York'")
        try:
            assert value(conn, LOCAL, "Asia/Kolkata", own) == "12:00"
            assert value(conn, LOCAL, "America/New_York", common) == "12:00"
        finally:
            conn.execute("update pgagent.settings set timezone = %s", (before,))
            conn.execute("delete from pgagent.pga_job")
