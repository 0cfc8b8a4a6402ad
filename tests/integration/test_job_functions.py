"""Jobs by functions: create_job, alter_job, drop_job, enable_job, disable_job, copy_job, find_job."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from harness import add_exception, add_job, add_schedule, make_due, run_due, runs, value
from harness.people import People
from harness.refusals import refused

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

AFTER = datetime(2031, 3, 3, 10, 0, tzinfo=timezone.utc)  # a Monday
DENIED, DUPLICATE, INVALID, NULL, OUT_OF_RANGE, UNDEFINED = "42501", "42710", "22023", "22004", "23514", "42704"


def row(conn: Session, query: str, *parameters: object) -> dict[str, Any]:
    """The only row of a query."""
    (found,) = conn.cursor(row_factory=dict_row).execute(query.encode(), parameters).fetchall()
    return found


def job_row(conn: Session, job: int) -> dict[str, Any]:
    return row(conn, "select * from pgagent.pga_job where jobid = %s", job)


# create_job


def test_job_of_one_line(connection: Session) -> None:
    """As the issue has it; what comes is what pgAdmin would have made."""
    job = value(
        connection, "select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze')"
    )
    found = job_row(connection, job)
    assert (found["jobname"], found["jobjclid"], found["jobdesc"], found["jobhostagent"]) == (
        "nightly vacuum",
        5,
        "",
        "",
    )
    assert (found["jobenabled"], found["jobowner"], found["jobpriority"]) == (True, "postgres", 0)
    assert [found[f"job{name}"] for name in ("timeout", "startdeadline", "maxfailures", "locks")] == [None] * 4
    step = row(connection, "select * from pgagent.pga_jobstep")
    assert (step["jstjobid"], step["jstname"], step["jstkind"], step["jstcode"]) == (job, "01", "s", "vacuum analyze")
    assert (step["jstdbname"], step["jstconnstr"], step["jstonerror"]) == (connection.info.dbname, "", "f")
    runs_then = connection.execute("select run from pgagent.upcoming('nightly vacuum', 2, %s)", (AFTER,)).fetchall()
    assert runs_then == [(datetime(2031, 3, day, 2, 30, tzinfo=timezone.utc),) for day in (4, 5)]
    assert found["jobnextrun"] == value(connection, "select run from pgagent.upcoming(%s, 1)", job)


def test_job_runs(connection: Session) -> None:
    connection.execute("create table public.done (i int)")
    job = value(connection, "select pgagent.create_job('insert', sql => 'insert into public.done values (1)')")
    assert job_row(connection, job)["jobnextrun"] is None
    make_due(connection, job)
    run_due(connection)
    assert [run.status for run in runs(connection, job)] == ["s"]
    assert value(connection, "select count(*) from public.done") == 1


def test_all_that_a_job_may_have(connection: Session) -> None:
    connection.execute("select pgagent.create_job('bare')")
    job = value(
        connection,
        "select pgagent.create_job('full', batch => 'true', every => '10 s', schedule => '* 9-16 * * *',"
        " timezone => 'Europe/Berlin', description => 'all', class => 'Data Import', host => 'db1', enabled => false,"
        " timeout => '1 min', start_deadline => '2 min', max_failures => 3, locks => '{a,b}', priority => 7)",
    )
    found = job_row(connection, job)
    expected = {
        "jobdesc": "all", "jobjclid": 2, "jobhostagent": "db1", "jobenabled": False, "jobnextrun": None,
        "jobtimeout": timedelta(minutes=1), "jobstartdeadline": timedelta(minutes=2), "jobmaxfailures": 3,
        "joblocks": ["a", "b"], "jobpriority": 7,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    step = row(connection, "select * from pgagent.pga_jobstep")
    assert (step["jstkind"], step["jstcode"], step["jstdbname"]) == ("b", "true", "")
    schedule = row(connection, "select * from pgagent.pga_schedule")
    assert (schedule["jscinterval"], schedule["jsctimezone"]) == (timedelta(seconds=10), "Europe/Berlin")
    assert schedule["jscname"] == "* 9-16 * * *, every 10 s"


def test_job_in_another_database(connection: Session) -> None:
    connection.execute("select pgagent.create_job('a', sql => 'select 1', database => 'postgres')")
    connection.execute("select pgagent.create_job('b', sql => 'select 1', connection => 'dbname=postgres host=db2')")
    connection.execute("select pgagent.create_job('c', sql => 'select 1', locks => '{}')")
    found = connection.execute("select jstdbname, jstconnstr from pgagent.pga_jobstep order by jstid").fetchall()
    assert found == [("postgres", ""), ("", "dbname=postgres host=db2"), (connection.info.dbname, "")]
    assert value(connection, "select count(*) from pgagent.pga_job where joblocks is not null") == 0


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("null", NULL, 'parameter "name" must not be null'),
        ("'x', owner => null", NULL, 'parameter "owner" must not be null'),
        ("'x', enabled => null, class => null", NULL, 'parameter "class" must not be null'),
        ("' '", INVALID, "the name of a job must not be empty"),
        ("'taken'", DUPLICATE, 'job "taken" already exists'),
        ("'x', class => 'Nothing'", UNDEFINED, 'class "Nothing" does not exist'),
        ("'x', owner => 'nobody'", UNDEFINED, 'role "nobody" does not exist'),
        ("'x', sql => 'select 1', batch => 'true'", INVALID, 'job "x" cannot have sql and batch in one step'),
        ("'x', database => 'postgres'", INVALID, 'job "x" has no step that could run in a database'),
        ("'x', connection => 'host=a'", INVALID, 'job "x" has no step that could run in a database'),
        ("'x', timezone => 'UTC'", INVALID, 'job "x" has no schedule that could be read in a time zone'),
        ("'x', batch => 'true', database => 'postgres'", INVALID, "a batch step has no database"),
        (
            "'x', sql => 'select 1', database => 'postgres', connection => 'host=a'",
            INVALID,
            "a step cannot have database and connection at once",
        ),
        ("'x', schedule => '61 * * * *'", INVALID, None),
        ("'x', every => '10 s', timezone => 'Mars/Olympus'", INVALID, 'time zone "Mars/Olympus" not recognized'),
        ("'x', every => '1 month'", INVALID, "a schedule cannot run every 1 mon"),
        ("'x', timeout => '-1 s'", OUT_OF_RANGE, None),
        ("'x', max_failures => 0", OUT_OF_RANGE, None),
        ("'x', priority => 1001", OUT_OF_RANGE, None),
    ],
)
def test_jobs_that_are_refused(connection: Session, arguments: str, sqlstate: str, message: str | None) -> None:
    connection.execute("select pgagent.create_job('taken')")
    found = refused(connection, f"select pgagent.create_job({arguments})")
    assert (found.sqlstate, found.message) == (sqlstate, message or found.message)
    assert found.hint or sqlstate == NULL or "empty" in found.message
    assert value(connection, "select count(*) from pgagent.pga_job") == 1


def test_hints(connection: Session) -> None:
    class_hint = refused(connection, "select pgagent.create_job('x', class => 'Nothing')").hint
    assert class_hint.startswith('Classes: "Routine Maintenance", "Data Import"')
    timeout = refused(connection, "select pgagent.create_job('x', timeout => '-1 s')")
    assert timeout.hint.startswith("Time limit of a run, waits and retries included (1 ms to 10 years)")
    both = refused(connection, "select pgagent.create_job('x', sql => 'select 1', batch => 'true')")
    assert "pgagent.add_step" in both.hint


def test_what_is_refused_tells_no_password(connection: Session) -> None:
    target = "connection => 'host=db2 password=Geheimnis'"
    call = f"select pgagent.add_step(pgagent.create_job('x'), sql => 'select 1', {target}, retries => -1)"
    found = refused(connection, call)
    assert found.sqlstate == OUT_OF_RANGE
    assert "Geheimnis" not in str(found)


# find_job


def test_job_is_found_by_its_name(connection: Session) -> None:
    job = value(connection, "select pgagent.create_job('nightly vacuum')")
    assert value(connection, "select pgagent.find_job('nightly vacuum')") == job
    assert refused(connection, "select pgagent.find_job(null)").sqlstate == NULL


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nigthly vacuum", 'Similar names: "nightly vacuum".'),
        ("Nightly Vacuum", 'Similar names: "nightly vacuum".'),
        ("import order", 'Similar names: "import orders", "import orders 2".'),
        ("backup", "SELECT jobid, jobname FROM pgagent.pga_job lists the jobs."),
        ("x", "SELECT jobid, jobname FROM pgagent.pga_job lists the jobs."),
        ("", "SELECT jobid, jobname FROM pgagent.pga_job lists the jobs."),
    ],
)
def test_job_that_is_not_found(connection: Session, name: str, hint: str) -> None:
    for other in ("nightly vacuum", "import orders", "import orders 2"):
        add_job(connection, other)
    found = refused(connection, "select pgagent.drop_job(%s)", name)
    assert (found.sqlstate, found.message, found.hint) == (UNDEFINED, f'job "{name}" does not exist', hint)


def test_name_that_several_jobs_have(connection: Session) -> None:
    ids = [add_job(connection, "twin") for _ in range(2)]
    found = refused(connection, "select pgagent.disable_job('twin')")
    assert (found.sqlstate, found.message) == ("P0003", '2 jobs have the name "twin"')
    assert found.detail == f"Their ids are {ids[0]}, {ids[1]}."
    connection.execute("select pgagent.disable_job(%s)", (ids[1],))
    assert value(connection, "select jobid from pgagent.pga_job where not jobenabled") == ids[1]


BY_NAME_OR_ID = (
    "enable_job({})",
    "disable_job({})",
    "drop_job({})",
    "copy_job({}, 'copy')",
    "alter_job({}, description => 'x')",
    "add_step({}, sql => 'select 1')",
    "add_schedule({}, '0 3 * * *')",
    "upcoming({}, 3)",
)


@pytest.mark.parametrize("call", BY_NAME_OR_ID)
def test_id_and_name_do_the_same(connection: Session, call: str) -> None:
    job = add_job(connection, "job")
    for argument in ("'job'", str(job)):
        with connection.transaction(force_rollback=True):
            connection.execute(f"select pgagent.{call.format(argument)}")
    for argument, message in (("'nothing'", 'job "nothing" does not exist'), ("4711", "job 4711 does not exist")):
        found = refused(connection, f"select pgagent.{call.format(argument)}")
        assert (found.sqlstate, found.message.removeprefix("plpy.Error: ")) == (UNDEFINED, message)
    for nothing in ("null", "null::int4"):
        if call.startswith("upcoming"):
            assert connection.execute(f"select pgagent.{call.format(nothing)}").fetchall() == []
        else:
            assert refused(connection, f"select pgagent.{call.format(nothing)}").sqlstate == NULL


# alter_job, enable_job, disable_job, drop_job


ALTERATIONS = {
    "new_name": ("jobname", "'other'", "other", None),
    "class": ("jobjclid", "'Data Export'", 3, None),
    "description": ("jobdesc", "'words'", "words", ""),
    "host": ("jobhostagent", "'db1'", "db1", ""),
    "enabled": ("jobenabled", "false", False, True),
    "timeout": ("jobtimeout", "'1 min'", timedelta(minutes=1), None),
    "start_deadline": ("jobstartdeadline", "'1 min'", timedelta(minutes=1), None),
    "max_failures": ("jobmaxfailures", "3", 3, None),
    "locks": ("joblocks", "'{a,b}'", ["a", "b"], None),
    "priority": ("jobpriority", "9", 9, 0),
}


@pytest.mark.parametrize("attribute", ALTERATIONS)
def test_one_attribute_is_altered(connection: Session, attribute: str) -> None:
    """All others stay; those with a default have it back afterwards."""
    job = value(connection, "select pgagent.create_job('job', sql => 'select 1')")
    column, literal, after, default = ALTERATIONS[attribute]
    before = job_row(connection, job)
    connection.execute(f"select pgagent.alter_job(%s, {attribute} => {literal})", (job,))
    altered = job_row(connection, job)
    assert altered.pop("jobchanged") >= before.pop("jobchanged")
    assert altered == {**before, column: after}
    if attribute in {"new_name", "class"}:
        refusal = refused(connection, f"select pgagent.alter_job({job}, reset => '{{{attribute}}}')")
        assert refusal.sqlstate == INVALID
        assert "timeout" in refusal.hint
    else:
        connection.execute("select pgagent.alter_job(%s, reset => array[%s])", (job, attribute))
        assert job_row(connection, job)[column] == default


def test_locks_are_taken_away_by_none(connection: Session) -> None:
    connection.execute("select pgagent.create_job('job', locks => '{a}')")
    connection.execute("select pgagent.alter_job('job', locks => '{}')")
    assert value(connection, "select joblocks from pgagent.pga_job") is None


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("reset => '{speed}'", INVALID, '"speed" is nothing that can be reset'),
        ("reset => array[null]", INVALID, '"NULL" is nothing that can be reset'),
        ("timeout => '1 s', reset => '{timeout}'", INVALID, '"timeout" cannot be set and reset at once'),
        ("new_name => 'other'", DUPLICATE, 'job "other" already exists'),
        ("new_name => ''", INVALID, "the name of a job must not be empty"),
        ("class => 'Nothing'", UNDEFINED, 'class "Nothing" does not exist'),
        ("owner => 'nobody'", UNDEFINED, 'role "nobody" does not exist'),
        ("start_deadline => '0 s'", OUT_OF_RANGE, None),
    ],
)
def test_alterations_that_are_refused(connection: Session, arguments: str, sqlstate: str, message: str | None) -> None:
    connection.execute("select pgagent.create_job('job'), pgagent.create_job('other')")
    found = refused(connection, f"select pgagent.alter_job('job', {arguments})")
    assert (found.sqlstate, found.message) == (sqlstate, message or found.message)


def test_twins_of_the_tables_can_be_altered(connection: Session) -> None:
    """Only a new name is looked at."""
    twins = [add_job(connection, "twin") for _ in range(2)]
    connection.execute("select pgagent.alter_job(%s, description => 'the second', new_name => 'twin')", (twins[1],))
    connection.execute("select pgagent.alter_job(%s, new_name => 'other')", (twins[1],))
    assert value(connection, "select pgagent.find_job('twin')") == twins[0]


def test_job_is_disabled_and_enabled(connection: Session) -> None:
    job = value(connection, "select pgagent.create_job('job', '0 3 * * *', sql => 'select 1', max_failures => 3)")
    changed = job_row(connection, job)["jobchanged"]
    connection.execute("select pgagent.enable_job('job')")
    assert job_row(connection, job)["jobchanged"] == changed
    connection.execute("update pgagent.pga_job set jobfailures = 2")
    connection.execute("select pgagent.disable_job('job')")
    found = job_row(connection, job)
    assert (found["jobenabled"], found["jobnextrun"]) == (False, None)
    assert found["jobchanged"] > changed
    connection.execute("select pgagent.enable_job('job')")
    found = job_row(connection, job)
    assert (found["jobenabled"], found["jobfailures"]) == (True, 0)
    assert found["jobnextrun"] is not None


def test_job_is_dropped_with_all_that_belongs_to_it(connection: Session) -> None:
    job = value(connection, "select pgagent.create_job('job', '0 3 * * *', sql => 'select 1')")
    make_due(connection, job)
    run_due(connection)
    connection.execute("select pgagent.drop_job('job')")
    for table in ("pga_job", "pga_jobstep", "pga_schedule", "pga_joblog", "pga_jobsteplog"):
        assert value(connection, f"select count(*) from pgagent.{table}") == 0, table


# copy_job


DEFINITIONS = """
    select 'job', to_jsonb(j) - '{jobid,jobname,jobenabled,jobnextrun,jobcreated,jobchanged}'::text[],
           null::date, null::time
      from pgagent.pga_job j where j.jobid = %(job)s
    union all
    select 'step', to_jsonb(t) - '{jstid,jstjobid}'::text[], null, null
      from pgagent.pga_jobstep t where t.jstjobid = %(job)s
    union all
    select 'schedule', to_jsonb(s) - '{jscid,jscjobid}'::text[], x.jexdate, x.jextime
      from pgagent.pga_schedule s left join pgagent.pga_exception x on x.jexscid = s.jscid where s.jscjobid = %(job)s
     order by 1, 2, 3, 4
