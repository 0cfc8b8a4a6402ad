"""Schedules by functions: add_schedule, alter_schedule, drop_schedule, and those that run once."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from harness import add_job, make_due, run_due, runs, sql_step, value, wait_until
from harness.refusals import refused

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

AFTER = datetime(2031, 3, 3, 10, 0, tzinfo=timezone.utc)  # a Monday
AT = "2031-05-01 08:15:42+02"
INVALID, NULL, UNDEFINED = "22023", "22004", "42704"
ONCE = timedelta(days=36_500)


@pytest.fixture
def job(connection: Session) -> int:
    return add_job(connection, "job", sql_step("select 1"))


def add(conn: Session, arguments: str) -> int:
    return int(value(conn, f"select pgagent.add_schedule('job', {arguments})"))


def schedule_row(conn: Session, schedule: int) -> dict[str, Any]:
    cursor = conn.cursor(row_factory=dict_row)
    (found,) = cursor.execute("select * from pgagent.pga_schedule where jscid = %s", (schedule,)).fetchall()
    return found


def upcoming(conn: Session, count: int, after: datetime = AFTER) -> list[datetime]:
    return [run for (run,) in conn.execute("select run from pgagent.upcoming('job', %s, %s)", (count, after))]


# add_schedule


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        ("'30 2 * * 1-5'", "30 2 * * 1-5", ["03-04 02:30:00", "03-05 02:30:00"]),
        ("'30 2 * * mon-fri', 'weekdays'", "weekdays", ["03-04 02:30:00", "03-05 02:30:00"]),
        ("'@daily'", "0 0 * * *", ["03-04 00:00:00", "03-05 00:00:00"]),
        ("'0 9 * * *', timezone => 'Asia/Tokyo'", "0 9 * * *", ["03-04 00:00:00", "03-05 00:00:00"]),
        ("every => '10 s', starts => '2031-01-01 00:00:07+00'", "every 10 s", ["03-03 10:00:07", "03-03 10:00:17"]),
        ("every => '5 h', starts => '2031-03-03 11:00+00'", "every 5 h", ["03-03 11:00:00", "03-03 16:00:00"]),
        ("every => '7 d', starts => '2031-03-03 11:00+00'", "every 7 d", ["03-03 11:00:00", "03-10 11:00:00"]),
        ("every => '90 min', starts => '2031-03-03 11:00+00'", "every 90 min", ["03-03 11:00:00", "03-03 12:30:00"]),
        (
            "'* 11 * * *', every => '40 min', starts => '2031-01-01 00:00:00+00'",
            "* 11 * * *, every 40 min",
            ["03-03 11:20:00", "03-04 11:20:00"],
        ),
        ("'0 12 * * *', ends => '2031-03-04 12:00+00'", "0 12 * * *", ["03-03 12:00:00", "03-04 12:00:00"]),
    ],
)
@pytest.mark.usefixtures("job")
def test_schedules(connection: Session, arguments: str, name: str, expected: list[str]) -> None:
    schedule = add(connection, arguments)
    assert schedule_row(connection, schedule)["jscname"] == name
    assert [f"{run:%m-%d %H:%M:%S}" for run in upcoming(connection, 2)] == expected


@pytest.mark.usefixtures("job")
def test_schedule_in_a_calendar(connection: Session) -> None:
    calendar = value(connection, "insert into pgagent.pga_calendar (calname) values ('holidays') returning calid")
    try:
        schedule = add(connection, "'0 3 * * *', calendar => 'holidays'")
        assert schedule_row(connection, schedule)["jsccalendar"] == calendar
        connection.execute("select pgagent.alter_schedule(%s, description => 'x')", (schedule,))
        assert schedule_row(connection, schedule)["jsccalendar"] == calendar
        copy = value(connection, "select pgagent.copy_job('job', 'copy')")
        query = "select jsccalendar from pgagent.pga_schedule where jscjobid = %s"
        assert value(connection, query, copy) == calendar
        connection.execute("select pgagent.alter_schedule(%s, reset => '{calendar}')", (schedule,))
        assert schedule_row(connection, schedule)["jsccalendar"] is None
        connection.execute("select pgagent.alter_schedule(%s, calendar => 'holidays')", (schedule,))
        assert schedule_row(connection, schedule)["jsccalendar"] == calendar
        found = refused(connection, "select pgagent.add_schedule('job', '@daily', calendar => 'holiday')")
        assert (found.sqlstate, found.message) == (UNDEFINED, 'calendar "holiday" does not exist')
    finally:
        connection.execute("delete from pgagent.pga_job")
        connection.execute("delete from pgagent.pga_calendar")


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("name => 'x'", INVALID, "the new schedule of job {} never says when"),
        ("every => '1 month'", INVALID, "a schedule cannot run every 1 mon"),
        ("every => '0 s'", INVALID, "a schedule cannot run every 00:00:00"),
        ("every => '1.5 s'", INVALID, "a schedule cannot run every 00:00:01.5"),
        ("every => '-1 s'", INVALID, "a schedule cannot run every -00:00:01"),
        ("every => '36501 days'", INVALID, "a schedule cannot run every 36501 days"),
        ("'61 * * * *'", INVALID, None),
        ("'0 0 13 * 5'", INVALID, None),
        ("'* * * * *', timezone => 'Mars/Olympus'", INVALID, 'time zone "Mars/Olympus" not recognized'),
        ("'* * * * *', calendar => 'nothing'", UNDEFINED, 'calendar "nothing" does not exist'),
        ("'* * * * *', starts => null", NULL, 'parameter "starts" must not be null'),
        ("'* * * * *', enabled => null", NULL, 'parameter "enabled" must not be null'),
        (f"'* * * * *', at => '{AT}'", INVALID, "the new schedule of job {} cannot run once and be repeated"),
        (f"at => '{AT}', every => '1 h'", INVALID, "the new schedule of job {} cannot run once and be repeated"),
        (f"at => '{AT}', ends => '{AT}'", INVALID, "the new schedule of job {} cannot run once and be repeated"),
        (f"at => '{AT}', starts => '{AT}'", INVALID, "the new schedule of job {} cannot run once and be repeated"),
        ("at => 'infinity'", INVALID, "a job cannot run at infinity"),
        ("at => '-infinity'", INVALID, "a job cannot run at -infinity"),
        ("at => '2020-01-01 00:00+00'", INVALID, None),
    ],
)
def test_schedules_that_are_refused(
    connection: Session, job: int, arguments: str, sqlstate: str, message: str | None
) -> None:
    found = refused(connection, f"select pgagent.add_schedule('job', {arguments})")
    assert (found.sqlstate, found.message) == (sqlstate, message.format(job) if message else found.message)
    assert found.hint or sqlstate == NULL or "infinity" in found.message


# Once


@pytest.mark.usefixtures("job")
def test_schedule_that_runs_once(connection: Session) -> None:
    """At that instant, seconds included, whatever the zone, and never again."""
    connection.execute("select pgagent.add_schedule('job', at => %s, timezone => 'America/New_York')", (AT,))
    at = datetime.fromisoformat(AT)
    assert upcoming(connection, 5) == [at]
    assert upcoming(connection, 5, at - timedelta(seconds=1)) == [at]
    assert upcoming(connection, 5, at) == []
    assert value(connection, "select jobnextrun from pgagent.pga_job") == at
    text = value(connection, "select pgagent.explain_schedule(jscid) from pgagent.pga_schedule")
    assert text == "once at 2031-05-01 02:15:42, America/New_York; next run 2031-05-01 02:15:42-04:00"
    words = value(connection, "select pgagent.explain_schedule(jscid, '2032-01-01 UTC') from pgagent.pga_schedule")
    assert words == "once at 2031-05-01 02:15:42, America/New_York; never runs: it ended on 2031-05-01 02:15:42"
    assert value(connection, "select jscname from pgagent.pga_schedule") == "once"


@pytest.mark.parametrize(("at", "run"), [("0.000001", 1), ("0.5", 1), ("0.999999", 1), ("0", 0), ("59.1", 60)])
@pytest.mark.usefixtures("job")
def test_run_is_never_before_its_instant(connection: Session, at: str, run: int) -> None:
    connection.execute(f"select pgagent.add_schedule('job', at => '2031-05-01 08:00 UTC'::timestamptz + '{at} s')")
    assert upcoming(connection, 2) == [datetime(2031, 5, 1, 8, tzinfo=timezone.utc) + timedelta(seconds=run)]


def test_job_that_runs_once(connection: Session) -> None:
    connection.execute("create table public.done (at timestamptz default clock_timestamp())")
    job = value(
        connection,
        "select pgagent.create_job('once', at => now() + interval '1 s',"
        " sql => 'insert into public.done default values')",
    )
    due = value(connection, "select jobnextrun from pgagent.pga_job where jobid = %s", job)
    assert due is not None
    wait_until(lambda: bool(run_due(connection) and value(connection, "select count(*) from public.done")))
    assert value(connection, "select min(at) from public.done") >= due
    run_due(connection)
    assert [run.status for run in runs(connection, job)] == ["s"]
    assert value(connection, "select jobenabled and jobnextrun is null from pgagent.pga_job where jobid = %s", job)


def test_instant_in_the_past_is_refused(connection: Session) -> None:
    for past in ("now()", "now() - interval '1 min'", "'2020-01-01'"):
        found = refused(connection, f"select pgagent.create_job('late', at => {past})")
        assert found.sqlstate == INVALID
        assert found.message.endswith("it is in the past")
        assert found.hint == "pgagent.run_now runs a job at once."


# alter_schedule


ALTERATIONS = {
    "name": ("jscname", "'other'", "other", None),
    "starts": ("jscstart", "'2031-01-01 UTC'", datetime(2031, 1, 1, tzinfo=timezone.utc), None),
    "ends": ("jscend", "'2031-01-01 UTC'", datetime(2031, 1, 1, tzinfo=timezone.utc), None),
    "every": ("jscinterval", "'10 s'", timedelta(seconds=10), None),
    "timezone": ("jsctimezone", "'Asia/Tokyo'", "Asia/Tokyo", None),
    "description": ("jscdesc", "'words'", "words", ""),
    "enabled": ("jscenabled", "false", False, True),
}


@pytest.mark.parametrize("attribute", ALTERATIONS)
@pytest.mark.usefixtures("job")
def test_one_attribute_is_altered(connection: Session, attribute: str) -> None:
    """All others stay; those with a default have it back afterwards."""
    schedule = add(connection, "'0 3 * * *', 'night'")
    column, literal, after, default = ALTERATIONS[attribute]
    before = schedule_row(connection, schedule)
    connection.execute(f"select pgagent.alter_schedule(%s, {attribute} => {literal})", (schedule,))
    assert schedule_row(connection, schedule) == {**before, column: after}
    if attribute == "name":
        found = refused(connection, f"select pgagent.alter_schedule({schedule}, reset => '{{name}}')")
        assert found.sqlstate == INVALID
        return
    connection.execute("select pgagent.alter_schedule(%s, reset => array[%s])", (schedule, attribute))
    reset = schedule_row(connection, schedule)[column]
    assert before["jscstart"] < reset < after if attribute == "starts" else reset == default


@pytest.mark.usefixtures("job")
def test_crontab_is_altered(connection: Session) -> None:
    """A name that says the old times says the new ones; one that was given stays."""
    named, unnamed = add(connection, "'0 3 * * *', 'night'"), add(connection, "'0 3 * * *'")
    for schedule in (named, unnamed):
        connection.execute("select pgagent.alter_schedule(%s, crontab => '30 4 * * *')", (schedule,))
        assert value(connection, "select pgagent.to_cron(%s)", schedule) == "30 4 * * *"
    assert schedule_row(connection, named)["jscname"] == "night"
    assert schedule_row(connection, unnamed)["jscname"] == "30 4 * * *"
    assert upcoming(connection, 1) == [datetime(2031, 3, 4, 4, 30, tzinfo=timezone.utc)]
    connection.execute("select pgagent.alter_schedule(%s, every => '10 s', reset => '{crontab}')", (unnamed,))
    assert schedule_row(connection, unnamed)["jscname"] == "every 10 s"
    connection.execute("select pgagent.alter_schedule(%s, reset => '{every}')", (unnamed,))
    assert schedule_row(connection, unnamed)["jscname"] == "* * * * *"


@pytest.mark.usefixtures("job")
def test_schedule_becomes_one_that_runs_once_and_back(connection: Session) -> None:
    schedule = add(connection, "'0 3 * * *', ends => '2040-01-01 UTC'")
    connection.execute("select pgagent.alter_schedule(%s, at => %s)", (schedule, AT))
    assert upcoming(connection, 3) == [datetime.fromisoformat(AT)]
    found = schedule_row(connection, schedule)
    assert (found["jscname"], found["jscinterval"], found["jscend"]) == ("once", ONCE, found["jscstart"])
    connection.execute("select pgagent.alter_schedule(%s, at => %s::timestamptz + interval '1 s')", (schedule, AT))
    assert upcoming(connection, 3) == [datetime.fromisoformat(AT) + timedelta(seconds=1)]
    connection.execute("select pgagent.alter_schedule(%s, description => 'x', timezone => 'Asia/Tokyo')", (schedule,))
    assert upcoming(connection, 3) == [datetime.fromisoformat(AT) + timedelta(seconds=1)]
    connection.execute("select pgagent.alter_schedule(%s, crontab => '0 4 * * *')", (schedule,))
    found = schedule_row(connection, schedule)
    assert (found["jscname"], found["jscinterval"], found["jscend"]) == ("0 4 * * *", None, None)
    assert len(upcoming(connection, 3)) == 3


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (f"at => '{AT}'", "starts => '2031-01-01'"),
        (f"at => '{AT}'", "ends => '2031-01-01'"),
        (f"at => '{AT}'", "reset => '{ends}'"),
        (f"at => '{AT}'", "reset => '{every}'"),
        ("'0 3 * * *'", f"at => '{AT}', crontab => '0 3 * * *'"),
        ("'0 3 * * *'", f"at => '{AT}', reset => '{{crontab}}'"),
        ("'0 3 * * *'", f"at => '{AT}', every => '10 s'"),
        ("'0 3 * * *'", f"at => '{AT}', ends => '2040-01-01'"),
        ("'0 3 * * *'", "at => '2020-01-01'"),
        ("'0 3 * * *'", "every => '1 year'"),
        ("'0 3 * * *'", "crontab => 'oops'"),
        ("'0 3 * * *'", "reset => '{name}'"),
        ("'0 3 * * *'", "crontab => '0 4 * * *', reset => '{crontab}'"),
    ],
)
@pytest.mark.usefixtures("job")
def test_alterations_that_are_refused(connection: Session, before: str, changes: str) -> None:
    schedule = add(connection, before)
    assert refused(connection, f"select pgagent.alter_schedule({schedule}, {changes})").sqlstate == INVALID


@pytest.mark.usefixtures("job")
def test_unknown_calendar_is_refused(connection: Session) -> None:
    schedule = add(connection, "'0 3 * * *'")
    found = refused(connection, f"select pgagent.alter_schedule({schedule}, calendar => 'nothing')")
    assert (found.sqlstate, found.message) == (UNDEFINED, 'calendar "nothing" does not exist')


def test_what_is_due_stays_due(connection: Session, job: int) -> None:
    """Words change nothing in what is to come."""
    schedule = add(connection, "'0 3 * * *'")
    make_due(connection, job)
    due = value(connection, "select jobnextrun from pgagent.pga_job")
    connection.execute("select pgagent.alter_job('job', description => 'x', timeout => '1 min')")
    assert value(connection, "select jobnextrun from pgagent.pga_job") == due
    connection.execute("select pgagent.drop_schedule(%s)", (schedule,))
    assert value(connection, "select jobnextrun from pgagent.pga_job") is None


# drop_schedule


@pytest.mark.usefixtures("job")
def test_schedule_is_dropped(connection: Session) -> None:
    first, second = add(connection, "'0 3 * * *'"), add(connection, "'0 4 * * *'")
    connection.execute("select pgagent.drop_schedule(%s)", (first,))
    assert value(connection, "select jscid from pgagent.pga_schedule") == second


@pytest.mark.parametrize("call", ["alter_schedule({})", "drop_schedule({})"])
def test_schedule_that_does_not_exist(connection: Session, call: str) -> None:
    found = refused(connection, f"select pgagent.{call.format(4711)}")
    assert (found.sqlstate, found.message) == (UNDEFINED, "schedule 4711 does not exist")
    assert refused(connection, f"select pgagent.{call.format('null')}").sqlstate == NULL
