"""When a job's next run is computed, kept, cleared; run now; who may claim; what is told by NOTIFY."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from time import monotonic

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, Database, add_exception, add_job, add_schedule, make_due, runs, sql_step, wait_until

FAR = datetime(2040, 5, 6, 7, 8, 9, tzinfo=timezone.utc)


def at_month_starts(conn: Connection[TupleRow], jobid: int) -> int:
    """A schedule so rare that no test sees its next run pass."""
    return add_schedule(conn, jobid, minutes=[0], hours=[0], monthdays=[1])


def next_of(conn: Connection[TupleRow], jobid: int) -> datetime | None:
    row = conn.execute("select jobnextrun from pgagent.pga_job where jobid = %s", (jobid,)).fetchone()
    assert row is not None
    nextrun: datetime | None = row[0]
    return nextrun


def now_of(conn: Connection[TupleRow]) -> datetime:
    row = conn.execute("select now()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def next_month_start(conn: Connection[TupleRow], day: int = 1) -> datetime:
    row = conn.execute(
        "select d at time zone 'UTC' from generate_series(date_trunc('day', now() at time zone 'UTC') + '1 day',"
        " now() at time zone 'UTC' + '40 days', '1 day') d where extract(day from d) = %s limit 1",
        (day,),
    ).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def claim(conn: Connection[TupleRow], jobid: int) -> None:
    """Claim a job as an agent does, in the name of this session."""
    conn.execute(
        "insert into pgagent.pga_jobagent (jagpid, jagstation) values (pg_backend_pid(), 'here') on conflict do nothing"
    )
    claimed = conn.execute(
        "update pgagent.pga_job set jobagentid = pg_backend_pid(), joblastrun = now()"
        " where jobagentid is null and jobid = %s",
        (jobid,),
    )
    assert claimed.rowcount == 1


def release(conn: Connection[TupleRow], jobid: int) -> None:
    conn.execute("update pgagent.pga_job set jobagentid = null, jobnextrun = null where jobid = %s", (jobid,))


def received(conn: Connection[TupleRow], channel: str) -> bool:
    """Whether there are notifications on the channel; reads away those that have come."""
    return channel in [note.channel for note in conn.notifies(timeout=0.2, stop_after=1)]


@pytest.fixture(scope="module")
def of_module(cluster: Cluster) -> Iterator[Connection[TupleRow]]:
    """A session in a database of the module, with job 1."""
    made = cluster.create_database("of_triggers")
    with cluster.connect(made.name) as conn:
        add_job(conn, "job", sql_step("select 1"))
        yield conn
    cluster.drop_database(made.name)


@pytest.fixture
def shared(of_module: Connection[TupleRow]) -> Iterator[Connection[TupleRow]]:
    """That session; the schedules that a test adds are gone after it."""
    yield of_module
    of_module.execute("delete from pgagent.pga_schedule")


@pytest.fixture
def job(connection: Connection[TupleRow]) -> int:
    """A job with a step and no schedule."""
    return add_job(connection, "job", sql_step("select 1"))


def test_inserting_a_job_computes_nothing(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "job")
    assert next_of(connection, jobid) is None
    connection.execute("insert into pgagent.pga_job (jobjclid, jobname, jobnextrun) values (1, 'given', %s)", (FAR,))
    assert next_of(connection, jobid + 1) == FAR


def test_no_schedule_means_no_next_run(connection: Connection[TupleRow], job: int) -> None:
    connection.execute("update pgagent.pga_job set jobnextrun = null")
    assert next_of(connection, job) is None


def test_schedule_inserted_changed_deleted(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, minutes=[0], hours=[0], monthdays=[1])
    assert next_of(connection, job) == next_month_start(connection)
    connection.execute(
        "update pgagent.pga_schedule set jscmonthdays[1] = false, jscmonthdays[15] = true where jscid = %s", (jscid,)
    )
    assert next_of(connection, job) == next_month_start(connection, 15)
    connection.execute("update pgagent.pga_schedule set jscenabled = false")
    assert next_of(connection, job) is None
    connection.execute("update pgagent.pga_schedule set jscenabled = true")
    assert next_of(connection, job) == next_month_start(connection, 15)
    connection.execute("delete from pgagent.pga_schedule")
    assert next_of(connection, job) is None


def test_exception_inserted_changed_deleted(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, minutes=[0], hours=[0], monthdays=[1, 15])
    first, second = sorted([next_month_start(connection, 1), next_month_start(connection, 15)])
    assert next_of(connection, job) == first
    jexid = add_exception(connection, jscid, first.date())
    assert next_of(connection, job) == second
    connection.execute("update pgagent.pga_exception set jexdate = '2000-01-01' where jexid = %s", (jexid,))
    assert next_of(connection, job) == first
    connection.execute("update pgagent.pga_exception set jexdate = %s, jextime = '00:00'", (first.date(),))
    assert next_of(connection, job) == second
    connection.execute("delete from pgagent.pga_exception")
    assert next_of(connection, job) == first


def test_exception_that_takes_away_every_run_gives_null_at_once(connection: Connection[TupleRow], job: int) -> None:
    jscid = add_schedule(connection, job, minutes=[0], hours=[12])
    started = monotonic()
    add_exception(connection, jscid, at=time(12, 0))
    assert next_of(connection, job) is None
    assert monotonic() - started < 1


def test_schedule_that_moves_counts_for_both_jobs(connection: Connection[TupleRow], job: int) -> None:
    other = add_job(connection, "other")
    jscid = at_month_starts(connection, job)
    connection.execute("update pgagent.pga_schedule set jscjobid = %s where jscid = %s", (other, jscid))
    assert next_of(connection, job) is None
    assert next_of(connection, other) == next_month_start(connection)


def test_exception_that_moves_counts_for_both_jobs(connection: Connection[TupleRow], job: int) -> None:
    other = add_job(connection, "other")
    first = add_schedule(connection, job, minutes=[0], hours=[12])
    second = add_schedule(connection, other, minutes=[0], hours=[12])
    jexid = add_exception(connection, first, at=time(12, 0))
    assert next_of(connection, job) is None
    nextrun = next_of(connection, other)
    connection.execute("update pgagent.pga_exception set jexscid = %s where jexid = %s", (second, jexid))
    assert (next_of(connection, job), next_of(connection, other)) == (nextrun, None)


def test_disabling_clears_and_enabling_computes(connection: Connection[TupleRow], job: int) -> None:
    at_month_starts(connection, job)
    connection.execute("update pgagent.pga_job set jobenabled = false")
    assert next_of(connection, job) is None
    make_due(connection, job)
    assert next_of(connection, job) is None
    connection.execute("update pgagent.pga_schedule set jscdesc = 'changed'")
    assert next_of(connection, job) is None
    connection.execute("update pgagent.pga_job set jobenabled = true")
    assert next_of(connection, job) == next_month_start(connection)


def test_explicit_value_is_kept_and_null_computes(connection: Connection[TupleRow], job: int) -> None:
    at_month_starts(connection, job)
    connection.execute("update pgagent.pga_job set jobnextrun = %s", (FAR,))
    connection.execute("update pgagent.pga_job set jobname = 'renamed'")
    assert next_of(connection, job) == FAR
    connection.execute("update pgagent.pga_job set jobnextrun = 'infinity'")
    row = connection.execute("select jobnextrun = 'infinity' from pgagent.pga_job").fetchone()
    assert row == (True,)
    connection.execute("update pgagent.pga_job set jobnextrun = null")
    assert next_of(connection, job) == next_month_start(connection)


def test_two_schedules_take_the_earliest(connection: Connection[TupleRow], job: int) -> None:
    late = at_month_starts(connection, job)
    early = add_schedule(connection, job, minutes=[0])
    hour = now_of(connection).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    assert next_of(connection, job) == hour
    connection.execute("delete from pgagent.pga_schedule where jscid = %s", (early,))
    assert next_of(connection, job) == next_month_start(connection)
    connection.execute("update pgagent.pga_schedule set jscend = now() where jscid = %s", (late,))
    assert next_of(connection, job) is None


def test_schedule_that_cannot_match_does_not_hinder_its_sibling(connection: Connection[TupleRow], job: int) -> None:
    at_month_starts(connection, job)
    add_schedule(connection, job, monthdays=[31], months=[4])
    assert next_of(connection, job) == next_month_start(connection)


def test_many_schedules_in_one_statement(connection: Connection[TupleRow]) -> None:
    started = monotonic()
    connection.execute(
        "with job as (insert into pgagent.pga_job (jobjclid, jobname)"
        " select 1, 'job ' || i from generate_series(1, 1000) i returning jobid) select count(*) from job"
    )
    connection.execute("insert into pgagent.pga_schedule (jscjobid, jscname) select jobid, 'all' from pgagent.pga_job")
    row = connection.execute(
        "select count(*), count(distinct jobnextrun), min(jobnextrun) > now() from pgagent.pga_job"
        " where jobnextrun is not null"
    ).fetchone()
    assert row == (1000, 1, True)
    connection.execute(
        "insert into pgagent.pga_exception (jexscid, jextime) select jscid, '10:00' from pgagent.pga_schedule"
    )
    connection.execute("delete from pgagent.pga_job")
    assert monotonic() - started < 10


@pytest.mark.usefixtures("job")
def test_statement_that_touches_no_row(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.pga_schedule set jscdesc = 'x'")
    connection.execute("delete from pgagent.pga_schedule")
    connection.execute("update pgagent.pga_exception set jextime = null")
    connection.execute("insert into pgagent.pga_exception (jexscid) select jscid from pgagent.pga_schedule")


def test_deleting_a_job_with_schedules(connection: Connection[TupleRow], job: int) -> None:
    for minute in (1, 2, 3):
        add_exception(connection, add_schedule(connection, job, minutes=[minute]), at=time(1, minute))
    connection.execute("delete from pgagent.pga_job")
    row = connection.execute("select count(*) from pgagent.pga_exception").fetchone()
    assert row == (0,)


def test_statement_that_rolls_back_leaves_the_next_run(connection: Connection[TupleRow], job: int) -> None:
    with connection.transaction(force_rollback=True):
        add_schedule(connection, job, minutes=[0])
        assert next_of(connection, job) is not None
    assert next_of(connection, job) is None


ODD_ARRAYS = [
    ("null elements", "array_fill(null::bool, array[60])"),
    ("some null elements", "array_fill(null::bool, array[59]) || true"),
    ("no elements", "'{}'"),
    ("two dimensions", "array_fill(true, array[60, 2])"),
    ("other bounds", f"'[0:60]={{{','.join('t' * 61)}}}'"),
    ("one element at 60", "'[60:60]={t}'"),
]


@pytest.mark.parametrize("array", [array for _, array in ODD_ARRAYS], ids=[name for name, _ in ODD_ARRAYS])
def test_triggers_take_every_array_that_the_table_accepts(shared: Connection[TupleRow], array: str) -> None:
    shared.execute(
        f"insert into pgagent.pga_schedule (jscjobid, jscname, jscminutes) values (%s, 'odd', {array})", (1,)
    )
    assert next_of(shared, 1) is not None


def test_array_with_other_bounds_is_read_by_its_subscripts(shared: Connection[TupleRow]) -> None:
    shared.execute(
        "insert into pgagent.pga_schedule (jscjobid, jscname, jscminutes) values (%s, 'odd', '[60:60]={t}')", (1,)
    )
    nextrun = next_of(shared, 1)
    assert nextrun is not None
    assert nextrun.minute == 59


@pytest.mark.parametrize("start", ["infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31 00:00:00+00"])
@pytest.mark.parametrize("end", ["infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31 00:00:00+00"])
def test_triggers_take_every_instant(shared: Connection[TupleRow], start: str, end: str) -> None:
    shared.execute(
        "insert into pgagent.pga_schedule (jscjobid, jscname, jscstart, jscend) values (1, 'odd', %s, %s)", (start, end)
    )
    runs_now = start.startswith(("-", "4713")) and not end.startswith(("-", "4713"))
    assert (next_of(shared, 1) is not None) == runs_now


@pytest.mark.parametrize("day", ["infinity", "-infinity", "0044-03-15 BC", "4713-11-24 BC", "5874897-12-31"])
def test_triggers_take_every_date(shared: Connection[TupleRow], day: str) -> None:
    jscid = at_month_starts(shared, 1)
    shared.execute("insert into pgagent.pga_exception (jexscid, jexdate) values (%s, %s)", (jscid, day))
    assert next_of(shared, 1) == next_month_start(shared)


@pytest.mark.parametrize("moment", ["24:00", "00:00:00.000001", "00:00:30", "23:59:59.999999"])
def test_triggers_take_every_time(shared: Connection[TupleRow], moment: str) -> None:
    jscid = at_month_starts(shared, 1)
    shared.execute("insert into pgagent.pga_exception (jexscid, jextime) values (%s, %s)", (jscid, moment))
    assert next_of(shared, 1) == next_month_start(shared)


@pytest.mark.parametrize(
    ("datestyle", "zone"),
    [("SQL, DMY", "Asia/Kolkata"), ("German", "America/St_Johns"), ("Postgres, MDY", "Pacific/Apia")],
)
def test_session_settings_do_not_matter(connection: Connection[TupleRow], datestyle: str, zone: str) -> None:
    connection.execute("update pgagent.settings set timezone = 'America/New_York'")
    jobids = [add_job(connection, "here"), add_job(connection, "there")]
    for jobid in jobids:
        if jobid == jobids[1]:
            connection.execute("select set_config('datestyle', %s, false)", (datestyle,))
            connection.execute("select set_config('timezone', %s, false)", (zone,))
            connection.execute("set intervalstyle = 'iso_8601'")
            connection.execute("set extra_float_digits = -15")
        jscid = add_schedule(connection, jobid, minutes=[5], hours=[7], monthdays=[3, 20])
        add_exception(connection, jscid, date(2031, 2, 3), time(7, 5))
    row = connection.execute(
        "select count(distinct jobnextrun), min(to_char(jobnextrun at time zone 'America/New_York', 'HH24:MI'))"
        " from pgagent.pga_job"
    ).fetchone()
    assert row == (1, "07:05")


@pytest.mark.parametrize(("day", "at"), [("2031-01-01", "10:00"), ("2031-01-01", None), (None, "10:00"), (None, None)])
def test_exceptions_are_unique_within_a_schedule_only(
    shared: Connection[TupleRow], day: str | None, at: str | None
) -> None:
    first, second = (add_schedule(shared, 1, minutes=[minute]) for minute in (1, 2))
    insert = "insert into pgagent.pga_exception (jexscid, jexdate, jextime) values (%s, %s, %s)"
    shared.execute(insert, (first, day, at))
    shared.execute(insert, (second, day, at))
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        shared.execute(insert, (first, day, at))
    assert caught.value.diag.constraint_name == "pga_exception_datetime"


@pytest.mark.parametrize(("day", "at"), [("2000-01-01", "00:00"), ("2000-01-01", None), (None, "00:00"), (None, None)])
def test_nulls_in_exceptions_are_not_taken_for_values(
    shared: Connection[TupleRow], day: str | None, at: str | None
) -> None:
    jscid = add_schedule(shared, 1, minutes=[1])
    everything = [("2000-01-01", "00:00"), ("2000-01-01", None), (None, "00:00"), (None, None)]
    insert = "insert into pgagent.pga_exception (jexscid, jexdate, jextime) values (%s, %s, %s)"
    for pair in everything:
        if pair != (day, at):
            shared.execute(insert, (jscid, *pair))
    shared.execute(insert, (jscid, day, at))


def test_run_now_during_a_run_is_honoured_after_it(connection: Connection[TupleRow], job: int) -> None:
    at_month_starts(connection, job)
    make_due(connection, job)
    claim(connection, job)
    make_due(connection, job)
    row = connection.execute("select jobrequested = jobnextrun, jobrequested <= now() from pgagent.pga_job").fetchone()
    assert row == (True, True)
    release(connection, job)
    row = connection.execute("select jobrequested, jobnextrun <= now(), jobagentid from pgagent.pga_job").fetchone()
    assert row == (None, True, None)
    claim(connection, job)
    release(connection, job)
    assert next_of(connection, job) == next_month_start(connection)


def test_run_now_during_a_real_run_makes_one_more(database: Database, connection: Connection[TupleRow]) -> None:
    add_job(connection, "job", sql_step("select pg_advisory_lock_shared(4711)"))
    connection.execute("select pg_advisory_lock(4711)")
    make_due(connection, 1)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        assert engine.execute("select status from pgagent.run_due('0.1 s')").fetchall() == [("running",)]
        make_due(connection, 1)
        assert [run.status for run in runs(connection, 1)] == ["r"]
        connection.execute("select pg_advisory_unlock(4711)")

        def ended() -> bool:
            engine.execute("select from pgagent.run_due('1 s')")
            return [run.status for run in runs(connection, 1)] == ["s", "s"]

        wait_until(ended, what="two runs")
        engine.execute("select from pgagent.run_due('1 s')")
    assert len(runs(connection, 1)) == 2
    assert next_of(connection, 1) is None


def test_schedule_changed_during_a_run_counts_after_it(connection: Connection[TupleRow], job: int) -> None:
    make_due(connection, job)
    claim(connection, job)
    at_month_starts(connection, job)
    row = connection.execute("select jobrequested from pgagent.pga_job").fetchone()
    assert row == (None,)
    release(connection, job)
    assert next_of(connection, job) == next_month_start(connection)


def test_job_disabled_during_a_run_stays_so(connection: Connection[TupleRow], job: int) -> None:
    at_month_starts(connection, job)
    make_due(connection, job)
    claim(connection, job)
    make_due(connection, job)
    connection.execute("update pgagent.pga_job set jobenabled = false")
    release(connection, job)
    row = connection.execute("select jobnextrun, jobrequested, jobagentid from pgagent.pga_job").fetchone()
    assert row == (None, None, None)


def test_time_given_with_the_end_of_a_run_is_kept(connection: Connection[TupleRow], job: int) -> None:
    make_due(connection, job)
    claim(connection, job)
    connection.execute("update pgagent.pga_job set jobagentid = null, jobnextrun = %s", (FAR,))
    assert next_of(connection, job) == FAR


def test_deleted_agent_frees_its_jobs_without_a_second_run(connection: Connection[TupleRow], job: int) -> None:
    at_month_starts(connection, job)
    make_due(connection, job)
    claim(connection, job)
    connection.execute("delete from pgagent.pga_jobagent")
    row = connection.execute("select jobagentid from pgagent.pga_job").fetchone()
    assert row == (None,)
    assert next_of(connection, job) == next_month_start(connection)


@pytest.mark.parametrize("state", ["jobnextrun = now() + '1 min'", "jobnextrun = null", "jobenabled = false"])
def test_table_refuses_the_claim_of_a_job_that_is_not_due(
    connection: Connection[TupleRow], job: int, state: str
) -> None:
    connection.execute(f"update pgagent.pga_job set {state}")
    connection.execute("insert into pgagent.pga_jobagent (jagpid, jagstation) values (pg_backend_pid(), 'here')")
    claimed = connection.execute("update pgagent.pga_job set jobagentid = pg_backend_pid() where jobid = %s", (job,))
    assert claimed.rowcount == 0


def test_claimed_job_is_never_inserted(connection: Connection[TupleRow]) -> None:
    connection.execute("insert into pgagent.pga_jobagent (jagpid, jagstation) values (pg_backend_pid(), 'here')")
    connection.execute(
        "insert into pgagent.pga_job (jobjclid, jobname, jobagentid, jobrequested)"
        " values (1, 'a', pg_backend_pid(), now())"
    )
    row = connection.execute("select jobagentid, jobrequested from pgagent.pga_job").fetchone()
    assert row == (None, None)


NOTIFYING = [
    "insert into pgagent.pga_job (jobjclid, jobname, jobnextrun) values (1, 'new', now())",
    "update pgagent.pga_job set jobnextrun = now()",
    "update pgagent.pga_job set jobenabled = false; update pgagent.pga_job set jobenabled = true",
    "insert into pgagent.pga_schedule (jscjobid, jscname) values (1, 'all')",
    "update pgagent.pga_schedule set jscmonthdays = default",
    "delete from pgagent.pga_exception",
    "delete from pgagent.pga_schedule",
]


@pytest.mark.parametrize("statement", NOTIFYING)
def test_change_of_what_is_due_is_told(shared: Connection[TupleRow], statement: str) -> None:
    jscid = at_month_starts(shared, 1)
    add_exception(shared, jscid, next_month_start(shared).date())
    with psycopg.connect(shared.info.dsn, autocommit=True) as listener:
        listener.execute("listen pgagent_due")
        for part in statement.split(";"):
            shared.execute(part)
        assert received(listener, "pgagent_due")


def test_run_now_during_a_run_is_told_when_the_run_ends(
    database: Database, connection: Connection[TupleRow], job: int
) -> None:
    make_due(connection, job)
    claim(connection, job)
    make_due(connection, job)
    with psycopg.connect(database.conninfo, autocommit=True) as listener:
        listener.execute("listen pgagent_due")
        release(connection, job)
        assert received(listener, "pgagent_due")


def test_change_of_a_description_is_not_told(database: Database, connection: Connection[TupleRow], job: int) -> None:
    at_month_starts(connection, job)
    with psycopg.connect(database.conninfo, autocommit=True) as listener:
        listener.execute("listen pgagent_due")
        connection.execute("update pgagent.pga_job set jobdesc = 'text'")
        connection.execute("update pgagent.pga_jobstep set jstcode = 'select 2'")
        assert not received(listener, "pgagent_due")


def test_unknown_schedule(connection: Connection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject) as caught:
        connection.execute("select pgagent.next_run(4711)")
    assert "schedule 4711 does not exist" in (caught.value.diag.message_primary or "")
    assert caught.value.diag.message_hint


def test_next_due_is_the_earliest_that_this_station_may_run(connection: Connection[TupleRow]) -> None:
    anywhere, here = add_job(connection, "anywhere"), add_job(connection, "here", host="here")
    assert connection.execute("select pgagent.next_due()").fetchone() == (None,)
    connection.execute("update pgagent.pga_job set jobnextrun = %s where jobid = %s", (FAR, anywhere))
    sooner = FAR - timedelta(days=1)
    connection.execute("update pgagent.pga_job set jobnextrun = %s where jobid = %s", (sooner, here))
    row = connection.execute("select pgagent.next_due(), pgagent.next_due('here'), pgagent.next_due('HERE')").fetchone()
    assert row == (FAR, sooner, FAR)
    connection.execute("update pgagent.pga_job set jobnextrun = 'infinity'")
    assert connection.execute("select pgagent.next_due('here')").fetchone() == (None,)


@pytest.mark.parametrize(("ahead", "waits"), [("10 minutes", True), ("2 hours", True), ("1 day", False)])
def test_clock_put_back_runs_no_time_twice(connection: Connection, ahead: str, waits: bool) -> None:
    """The last run began in what is the future now. A day ahead: the clock was wrong then, the job is not held up."""
    jobid = add_job(connection, "job")
    add_schedule(connection, jobid)
    (later,) = connection.execute(
        """
        update pgagent.pga_job set joblastrun = clock_timestamp() + %s::interval, jobnextrun = null where jobid = %s
        returning jobnextrun > joblastrun
        """,
        (ahead, jobid),
    ).fetchall()
    assert later == (False,)
    connection.execute("update pgagent.pga_job set jobnextrun = null where jobid = %s", (jobid,))
    (later,) = connection.execute("select jobnextrun > joblastrun from pgagent.pga_job").fetchall()
    assert later == (waits,)