"""


def definitions(conn: Session, job: int) -> list[TupleRow]:
    """A job with steps, schedules and exceptions, without ids, its name, and what differs in a copy."""
    return conn.execute(DEFINITIONS, {"job": job}).fetchall()


def test_copy_is_as_the_original_but_disabled(connection: Session) -> None:
    job = value(
        connection,
        "select pgagent.create_job('job', '0 3 * * *', batch => 'true', description => 'd', host => 'h',"
        " class => 'Data Import', timeout => '1 min', start_deadline => '1 h', max_failures => 2, locks => '{a}',"
        " priority => 3)",
    )
    connection.execute(
        "select pgagent.add_step('job', 'second', sql => 'select 1', database => 'postgres', on_error => 'ignore',"
        " timeout => '1 s', retries => 2, retry_delay => '3 s', retry_factor => 1.5, retry_max_delay => '9 s',"
        " retry_jitter => 0, retry_sqlstates => '{40001}', enabled => false, description => 'x')"
    )
    connection.execute(
        "select pgagent.add_schedule('job', every => '7 s', ends => '2040-01-01', timezone => 'Asia/Tokyo')"
    )
    for day, (schedule,) in enumerate(connection.execute("select jscid from pgagent.pga_schedule").fetchall(), 1):
        add_exception(connection, schedule, date(2040, 1, day))
        add_exception(connection, schedule, None, time(day))
    before = definitions(connection, job)
    copy = value(connection, "select pgagent.copy_job('job', 'copy')")
    assert copy != job
    assert definitions(connection, copy) == definitions(connection, job) == before
    assert [kind for kind, *_ in before] == ["job", *["schedule"] * 4, *["step"] * 2]
    assert value(connection, "select jobenabled from pgagent.pga_job where jobname = 'copy'") is False
    assert value(connection, "select jobnextrun from pgagent.pga_job where jobname = 'copy'") is None
    connection.execute("select pgagent.enable_job('copy')")
    assert job_row(connection, copy)["jobnextrun"] is not None


def test_copies_that_are_refused(connection: Session) -> None:
    add_schedule(connection, add_job(connection, "job"))
    assert refused(connection, "select pgagent.copy_job('job', 'job')").sqlstate == DUPLICATE
    assert refused(connection, "select pgagent.copy_job('job', null)").sqlstate == NULL
    assert refused(connection, "select pgagent.copy_job('job', '')").sqlstate == INVALID


# Job users


def test_job_user_has_jobs_by_functions(connection: Session, people: People) -> None:
    """All of it, for herself and for a team that she is a member of."""
    alice = people.log_in("alice")
    for owner in ("alice", "team"):
        job = value(
            alice,
            "select pgagent.create_job('job ' || %s::text, '0 3 * * *', sql => 'select 1', owner => %s)",
            owner,
            owner,
        )
        step = value(alice, "select pgagent.add_step(%s, sql => 'select 2', on_error => 'ignore')", job)
        alice.execute("select pgagent.alter_step(%s, sql => 'select 3')", (step,))
        schedule = value(alice, "select pgagent.add_schedule(%s, at => now() + interval '1 day')", job)
        alice.execute("select pgagent.alter_schedule(%s, every => '1 h')", (schedule,))
        alice.execute("select pgagent.alter_job(%s, timeout => '1 min')", (job,))
        copy = value(alice, "select pgagent.copy_job(%s, %s)", job, f"copy {owner}")
        assert job_row(alice, copy)["jobowner"] == owner
        alice.execute("select pgagent.disable_job(%s), pgagent.enable_job(%s)", (job, copy))
        alice.execute("select pgagent.drop_step(%s), pgagent.drop_schedule(%s)", (step, schedule))
    make_due(alice, value(alice, "select pgagent.find_job('copy alice')"))
    run_due(people.log_in("ticker"))
    assert value(alice, "select string_agg(jlgstatus, '') from pgagent.pga_joblog") == "s"
    alice.execute("select pgagent.drop_job(jobid) from pgagent.pga_job")
    assert value(connection, "select count(*) from pgagent.pga_job") == 0


def test_names_are_those_that_the_caller_sees(people: People) -> None:
    """Neither found, nor in the way, nor among the similar ones: bob's jobs do not exist for alice."""
    alice, bob, dba = people.log_in("alice"), people.log_in("bob"), people.log_in("dba")
    bobs = value(bob, "select pgagent.create_job('nightly')")
    missing = refused(alice, "select pgagent.find_job('nightly')")
    assert (missing.sqlstate, missing.hint) == (UNDEFINED, "SELECT jobid, jobname FROM pgagent.pga_job lists the jobs.")
    assert "Similar" not in refused(alice, "select pgagent.find_job('nightly 2')").hint
    alices = value(alice, "select pgagent.create_job('nightly')")
    assert value(alice, "select pgagent.find_job('nightly')") == alices
    assert value(bob, "select pgagent.find_job('nightly')") == bobs
    assert refused(dba, "select pgagent.find_job('nightly')").sqlstate == "P0003"
    assert refused(alice, "select pgagent.create_job('nightly')").sqlstate == DUPLICATE


