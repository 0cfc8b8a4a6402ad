"""What the clients of schema pgagent do with it: pgAdmin 4, DBeaver, psycopg, the C++ daemon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from harness import Database, add_exception, add_job, add_schedule, make_due, runs, sql_step, step_logs, wait_until

XMIN_IS_OURS = "xmin::text = (txid_current() % (2^32)::bigint)::text"
FIND_NEW_JOB = f"select jobid from pgagent.pga_job where {XMIN_IS_OURS}"
FIND_NEW_SCHEDULE = f"select jscid from pgagent.pga_schedule where {XMIN_IS_OURS}"


def flags(size: int, *chosen: int) -> str:
    """An array as pgAdmin writes it, all elements spelled out."""
    return "{" + ",".join("t" if number in chosen else "f" for number in range(size)) + "}"


PGADMIN_JOB = f"""
do $$
declare
    new_job int;
    new_schedule int;
begin
    insert into pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled)
    values (1::integer, 'nightly'::text, ''::text, ''::text, true) returning jobid into new_job;

    insert into pgagent.pga_jobstep (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror,
                                     jstcode, jstdesc)
    values (new_job, 'vacuum'::text, true, 's'::character(1), ''::text, 'postgres'::name, 'f'::character(1),
            'vacuum'::text, ''::text);
    insert into pgagent.pga_jobstep (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror,
                                     jstcode, jstdesc)
    values (new_job, 'copy'::text, true, 'b'::character(1), ''::text, ''::name, 'i'::character(1),
            'true'::text, ''::text);

    insert into pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend,
                                      jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
    values (new_job, 'every night'::text, ''::text, true,
            '2024-01-01 00:00:00 +00:00'::timestamp with time zone,
            '9998-12-31 00:00:00 +00:00'::timestamp with time zone,
            '{flags(60, 30)}'::bool[]::boolean[], '{flags(24, 3)}'::bool[]::boolean[],
            '{flags(7)}'::bool[]::boolean[], '{flags(32)}'::bool[]::boolean[], '{flags(12)}'::bool[]::boolean[])
    returning jscid into new_schedule;

    insert into pgagent.pga_exception (jexscid, jexdate, jextime)
    values (new_schedule, to_date('2031-12-24', 'YYYY-MM-DD')::date, '03:30'::time without time zone),
           (new_schedule, null::date, '04:00'::time without time zone),
           (new_schedule, to_date('2031-12-25', 'YYYY-MM-DD')::date, null::time without time zone);
end
$$;
"""

PGADMIN_SCHEDULE = f"""
do $$
declare
    new_schedule int;
begin
    insert into pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscenabled, jscstart,
                                      jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
    values (%d, 'added'::text, ''::text, true, '2024-01-01 00:00:00 +00:00'::timestamp with time zone,
            '{flags(60, 0)}'::bool[]::boolean[], '{flags(24)}'::bool[]::boolean[],
            '{flags(7)}'::bool[]::boolean[], '{flags(32)}'::bool[]::boolean[], '{flags(12)}'::bool[]::boolean[])
    returning jscid into new_schedule;
    insert into pgagent.pga_exception (jexscid, jexdate, jextime) values (new_schedule, '2031-12-24'::date, null);
end
$$;
"""

USERS_OWN_JOB = """
do $$
declare
    jid integer;
    scid integer;
