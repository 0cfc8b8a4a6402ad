"""Calendars that schedules share: what they take away, their functions, their rights, what happens at the same time."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from threading import Thread
from time import monotonic

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Database, add_exception, add_job, add_schedule, value, wait_until
from harness.people import People

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

AFTER = datetime(2031, 3, 3, 10, 0, tzinfo=timezone.utc)  # a Monday
NOON = AFTER + timedelta(hours=2)
DAY = timedelta(days=1)
ARRAYS = "jscid, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths"


def make_calendar(conn: Session, name: str = "closed", *dates: date) -> int:
    """Create a calendar by its function."""
    return int(value(conn, "select pgagent.create_calendar(%s, %s)", name, list(dates)))


def use(conn: Session, jscid: int, calendar: int | None) -> None:
    """Give a schedule a calendar."""
    conn.execute("update pgagent.pga_schedule set jsccalendar = %s where jscid = %s", (calendar, jscid))


def at_noon(conn: Session, calendar: int | None = None, *, name: str = "job", zone: str = "UTC") -> tuple[int, int]:
    """A job that runs every day at noon, with this calendar; its id and that of its schedule."""
    jobid = add_job(conn, name)
    jscid = add_schedule(conn, jobid, hours=[12], minutes=[0], zone=zone)
    use(conn, jscid, calendar)
    return jobid, jscid


def next_of(conn: Session, jobid: int) -> datetime | None:
    found: datetime | None = value(conn, "select jobnextrun from pgagent.pga_job where jobid = %s", jobid)
    return found


def noon_in(conn: Session, days: int) -> datetime:
    """The coming noon of UTC, so many days later."""
    now: datetime = value(conn, "select now()")
    noon = now.astimezone(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0)
    return noon + DAY * (days + (noon <= now))


def refusal(conn: Session, statement: str, *parameters: object) -> str | None:
    """The SQLSTATE with which a statement is refused. What it did otherwise is undone."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement, parameters or None)
    except psycopg.Error as error:
        return error.sqlstate
    return None


# What a calendar takes away


def test_no_run_on_the_dates_of_the_calendar(connection: Session) -> None:
    calendar = make_calendar(connection, "closed", AFTER.date(), (AFTER + DAY).date())
    jobid, jscid = at_noon(connection, calendar)
    assert value(connection, "select pgagent.next_run(%s, %s)", jscid, AFTER) == NOON + 2 * DAY
    add_exception(connection, jscid, (AFTER + 2 * DAY).date())
    assert value(connection, "select pgagent.next_run(%s, %s)", jscid, AFTER) == NOON + 3 * DAY
    upcoming = connection.execute("select run from pgagent.upcoming(%s, 2, %s)", (jobid, AFTER)).fetchall()
    assert upcoming == [(NOON + 3 * DAY,), (NOON + 4 * DAY,)]
    calendar_rows = connection.execute("select run from pgagent.calendar(%s, %s)", (AFTER, NOON + 4 * DAY)).fetchall()
    assert calendar_rows == upcoming
    use(connection, jscid, None)
    assert value(connection, "select pgagent.next_run(%s, %s)", jscid, AFTER) == NOON


def test_pgagents_function_heeds_it(connection: Session) -> None:
    _, jscid = at_noon(connection)
    connection.execute("set timezone = 'UTC'")
    statement = f"select pgagent.pga_next_schedule({ARRAYS}) from pgagent.pga_schedule where jscid = %s"
    first = value(connection, statement, jscid)
    use(connection, jscid, make_calendar(connection, "closed", first.astimezone(timezone.utc).date()))
    assert value(connection, statement, jscid) == first + DAY
    nobody = statement.replace("(jscid,", "(null,")
    assert value(connection, nobody, jscid) == first


def test_a_date_is_a_day_of_each_schedules_zone(connection: Session) -> None:
    calendar = make_calendar(connection, "closed", date(2031, 3, 4))
    runs = {}
    for zone in ("Asia/Tokyo", "America/New_York"):
        jobid = add_job(connection, zone)
        jscid = add_schedule(connection, jobid, hours=[0, 23], minutes=[0], zone=zone)
        use(connection, jscid, calendar)
        found = connection.execute("select run from pgagent.upcoming(%s, 2, %s)", (jobid, AFTER)).fetchall()
        runs[zone] = [run.astimezone(timezone.utc) for (run,) in found]
    assert runs == {
        "Asia/Tokyo": [datetime(2031, 3, day, 14, tzinfo=timezone.utc) for day in (3,)]
        + [datetime(2031, 3, 4, 15, tzinfo=timezone.utc)],
        "America/New_York": [
            datetime(2031, 3, 4, 4, tzinfo=timezone.utc),
            datetime(2031, 3, 5, 5, tzinfo=timezone.utc),
        ],
    }