@pytest.mark.parametrize("role", ["bob", "dba"])
def test_job_is_created_for_those_only_whom_one_may_act_for(people: People, role: str) -> None:
    found = refused(people.log_in(role), "select pgagent.create_job('x', owner => 'alice')")
    assert (found.sqlstate, found.message) == (DENIED, 'permission denied to create a job of role "alice"')


def test_batch_steps_are_for_those_who_may_run_programs(connection: Session, people: People) -> None:
    bob = people.log_in("bob")
    found = refused(bob, "select pgagent.create_job('x', batch => 'true')")
    assert (found.sqlstate, found.message) == (DENIED, 'role "bob" may not own a job with batch steps')
    step = value(bob, "select pgagent.add_step(pgagent.create_job('y'), sql => 'select 1')")
    assert refused(bob, f"select pgagent.alter_step({step}, batch => 'true')").sqlstate == DENIED
    connection.execute("grant pg_execute_server_program to bob")
    assert value(bob, "select pgagent.create_job('x', batch => 'true')") > 0


@pytest.mark.parametrize(
    "call",
    ["add_step({job}, sql => 'select 1')", "alter_step({step}, enabled => false)", "drop_step({step})",
     "copy_job({job}, 'copy')", "alter_job({job}, owner => 'dba')"],
)  # fmt: skip
def test_what_a_job_executes_is_not_for_administrators(people: People, call: str) -> None:
    bob, dba, alice = people.log_in("bob"), people.log_in("dba"), people.log_in("alice")
    job = value(bob, "select pgagent.create_job('job', sql => 'select 1')")
    ids = {"job": job, "step": value(bob, "select jstid from pgagent.pga_jobstep")}
    statement = f"select pgagent.{call.format(**ids)}"
    assert refused(dba, statement).sqlstate == DENIED
    assert refused(alice, statement).sqlstate == UNDEFINED


def test_administrators_say_when_jobs_run(people: People) -> None:
    bob, dba = people.log_in("bob"), people.log_in("dba")
    job = value(bob, "select pgagent.create_job('job', '0 3 * * *', sql => 'select 1')")
    dba.execute("select pgagent.disable_job('job'), pgagent.enable_job('job'), pgagent.alter_job('job', priority => 5)")
    schedule = value(dba, "select pgagent.add_schedule('job', '0 4 * * *')")
    dba.execute("select pgagent.alter_schedule(%s, crontab => '0 5 * * *')", (schedule,))
    dba.execute("select pgagent.drop_schedule(%s)", (schedule,))
    assert job_row(bob, job)["jobpriority"] == 5
    dba.execute("select pgagent.drop_job('job')")
    assert value(bob, "select count(*) from pgagent.pga_job") == 0