begin
    insert into pgagent.pga_job(jobjclid, jobname, jobdesc, jobhostagent, jobenabled)
    values (1::integer, 'test1'::text, ''::text, ''::text, true) returning jobid into jid;

    insert into pgagent.pga_jobstep (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror,
                                     jstcode, jstdesc)
    values (jid, '1'::text, true, 's'::character(1), ''::text, 'postgres'::name, 'f'::character(1),
            'insert into t1 values (999);'::text, ''::text);

    insert into pgagent.pga_schedule(jscjobid, jscname, jscdesc, jscenabled, jscstart,
                                     jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
    values (jid, '1'::text, ''::text, true, '2021-02-25 16:25:33+08'::timestamp with time zone,
            array[false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,
                  false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,
                  false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,
                  false,false,false,false,false,true,true,true,true]::boolean[],
            array[false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,true,false,
                  false,false,false,false,false,false,false]::boolean[],
            array[false,false,false,false,false,false,false]::boolean[],
            array[false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,false,
                  false,false,false,false,false,false,false,false,false,false,false,false,false,false,false]::boolean[],
            array[false,false,false,false,false,false,false,false,false,false,false,false]::boolean[])
    returning jscid into scid;
end
$$
"""

# The newest run of each job, the station of the agent, the name of the class.
PGADMIN_JOB_LIST = """
    select j.*, a.jagstation, c.jclname, newest.jlgstatus
    from pgagent.pga_job j
    left join pgagent.pga_jobagent a on a.jagpid = j.jobagentid
    left join pgagent.pga_jobclass c on c.jclid = j.jobjclid
    left join (
        select distinct on (jlgjobid) jlgjobid, jlgstatus from pgagent.pga_joblog order by jlgjobid, jlgid desc
    ) newest on newest.jlgjobid = j.jobid
    order by j.jobname
"""

PGADMIN_STEPS = """
    select jstname, jstkind, jstonerror, jstconnstr <> '' as remote, jstdbname, jscnextrun
    from pgagent.pga_jobstep where jstjobid = %s::integer order by jstname
"""

PGADMIN_SCHEDULES = """
    select s.jscname, s.jscminutes, e.ids, e.days, e.times
    from pgagent.pga_schedule s
    left join (
        select jexscid, array_agg(jexid) as ids, array_agg(to_char(jexdate, 'YYYY-MM-DD')) as days,
               array_agg(jextime) as times
        from (select * from pgagent.pga_exception order by jexid) ordered
        group by jexscid
    ) e on e.jexscid = s.jscid
    where s.jscjobid = %s::integer order by s.jscname
"""

PGADMIN_RUNS = """
    select jlgid, jlgstatus, jlgstart, jlgduration, jlgstart + jlgduration
    from pgagent.pga_joblog where jlgjobid = %s::integer order by jlgid desc limit 250
"""

PGADMIN_STEP_RUNS = """
    select jslid, jslstatus, jslresult, jslstart, jslstart + jslduration, jslduration, jsloutput
    from pgagent.pga_jobsteplog where jsljstid = %s::integer order by jslid desc limit 250
"""

# What the C++ daemon does in the tables when it has connected, in this order, ...
_DEAD = "(select a.jagpid from pgagent.pga_jobagent a where a.jagpid not in (select pid from pg_stat_activity))"
_DEAD_RUNS = (
    "select l.jlgid from pgagent.pga_joblog l join pgagent.pga_job j on j.jobid = l.jlgjobid"
    f" where l.jlgstatus = 'r' and j.jobagentid in {_DEAD}"
)
DAEMON_START = (
    f"create temp table lost as {_DEAD_RUNS}",
    "update pgagent.pga_joblog set jlgstatus = 'd' where jlgid in (select jlgid from lost)",
    "update pgagent.pga_jobsteplog set jslstatus = 'd' where jslstatus = 'r' and jsljlgid in (select jlgid from lost)",
    f"update pgagent.pga_job set jobagentid = null, jobnextrun = null where jobagentid in {_DEAD}",
    f"delete from pgagent.pga_jobagent where jagpid in {_DEAD}",
    "drop table lost",
    "insert into pgagent.pga_jobagent (jagpid, jagstation) select pg_backend_pid(), 'old-host'",
)
# ... and then for each job.
DAEMON_POLL = (
    "select jobid from pgagent.pga_job where jobenabled and jobagentid is null and jobnextrun <= now()"
    " and jobhostagent in ('', 'old-host') order by jobnextrun"
)
DAEMON_CLAIM = (
    "update pgagent.pga_job set jobagentid = pg_backend_pid(), joblastrun = now()"
    " where jobagentid is null and jobid = %s"
)
DAEMON_LOG = "insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) values (%s, %s, 'r')"
DAEMON_STEP_LOG = "insert into pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus) values (%s, %s, %s, 'r')"
DAEMON_STEP_END = (
    "update pgagent.pga_jobsteplog set jslduration = now() - jslstart, jslresult = 0, jslstatus = 's', jsloutput = ''"
    " where jslid = %s"
)
DAEMON_END = (
    "update pgagent.pga_joblog set jlgstatus = 's', jlgduration = now() - jlgstart where jlgid = %s;"
    "update pgagent.pga_job set jobagentid = null, jobnextrun = null where jobid = %s"
)


def one(conn: Connection[TupleRow], query: str, parameters: Sequence[object] = ()) -> Any:
    """The only column of the only row."""
    rows = conn.execute(query, parameters or None).fetchall()
    assert len(rows) == 1
    (value,) = rows[0]
    return value


def by_name(conn: Connection[TupleRow], query: str) -> list[dict[str, Any]]:
    """The rows, read by the names of their columns as pgAdmin does."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


def set_zone(conn: Connection[TupleRow], zone: str) -> None:
    conn.execute("update pgagent.settings set timezone = %s", (zone,))


@pytest.fixture
def other_jobs(connection: Connection[TupleRow]) -> list[int]:
    """Jobs that were there before, each with a schedule and an exception."""
    jobids = [add_job(connection, f"other {i}", sql_step("select 1")) for i in range(3)]
    for jobid in jobids:
        add_exception(connection, add_schedule(connection, jobid, minutes=[0]), at=datetime.min.time())
    return jobids


@pytest.mark.usefixtures("other_jobs")
def test_pgadmin_finds_the_job_that_it_has_just_created(connection: Connection[TupleRow]) -> None:
    with connection.transaction():
        connection.execute(PGADMIN_JOB)
        jobid = one(connection, FIND_NEW_JOB)
        one(connection, FIND_NEW_SCHEDULE)
    assert one(connection, "select jobname from pgagent.pga_job where jobid = %s", [jobid]) == "nightly"
    assert one(connection, "select jobnextrun > now() from pgagent.pga_job where jobid = %s", [jobid])
    counted = "select count(*) from pgagent.pga_jobstep where jstjobid = %s"
    assert one(connection, counted, [jobid]) == 2


def test_pgadmin_finds_the_first_job_of_all(connection: Connection[TupleRow]) -> None:
    with connection.transaction():
        connection.execute(PGADMIN_JOB)
        assert one(connection, FIND_NEW_JOB) == 1


def test_pgadmin_finds_the_schedule_that_it_has_just_added(
    connection: Connection[TupleRow], other_jobs: list[int]
) -> None:
    with connection.transaction():
        connection.execute(PGADMIN_SCHEDULE % other_jobs[1])
        jscid = one(connection, FIND_NEW_SCHEDULE)
        assert one(connection, FIND_NEW_JOB) == other_jobs[1]
    assert one(connection, "select jscname from pgagent.pga_schedule where jscid = %s", [jscid]) == "added"


@pytest.mark.usefixtures("other_jobs")
def test_job_added_in_plain_statements_is_found_as_well(connection: Connection[TupleRow]) -> None:
    with connection.transaction():
        jobid = one(connection, "insert into pgagent.pga_job (jobjclid, jobname) values (1, 'plain') returning jobid")
        jscid = one(
            connection,
            "insert into pgagent.pga_schedule (jscjobid, jscname) values (%s, 'plain') returning jscid",
            [jobid],
        )
        connection.execute("insert into pgagent.pga_exception (jexscid, jexdate) values (%s, '2031-01-01')", [jscid])
        connection.execute("update pgagent.pga_job set jobdesc = 'text', jobnextrun = null where jobid = %s", [jobid])
        assert (one(connection, FIND_NEW_JOB), one(connection, FIND_NEW_SCHEDULE)) == (jobid, jscid)


@pytest.mark.usefixtures("table_of_the_user")
def test_the_users_own_example(connection: Connection[TupleRow]) -> None:
    set_zone(connection, "Asia/Shanghai")
    connection.execute(USERS_OWN_JOB)
    now, nextrun = connection.execute("select now(), jobnextrun from pgagent.pga_job").fetchall()[0]
    zone = ZoneInfo("Asia/Shanghai")
    local = now.astimezone(zone)
    expected = next(
        minute
        for minute in (local.replace(second=0, microsecond=0) + timedelta(minutes=i) for i in range(1, 1500))
        if minute.hour == 15 and minute.minute >= 56
    )
    assert nextrun == expected

    make_due(connection, 1)
    rows = connection.execute("select jobname, status from pgagent.run_due()").fetchall()
    assert rows == [("test1", "succeeded")]
    assert step_logs(connection, runs(connection, 1)[0])[0].status == "s"
    assert one(connection, "select jobnextrun from pgagent.pga_job") >= expected


@pytest.fixture
def table_of_the_user(database: Database) -> Iterator[None]:
    """Table t1 in database postgres, which the user's step inserts into."""
    conninfo = psycopg.conninfo.make_conninfo(database.conninfo, dbname="postgres")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("create table t1 (id int)")
        yield
        found = conn.execute("select id from t1").fetchall()
        conn.execute("drop table t1")
    assert found == [(999,)]


def test_pgadmin_updates_single_columns(connection: Connection[TupleRow]) -> None:
    connection.execute(PGADMIN_JOB)
    before = one(connection, "select jobnextrun from pgagent.pga_job")
    connection.execute(
        "update pgagent.pga_job set jobjclid=2::integer, jobname='daily'::text, jobdesc='text'::text,"
        " jobhostagent='here'::text where jobid = 1"
    )
    connection.execute(
        "update pgagent.pga_jobstep set jstname='first'::text, jstonerror='i'::character(1) where jstid=1"
    )
    connection.execute(
        "update pgagent.pga_jobstep set jstdbname=''::name, jstconnstr='dbname=postgres'::text"
        " where jstid=1 and jstjobid=1"
    )
    assert one(connection, "select jobnextrun from pgagent.pga_job") == before
    connection.execute(
        f"update pgagent.pga_schedule set jschours='{flags(24, 3, 4)}'::bool[]::boolean[]"
        " where jscid = 1 and jscjobid = 1"
    )
    connection.execute(
        "update pgagent.pga_exception set jexdate=to_date('2031-01-01','YYYY-MM-DD')::date where jexid = 1"
    )
    connection.execute("delete from pgagent.pga_exception where jexid in (2, 3)")
    connection.execute("update pgagent.pga_job set jobenabled=false where jobid = 1")
    assert one(connection, "select jobnextrun from pgagent.pga_job") is None
    connection.execute("update pgagent.pga_job set jobenabled=true where jobid = 1")
    assert one(connection, "select jobnextrun from pgagent.pga_job") > datetime.now(timezone.utc)


def test_pgadmin_runs_a_job_now(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "now", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobnextrun=now()::timestamptz where jobid=%s::integer", [jobid])
    connection.execute("select from pgagent.run_due()")
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_run_now_of_a_disabled_job_is_ignored(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "off", sql_step("select 1"), enabled=False)
    make_due(connection, jobid)
    assert one(connection, "select jobnextrun from pgagent.pga_job") is None
    connection.execute("select from pgagent.run_due()")
    assert runs(connection, jobid) == []


def test_deleting_a_job_deletes_all_that_belongs_to_it(connection: Connection[TupleRow]) -> None:
    kept = add_job(connection, "kept", sql_step("select 1"))
    connection.execute(PGADMIN_JOB)
    connection.execute("update pgagent.pga_jobstep set jstenabled = false where jstkind = 'b'")
    make_due(connection, kept, 2)
    connection.execute("select from pgagent.run_due()")
    assert len(runs(connection, 2)) == 1
    connection.execute("delete from pgagent.pga_job where jobid=2")
    counts = connection.execute(
        "select (select count(*) from pgagent.pga_job), (select count(*) from pgagent.pga_jobstep),"
        " (select count(*) from pgagent.pga_schedule), (select count(*) from pgagent.pga_exception),"
        " (select count(*) from pgagent.pga_joblog), (select count(*) from pgagent.pga_jobsteplog)"
    ).fetchone()
    assert counts == (1, 1, 0, 0, 1, 1)


def test_pgadmin_lists_jobs_with_the_status_of_the_newest_run(connection: Connection[TupleRow]) -> None:
    good = add_job(connection, "a", sql_step("select 1"))
    add_job(connection, "b", sql_step("select 1"))
    for code in ("select 1/0", "select 1"):
        connection.execute("update pgagent.pga_jobstep set jstcode = %s where jstjobid = %s", (code, good))
        make_due(connection, good)
        connection.execute("select from pgagent.run_due()")
    assert [run.status for run in runs(connection, good)] == ["f", "s"]
    listed = by_name(connection, PGADMIN_JOB_LIST)
    assert [(row["jobname"], row["jlgstatus"], row["jagstation"], row["jclname"]) for row in listed] == [
        ("a", "s", None, "Routine Maintenance"),
        ("b", None, None, "Routine Maintenance"),
    ]


def test_pgadmin_shows_the_station_of_a_running_job(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "a", sql_step("select 1"))
    make_due(connection, jobid)
    for statement in DAEMON_START:
        connection.execute(statement)
    connection.execute(DAEMON_CLAIM, [jobid])
    (row,) = by_name(connection, PGADMIN_JOB_LIST)
    assert (row["jagstation"], row["jobagentid"]) == ("old-host", connection.info.backend_pid)


def test_pgadmin_lists_steps_by_name(connection: Connection[TupleRow]) -> None:
    jobid = add_job(
        connection, "a", sql_step("select 1", name="z"), sql_step("select 2", name="a"), sql_step("select 3", name="m")
    )
    rows = connection.execute(PGADMIN_STEPS, [jobid]).fetchall()
    here = connection.info.dbname
    assert rows == [(name, "s", "f", False, here, None) for name in ("a", "m", "z")]


def test_pgadmin_lists_schedules_with_their_exceptions(connection: Connection[TupleRow]) -> None:
    connection.execute(PGADMIN_JOB)
    connection.execute(PGADMIN_SCHEDULE % 1)
    rows = connection.execute(PGADMIN_SCHEDULES, [1]).fetchall()
    assert [row[0] for row in rows] == ["added", "every night"]
    _, minutes, ids, days, times = rows[1]
    assert minutes == [minute == 30 for minute in range(60)]
    assert ids == [1, 2, 3]
    assert days == ["2031-12-24", None, "2031-12-25"]
    assert [moment and moment.isoformat() for moment in times] == ["03:30:00", "04:00:00", None]


def test_pgadmin_shows_the_newest_250_runs(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "a", sql_step("select 1"))
    connection.execute(
        "insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration)"
        " select 1, 's', '1 s' from generate_series(1, 299)"
    )
    connection.execute(
        "insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)"
        " select jlgid, 1, 's' from pgagent.pga_joblog"
    )
    make_due(connection, jobid)
    connection.execute("select from pgagent.run_due()")
    listed = connection.execute(PGADMIN_RUNS, [jobid]).fetchall()
    assert [row[0] for row in listed] == list(range(300, 50, -1))
    assert listed[0][1] == "s"
    assert listed[0][4] == listed[0][2] + listed[0][3]
    steps = connection.execute(PGADMIN_STEP_RUNS, [1]).fetchall()
    assert [row[0] for row in steps] == list(range(300, 50, -1))
    assert steps[0][6] == ""


def test_pgadmin_sees_the_schema(connection: Connection[TupleRow]) -> None:
    assert one(
        connection,
        "select has_table_privilege('pgagent.pga_job', 'INSERT, SELECT, UPDATE')"
        " and has_schema_privilege('pgagent', 'USAGE')"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'pgagent' and c.relname = 'pga_job'",
    )
    assert one(
        connection,
        "select count(*) from information_schema.columns where table_schema = 'pgagent'"
        " and table_name = 'pga_jobstep' and column_name = 'jstconnstr'",
    )


def test_dbeaver_probes_for_the_schema(connection: Connection[TupleRow]) -> None:
    assert connection.execute("SELECT 1 FROM pgagent.pga_job WHERE 1<>1 LIMIT 1").fetchall() == []


def test_psycopg_reads_letters_as_text_and_arrays_as_lists(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "a", sql_step("select 1"))
    add_schedule(connection, jobid, weekdays=[1])
    make_due(connection, jobid)
    connection.execute("select from pgagent.run_due()")
    row = connection.execute(
        "select jstkind, jstonerror, jstdbname, jlgstatus, jslstatus, jscweekdays from pgagent.pga_jobstep"
        " join pgagent.pga_joblog on jlgjobid = jstjobid join pgagent.pga_jobsteplog on jsljlgid = jlgid"
        " join pgagent.pga_schedule on jscjobid = jstjobid"
    ).fetchone()
    assert row == ("s", "f", connection.info.dbname, "s", "s", [False, True] + [False] * 5)


@pytest.mark.parametrize("change", ["jobdesc = 'x'", "jobnextrun = null", "jobnextrun = now()", "jobenabled = false"])
def test_other_columns_do_not_move(connection: Connection[TupleRow], change: str) -> None:
    jobid = add_job(connection, "a", sql_step("select 1"))
    instants = ("2021-03-04 05:06:07.123456+00", "2022-10-30 00:30:00.654321+00", "2023-01-02 03:04:05.000001+00")
    connection.execute(
        "update pgagent.pga_job set jobcreated = %s, jobchanged = %s, joblastrun = %s where jobid = %s",
        (*instants, jobid),
    )
    connection.execute("set datestyle = 'SQL, DMY'")
    connection.execute("set timezone = 'Asia/Kolkata'")
    connection.execute("set intervalstyle = 'iso_8601'")
    connection.execute(f"update pgagent.pga_job set {change} where jobid = %s", [jobid])
    add_schedule(connection, jobid, minutes=[0])
    connection.execute("select from pgagent.run_due()")
    where = "where jobcreated = %s and jobchanged = %s"
    assert one(connection, f"select count(*) from pgagent.pga_job {where}", instants[:2]) == 1
    if change != "jobnextrun = now()":
        assert one(connection, "select joblastrun = %s from pgagent.pga_job", instants[2:])


def test_daemon_runs_a_job(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "a", sql_step("select 1"))
    add_job(connection, "elsewhere", sql_step("select 1"), host="another-host")
    add_schedule(connection, jobid, minutes=[0])
    make_due(connection, jobid, 2)
    for statement in DAEMON_START:
        connection.execute(statement)
    assert connection.execute(DAEMON_POLL).fetchall() == [(jobid,)]
    assert connection.execute(DAEMON_CLAIM, [jobid]).statusmessage == "UPDATE 1"
    assert connection.execute(DAEMON_CLAIM, [jobid]).statusmessage == "UPDATE 0"
    assert connection.execute(DAEMON_POLL).fetchall() == []
    jlgid = one(connection, "SELECT nextval('pgagent.pga_joblog_jlgid_seq') AS id")
    connection.execute(DAEMON_LOG, (jlgid, jobid))
    jslid = one(connection, "SELECT nextval('pgagent.pga_jobsteplog_jslid_seq') AS id")
    connection.execute(DAEMON_STEP_LOG, (jslid, jlgid, 1))
    connection.execute(DAEMON_STEP_END, [jslid])
    connection.execute(DAEMON_END % (jlgid, jobid))
    assert [run.status for run in runs(connection, jobid)] == ["s"]
    row = connection.execute(
        "select jobagentid, jobnextrun = date_trunc('hour', now()) + '1 h', joblastrun <= now() from pgagent.pga_job"
        " where jobid = %s",
        [jobid],
    ).fetchone()
    assert row == (None, True, True)


def test_daemon_cannot_claim_a_job_that_is_no_longer_due(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "a", sql_step("select 1"))
    add_schedule(connection, jobid, minutes=[0])
    make_due(connection, jobid)
    for statement in DAEMON_START:
        connection.execute(statement)
    assert connection.execute(DAEMON_POLL).fetchall() == [(jobid,)]
    with psycopg.connect(connection.info.dsn, autocommit=True) as engine:
        engine.execute("select from pgagent.run_due()")
    assert connection.execute(DAEMON_CLAIM, [jobid]).statusmessage == "UPDATE 0"
    connection.execute("update pgagent.pga_job set jobenabled = false")
    assert connection.execute(DAEMON_CLAIM, [jobid]).statusmessage == "UPDATE 0"
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_daemon_frees_the_jobs_of_a_dead_daemon(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "a", sql_step("select 1"))
    add_schedule(connection, jobid, minutes=[0])
    make_due(connection, jobid)
    with psycopg.connect(connection.info.dsn, autocommit=True) as dead:
        for statement in DAEMON_START:
            dead.execute(statement)
        dead.execute(DAEMON_CLAIM, [jobid])
        dead.execute(DAEMON_LOG, (1, jobid))
        dead.execute(DAEMON_STEP_LOG, (1, 1, 1))
        pid = dead.info.backend_pid
    gone = "select not exists (select from pg_stat_activity where pid = %s)"
    wait_until(lambda: one(connection, gone, [pid]), what="the end of the daemon's session")
    for statement in DAEMON_START:
        connection.execute(statement)
    assert [run.status for run in runs(connection, jobid)] == ["d"]
    assert [step.status for step in step_logs(connection, 1)] == ["d"]
    assert connection.execute(DAEMON_POLL).fetchall() == []
    row = connection.execute("select jobagentid, jobnextrun > now() from pgagent.pga_job").fetchone()
    assert row == (None, True)
    assert connection.execute("select jagpid from pgagent.pga_jobagent").fetchall() == [(connection.info.backend_pid,)]


def test_daemon_leaves_our_running_work_alone(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "a", sql_step("select pg_sleep(60)"))
    make_due(connection, jobid)
    with psycopg.connect(connection.info.dsn, autocommit=True) as engine:
        rows = engine.execute("select status from pgagent.run_due('0.2 s')").fetchall()
        assert rows == [("running",)]
        for statement in DAEMON_START:
            connection.execute(statement)
        assert [run.status for run in runs(connection, jobid)] == ["r"]
        assert one(connection, "select jobagentid from pgagent.pga_job") == engine.info.backend_pid


@pytest.fixture
def clerk(connection: Connection[TupleRow]) -> Iterator[str]:
    """A role with rights on the tables and sequences, as an administrator grants them to pgAdmin's users."""
    connection.execute("create role clerk login")
    connection.execute("grant usage on schema pgagent to clerk")
    connection.execute("grant select, insert, update, delete on all tables in schema pgagent to clerk")
    connection.execute("grant usage on all sequences in schema pgagent to clerk")
    connection.execute("grant pg_execute_server_program to clerk")
    yield "clerk"
    connection.execute("drop owned by clerk")
    connection.execute("drop role clerk")


def test_role_with_rights_on_the_tables_can_define_jobs(connection: Connection[TupleRow], clerk: str) -> None:
    conninfo = psycopg.conninfo.make_conninfo(connection.info.dsn, user=clerk)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        with conn.transaction():
            conn.execute(PGADMIN_JOB)
            jobid = one(conn, FIND_NEW_JOB)
        nextrun = one(conn, "select jobnextrun from pgagent.pga_job where jobid = %s", [jobid])
        assert nextrun > datetime.now(timezone.utc)
        conn.execute("update pgagent.pga_schedule set jscenabled = false")
        assert one(conn, "select jobnextrun from pgagent.pga_job") is None
        conn.execute("update pgagent.pga_schedule set jscenabled = true")
        conn.execute("delete from pgagent.pga_exception")
        conn.execute("update pgagent.pga_job set jobnextrun = null")
        assert one(conn, "select jobnextrun from pgagent.pga_job") is not None
        conn.execute("delete from pgagent.pga_job")


def test_role_with_rights_on_schedules_alone_moves_the_next_run(connection: Connection[TupleRow], clerk: str) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = 'clerk'")
    connection.execute("revoke all on pgagent.pga_job from clerk")
    connection.execute("grant select (jobid, jobowner) on pgagent.pga_job to clerk")
    conninfo = psycopg.conninfo.make_conninfo(connection.info.dsn, user=clerk)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        jscid = add_schedule(conn, jobid, minutes=[0])
        add_exception(conn, jscid, datetime(2031, 1, 1, tzinfo=timezone.utc).date())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select jobnextrun from pgagent.pga_job")
    assert one(connection, "select jobnextrun > now() from pgagent.pga_job")


def test_role_with_rights_on_the_tables_cannot_run_jobs(connection: Connection[TupleRow], clerk: str) -> None:
    conninfo = psycopg.conninfo.make_conninfo(connection.info.dsn, user=clerk)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for call in (
            "select pgagent.run_due()",
            "call pgagent.run_until_idle()",
            "select pgagent.take_batch_steps('here', 1)",
            "select pgagent.finish_batch_step(1, 0, '')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(call)