def test_an_interval_passes_over_the_dates(connection: Session) -> None:
    calendar = make_calendar(connection, "closed", AFTER.date())
    jscid = add_schedule(connection, add_job(connection, "job"), interval="90 s", zone="UTC", start=AFTER)
    use(connection, jscid, calendar)
    assert value(connection, "select pgagent.next_run(%s, %s)", jscid, AFTER) == AFTER.replace(hour=0) + DAY


def test_very_many_dates_in_a_row_are_left_in_one_step(connection: Session) -> None:
    calendar = make_calendar(connection)
    for year in range(2031, 2131, 10):
        added = value(
            connection, "select pgagent.add_holiday('closed', %s, %s)", date(year, 3, 3), date(year + 10, 3, 2)
        )
        assert added >= 3651
    _, jscid = at_noon(connection, calendar)
    begun = monotonic()
    assert value(connection, "select pgagent.next_run(%s, %s)", jscid, AFTER) == NOON.replace(year=2131)
    assert monotonic() - begun < 2


def test_in_words(connection: Session) -> None:
    calendar = make_calendar(connection, "German holidays", AFTER.date())
    _, jscid = at_noon(connection, calendar)
    statement = "select pgagent.explain_schedule(%s, %s)"
    assert value(connection, statement, jscid, AFTER) == (
        'at 12:00 every day, not on dates of calendar "German holidays", UTC; next run 2031-03-04 12:00:00+00:00'
    )
    connection.execute("update pgagent.pga_schedule set jscend = %s", (NOON + timedelta(hours=1),))
    assert value(connection, statement, jscid, AFTER).endswith(
        'never runs: every run left before it ends on 2031-03-03 13:00 is on a date of calendar "German holidays"'
    )


def test_a_calendar_that_takes_the_last_run_away_warns(connection: Session) -> None:
    jobid = add_job(connection, "job")
    jscid = add_schedule(connection, jobid, start=AFTER, end=NOON, name="once", zone="UTC")
    use(connection, jscid, make_calendar(connection))
    warnings: list[tuple[str | None, str | None]] = []
    keep = lambda notice: warnings.append((notice.sqlstate, notice.message_primary))  # noqa: E731
    connection.add_notice_handler(keep)
    try:
        connection.execute("select pgagent.add_holiday('closed', %s)", (AFTER.date(),))
    finally:
        connection.remove_notice_handler(keep)
    assert [sqlstate for sqlstate, _ in warnings] == ["01000"]
    assert f'schedule "once" of job {jobid} never runs: ' in (warnings[0][1] or "")
    assert 'is on a date of calendar "closed"' in (warnings[0][1] or "")
    assert next_of(connection, jobid) is None


# Changes compute anew


def test_changes_of_the_dates_compute_the_jobs_anew(connection: Session) -> None:
    calendar = make_calendar(connection)
    first, second, third = (noon_in(connection, days) for days in range(3))
    jobs = [at_noon(connection, calendar, name=f"job {number}")[0] for number in range(3)]
    other = at_noon(connection, make_calendar(connection, "other"), name="other")[0]
    statements: list[tuple[str, tuple[object, ...], datetime]] = [
        ("select pgagent.add_holiday('closed', %s)", (first.date(),), second),
        ("update pgagent.pga_holiday set holdate = %s", (date(2000, 1, 1),), first),
        ("update pgagent.pga_holiday set holdate = %s", (first.date(),), second),
        ("select pgagent.add_holiday('closed', %s)", (second.date(),), third),
        ("select pgagent.drop_holiday('closed', %s)", (first.date(),), first),
        ("insert into pgagent.pga_holiday (holcalid, holdate) values (%s, %s)", (calendar, first.date()), third),
        ("delete from pgagent.pga_holiday", (), first),
    ]
    for statement, parameters, expected in statements:
        connection.execute(statement, parameters)
        assert [next_of(connection, jobid) for jobid in jobs] == [expected] * 3, statement
    assert next_of(connection, other) == first


def test_a_date_that_moves_counts_for_both_calendars(connection: Session) -> None:
    first, second = noon_in(connection, 0), noon_in(connection, 1)
    one, two = make_calendar(connection, "one", first.date()), make_calendar(connection, "two")
    jobs = [at_noon(connection, calendar, name=str(calendar))[0] for calendar in (one, two)]
    assert [next_of(connection, jobid) for jobid in jobs] == [second, first]
    connection.execute("update pgagent.pga_holiday set holcalid = %s", (two,))
    assert [next_of(connection, jobid) for jobid in jobs] == [first, second]


def test_a_time_asked_for_stays_where_only_names_change(connection: Session) -> None:
    calendar = make_calendar(connection, "closed", date(2000, 1, 1))
    jobid, _ = at_noon(connection, calendar)
    connection.execute("update pgagent.pga_job set jobnextrun = %s", (AFTER,))
    connection.execute("update pgagent.pga_calendar set calname = 'shut', caldesc = 'x'")
    connection.execute("update pgagent.pga_holiday set holname = 'Millennium'")
    connection.execute("select pgagent.create_calendar('another', '{2031-01-01}')")
    assert next_of(connection, jobid) == AFTER
    connection.execute("select pgagent.add_holiday('shut', '2000-01-02')")
    assert next_of(connection, jobid) == noon_in(connection, 0)


def test_many_schedules_share_a_calendar(connection: Session) -> None:
    calendar = make_calendar(connection)
    connection.execute(
        "insert into pgagent.pga_job (jobjclid, jobname) select 1, i::text from generate_series(1, 1000) i"
    )
    connection.execute(
        "insert into pgagent.pga_schedule (jscjobid, jscname, jsccalendar) select jobid, '', %s from pgagent.pga_job",
        (calendar,),
    )
    begun = monotonic()
    connection.execute("select pgagent.add_holiday('closed', current_date, current_date + 3000)")
    assert value(connection, "select min(jobnextrun) > now() + interval '2999 days' from pgagent.pga_job")
    assert monotonic() - begun < 5


# At the same time


def _waits_for_lock(conn: Session, pid: int) -> bool:
    return bool(value(conn, "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s", pid))


@pytest.mark.parametrize("is_schedule_first", [True, False])
def test_a_schedule_and_a_date_that_come_at_the_same_time(
    connection: Session, database: Database, is_schedule_first: bool
) -> None:
    """Whichever comes later sees the other one."""
    calendar = make_calendar(connection)
    jobid, jscid = at_noon(connection)
    both = [
        (f"update pgagent.pga_schedule set jsccalendar = {calendar} where jscid = {jscid}"),
        (f"select pgagent.add_holiday('closed', '{noon_in(connection, 0).date()}')"),
    ]
    earlier, later = both if is_schedule_first else reversed(both)
    with psycopg.connect(database.conninfo) as first, psycopg.connect(database.conninfo) as second:
        first.execute(earlier.encode())
        thread = Thread(target=second.execute, args=(later.encode(),))
        thread.start()
        wait_until(lambda: _waits_for_lock(connection, second.info.backend_pid), what="the later one to wait")
        first.commit()
        thread.join(30)
        second.commit()
    assert next_of(connection, jobid) == noon_in(connection, 1)


def test_two_sessions_add_to_one_calendar(connection: Session, database: Database) -> None:
    make_calendar(connection)
    with psycopg.connect(database.conninfo) as first, psycopg.connect(database.conninfo) as second:
        first.execute("select pgagent.add_holiday('closed', '2031-01-01')")
        thread = Thread(
            target=second.execute, args=(b"select pgagent.add_holiday('closed', '2031-01-01', '2031-01-02')",)
        )
        thread.start()
        wait_until(lambda: _waits_for_lock(connection, second.info.backend_pid), what="the second one to wait")
        first.execute("select pgagent.add_holiday('closed', '2031-01-03')")
        first.commit()
        thread.join(30)
        second.commit()
    assert value(connection, "select count(*) from pgagent.pga_holiday") == 3


# The functions


def test_dates_of_a_calendar(connection: Session) -> None:
    statement = "select pgagent.create_calendar('c', '{2031-05-02, 2031-05-01, 2031-05-02}', description => 'd')"
    calendar = value(connection, statement)
    row = connection.execute("select calid, calname, caldesc, calowner from pgagent.pga_calendar").fetchone()
    assert row == (calendar, "c", "d", "postgres")
    assert value(connection, "select pgagent.add_holiday('c', '2031-05-02', '2031-05-04', 'may')") == 2
    assert value(connection, "select pgagent.add_holiday(calendar => 'c', date => '2031-05-04')") == 0
    assert connection.execute("select holdate::text, holname from pgagent.pga_holiday order by 1").fetchall() == [
        ("2031-05-01", ""),
        ("2031-05-02", ""),
        ("2031-05-03", "may"),
        ("2031-05-04", "may"),
    ]
    assert value(connection, "select pgagent.drop_holiday('c', '2031-05-01')") == 1
    assert value(connection, "select pgagent.drop_holiday('c', '2031-05-01')") == 0
    assert value(connection, "select pgagent.drop_holiday('c', '2031-05-03', until => 'infinity')") == 2
    assert value(connection, "select pgagent.drop_calendar('c')") == ""
    assert value(connection, "select count(*) from pgagent.pga_holiday") == 0


def test_exceptions_of_a_schedule(connection: Session) -> None:
    _, jscid = at_noon(connection)
    assert value(connection, "select pgagent.add_exception(%s, '2031-01-01')", jscid) == 1
    assert value(connection, "select pgagent.add_exception(%s, '2031-01-01', until => '2031-01-03')", jscid) == 2
    assert value(connection, "select pgagent.add_exception(%s, at => '11:00')", jscid) == 1
    assert value(connection, "select pgagent.add_exception(%s, '2031-02-01', '2031-02-02', '12:00')", jscid) == 2
    assert value(connection, "select pgagent.add_exceptions(%s, '{2031-01-03, 2031-04-01, 2031-04-01}')", jscid) == 1
    query = (
        "select coalesce(jexdate::text, '') || ' ' || coalesce(jextime::text, '') from pgagent.pga_exception order by 1"
    )
    assert [row[0] for row in connection.execute(query)] == [
        " 11:00:00",
        "2031-01-01 ",
        "2031-01-02 ",
        "2031-01-03 ",
        "2031-02-01 12:00:00",
        "2031-02-02 12:00:00",
        "2031-04-01 ",
    ]
    for statement in (
        "select pgagent.drop_exception(%s, '2031-01-01')",
        "select pgagent.drop_exception(%s, at => '11:00')",
        "select pgagent.drop_exception(%s, '2031-02-01', '12:00')",
    ):
        assert [value(connection, statement, jscid) for _ in range(2)] == [1, 0]
    assert value(connection, "select count(*) from pgagent.pga_exception") == 4


def test_an_exception_by_function_moves_the_next_run(connection: Session) -> None:
    jobid, jscid = at_noon(connection)
    connection.execute("select pgagent.add_exception(%s, %s)", (jscid, noon_in(connection, 0).date()))
    assert next_of(connection, jobid) == noon_in(connection, 1)
    connection.execute("select pgagent.drop_exception(%s, %s)", (jscid, noon_in(connection, 0).date()))
    assert next_of(connection, jobid) == noon_in(connection, 0)


REFUSALS = [
    ("create_calendar('closed')", "42710"),
    ("create_calendar('')", "22023"),
    ("create_calendar(null)", "22004"),
    ("create_calendar('x', null)", "22004"),
    ("create_calendar('x', description => null)", "22004"),
    ("create_calendar('x', array[null]::date[])", "22004"),
    ("create_calendar('x', '{infinity}')", "22023"),
    ("create_calendar('x', '{0044-03-15 BC}')", "22023"),
    ("create_calendar('x', '{10000-01-01}')", "22023"),
    ("drop_calendar('nothing')", "42704"),
    ("drop_calendar(null)", "22004"),
    ("drop_calendar('closed')", "2BP01"),
    ("add_holiday('nothing', '2031-01-01')", "42704"),
    ("add_holiday(null, '2031-01-01')", "22004"),
    ("add_holiday('closed', null)", "22004"),
    ("add_holiday('closed', '2031-01-01', name => null)", "22004"),
    ("add_holiday('closed', '2031-01-01', '2030-12-31')", "22023"),
    ("add_holiday('closed', '2031-01-01', '2041-01-08')", "22023"),
    ("add_holiday('closed', '2031-01-01', 'infinity')", "22023"),
    ("drop_holiday('nothing', '2031-01-01')", "42704"),
    ("drop_holiday(null, '2031-01-01')", "22004"),
    ("drop_holiday('closed', null)", "22004"),
    ("drop_holiday('closed', '2031-01-01', '2030-12-31')", "22023"),
    ("add_exception(4711, '2031-01-01')", "42704"),
    ("add_exception(null, '2031-01-01')", "22004"),
    ("add_exception(SCHEDULE)", "22023"),
    ("add_exception(SCHEDULE, until => '2031-01-01', at => '12:00')", "22023"),
    ("add_exception(SCHEDULE, '2031-01-01', '2030-01-01')", "22023"),
    ("add_exception(SCHEDULE, 'infinity')", "22023"),
    ("add_exception(SCHEDULE, at => '12:00:30')", "22023"),
    ("add_exception(SCHEDULE, at => '24:00')", "22023"),
    ("add_exceptions(4711, '{2031-01-01}')", "42704"),
    ("add_exceptions(null, '{2031-01-01}')", "22004"),
    ("add_exceptions(SCHEDULE, null)", "22004"),
    ("add_exceptions(SCHEDULE, array[null]::date[])", "22004"),
    ("add_exceptions(SCHEDULE, '{infinity}')", "22023"),
    ("drop_exception(4711, '2031-01-01')", "42704"),
    ("drop_exception(null, '2031-01-01')", "22004"),
    ("drop_exception(SCHEDULE)", "22023"),
]


def test_refusals(connection: Session) -> None:
    _, jscid = at_noon(connection, make_calendar(connection))
    found = {
        call: refusal(connection, f"select pgagent.{call.replace('SCHEDULE', str(jscid))}") for call, _ in REFUSALS
    }
    assert found == dict(REFUSALS)


def test_tables_refuse_what_the_functions_refuse(connection: Session) -> None:
    calendar = make_calendar(connection, "closed", date(2031, 1, 1))
    for values, sqlstate in {
        f"({calendar}, '2031-01-01')": "23505",
        f"({calendar}, 'infinity')": "23514",
        f"({calendar}, null)": "23502",
        "(4711, '2031-01-01')": "23503",
    }.items():
        assert refusal(connection, f"insert into pgagent.pga_holiday (holcalid, holdate) values {values}") == sqlstate
    assert refusal(connection, "insert into pgagent.pga_calendar (calname) values ('closed')") == "23505"
    assert refusal(connection, "insert into pgagent.pga_calendar (calname) values ('')") == "23514"


def test_a_calendar_in_use_says_by_what(connection: Session) -> None:
    calendar = make_calendar(connection)
    schedules = [at_noon(connection, calendar, name=f"job {number}")[1] for number in range(12)]
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as caught:
        connection.execute("select pgagent.drop_calendar('closed')")
    assert caught.value.diag.message_primary == 'cannot drop calendar "closed" because schedules use it'
    detail = caught.value.diag.message_detail or ""
    assert detail.startswith(
        f'It is used by schedule {schedules[0]} of job "job 0", schedule {schedules[1]} of job "job 1"'
    )
    assert detail.endswith(f'schedule {schedules[9]} of job "job 9" and 2 more.')
    connection.execute("delete from pgagent.pga_job")
    connection.execute("select pgagent.drop_calendar('closed')")
    assert value(connection, "select count(*) from pgagent.pga_calendar") == 0


# Rights

DENIED = "42501"


def test_everybody_who_has_jobs_creates_and_uses_calendars(connection: Session, people: People) -> None:
    bob, alice = people.log_in("bob"), people.log_in("alice")
    calendar = make_calendar(bob, "bob's", noon_in(connection, 0).date())
    assert value(alice, "select calowner || ' ' || calname from pgagent.pga_calendar") == "bob bob's"
    jobid, jscid = at_noon(alice, calendar, name="alice's")
    assert next_of(alice, jobid) == noon_in(connection, 1)
    assert 'calendar "bob\'s"' in value(alice, "select pgagent.explain_schedule(%s)", jscid)
    bob.execute("select pgagent.add_holiday('bob''s', %s)", (noon_in(connection, 1).date(),))
    assert next_of(alice, jobid) == noon_in(connection, 2)
    assert value(alice, "select pgagent.next_run(%s)", jscid) == noon_in(connection, 2)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as caught:
        bob.execute("select pgagent.drop_calendar('bob''s')")
    assert caught.value.diag.message_detail == "They are of jobs that the caller does not see."


def test_only_owner_members_and_administrators_change_a_calendar(connection: Session, people: People) -> None:
    make_calendar(people.log_in("bob"), "bob's", date(2031, 1, 1))
    make_calendar(connection, "team's", date(2031, 1, 1))
    connection.execute("update pgagent.pga_calendar set calowner = 'team' where calname = 'team''s'")
    expected = {
        "bob's": {"bob": None, "dba": None, "alice": DENIED, "ticker": DENIED, "stranger": DENIED},
        "team's": {"bob": DENIED, "dba": None, "alice": None, "ticker": DENIED, "stranger": DENIED},
    }
    for name, results in expected.items():
        for call in (
            "add_holiday(%s, '2031-01-02')",
            "drop_holiday(%s, '2031-01-01')",
            "drop_calendar(%s)",
        ):
            found = {role: refusal(people.log_in(role), f"select pgagent.{call}", name) for role in results}
            assert found == results, call


def test_rows_of_others_calendars_are_out_of_reach(connection: Session, people: People) -> None:
    calendar = make_calendar(connection, "closed", date(2031, 1, 1))
    own = make_calendar(people.log_in("alice"), "alice's", date(2031, 1, 1))
    alice = people.log_in("alice")
    for statement in (
        "update pgagent.pga_holiday set holname = 'x' where holcalid = %s",
        "delete from pgagent.pga_holiday where holcalid = %s",
        "update pgagent.pga_calendar set calname = 'x' where calid = %s",
        "delete from pgagent.pga_calendar where calid = %s",
        "select from pgagent.pga_calendar where calid = %s for update",
    ):
        for role, count in (("alice", 0), ("dba", 1)):
            with people.log_in(role).transaction(force_rollback=True):
                assert people.sessions_of(role)[-1].execute(statement, (calendar,)).rowcount == count, statement
    for statement in (
        f"insert into pgagent.pga_holiday (holcalid, holdate) values ({calendar}, '2031-01-02')",
        f"update pgagent.pga_holiday set holcalid = {calendar} where holcalid = {own}",
        (
            f"insert into pgagent.pga_holiday (holcalid, holdate) values ({calendar}, '2031-01-01')"
            " on conflict (holcalid, holdate) do update set holname = 'x'"
        ),
        "insert into pgagent.pga_calendar (calname, calowner) values ('x', 'bob')",
        "insert into pgagent.pga_calendar (calid, calname) values (4711, 'x')",
        f"update pgagent.pga_calendar set calid = 4711 where calid = {own}",
        f"update pgagent.pga_holiday set holid = 4711 where holcalid = {own}",
        "truncate pgagent.pga_calendar cascade",
    ):
        assert refusal(alice, statement) == DENIED, statement


def test_the_owner_of_a_calendar_is_guarded(connection: Session, people: People) -> None:
    alice = people.log_in("alice")
    make_calendar(alice, "alice's")
    give = "update pgagent.pga_calendar set calowner = %s"
    found = {
        (role, owner): refusal(conn, give, owner)
        for role, conn in (("alice", alice), ("dba", people.log_in("dba")), ("postgres", connection))
        for owner in ("team", "bob", "no such role")
    }
    assert found == {
        ("alice", "team"): None,
        ("alice", "bob"): DENIED,
        ("alice", "no such role"): "42704",
        ("dba", "team"): DENIED,
        ("dba", "bob"): DENIED,
        ("dba", "no such role"): "42704",
        ("postgres", "team"): None,
        ("postgres", "bob"): None,
        ("postgres", "no such role"): "42704",
    }


def test_exceptions_of_others_schedules_are_out_of_reach(people: People) -> None:
    bob = people.log_in("bob")
    _, jscid = at_noon(bob)
    calls = (
        "add_exception(%s, '2031-01-01')",
        "add_exceptions(%s, '{2031-01-01}')",
        "drop_exception(%s, '2031-01-01')",
    )
    for role, expected in {"bob": None, "dba": None, "alice": "42704", "ticker": DENIED, "stranger": DENIED}.items():
        found = [refusal(people.log_in(role), f"select pgagent.{call}", jscid) for call in calls]
        assert found == [expected] * len(calls), role


def test_a_refusal_says_whose_calendar_it_is(connection: Session, people: People) -> None:
    make_calendar(connection)
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        people.log_in("alice").execute("select pgagent.add_holiday('closed', '2031-01-01')")
    assert caught.value.diag.message_primary == 'permission denied for calendar "closed"'
    assert caught.value.diag.message_detail == 'It belongs to role "postgres".'
