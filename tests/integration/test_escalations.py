"""Ways to more rights that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from harness import (
    Cluster,
    Database,
    add_job,
    add_schedule,
    batch_step,
    make_due,
    run_due,
    runs,
    sql_step,
    step_logs,
    value,
)
from harness.people import People

Session = Connection[TupleRow]

DENIED = psycopg.errors.InsufficientPrivilege
HALF_A_BACKSLASH = ("\u00a5", "\u20a9", "\u8868", "\u8a31", "\\", "\uff3c", "\u203e")
WHO = "do $$ begin raise notice '<% %>', session_user, current_user; end $$"


def outputs(conn: Session, jobid: int) -> str:
    """All that the steps of a job's last run have said."""
    return "\n".join(log.output or "" for log in step_logs(conn, runs(conn, jobid)[-1]))


def run_as_ticker(superuser: Session, people: People, *jobids: int) -> None:
    make_due(superuser, *jobids)
    run_due(people.log_in("ticker"))


@pytest.fixture
def bobs(people: People) -> int:
    """A job of bob."""
    return add_job(people.log_in("bob"), "bob's secret", sql_step("select 'secret'"))


# Rows that move to others


@pytest.mark.parametrize(
    "statement",
    [
        "update pgagent.pga_jobstep set jstjobid = {bobs}",
        "update pgagent.pga_schedule set jscjobid = {bobs}",
        "update pgagent.pga_exception set jexscid = {schedule}",
        (
            "insert into pgagent.pga_jobstep select * from pgagent.pga_jobstep"
            " on conflict (jstid) do update set jstjobid = {bobs}"
        ),
        (
            "insert into pgagent.pga_schedule select * from pgagent.pga_schedule"
            " on conflict (jscid) do update set jscjobid = {bobs}"
        ),
        "merge into pgagent.pga_jobstep using (select 1) x on true when matched then update set jstjobid = {bobs}",
        (
            "insert into pgagent.pga_job (jobid, jobjclid, jobname) values ({bobs}, 1, 'x')"
            " on conflict (jobid) do update set jobname = 'mine now'"
        ),
    ],
)
def test_rows_do_not_move_to_others(people: People, bobs: int, statement: str) -> None:
    schedule = add_schedule(people.log_in("bob"), bobs, hours=[1])
    alice = people.log_in("alice")
    mine = add_job(alice, "mine", sql_step("select 1"))
    alice.execute("insert into pgagent.pga_exception (jexscid, jexdate) values (%s, '2040-01-01')",
                  (add_schedule(alice, mine, hours=[1]),))  # fmt: skip
    with pytest.raises(DENIED):
        alice.execute(statement.format(bobs=bobs, schedule=schedule))


def test_nothing_is_copied_into_tables_with_policies(people: People) -> None:
    alice = people.log_in("alice")
    for table in ("pga_job (jobjclid, jobname, jobowner)", "pga_jobstep", "pga_schedule"):
        copying = alice.cursor().copy(f"copy pgagent.{table} from stdin")
        with pytest.raises((psycopg.errors.FeatureNotSupported, DENIED)), copying as copy:
            copy.write_row([1, "x", "postgres"])


def test_administrator_does_not_change_what_a_superuser_executes(connection: Session, people: People) -> None:
    jobid = add_job(connection, "superuser's", sql_step("select 1"))
    dba = people.log_in("dba")
    assert dba.execute("update pgagent.pga_jobstep set jstcode = 'x'").rowcount == 0
    assert dba.execute("delete from pgagent.pga_jobstep").rowcount == 0
    for statement in (
        (
            f"insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)"
            f" values ({jobid}, '0 first', 's', current_database(), 'select 1')"
        ),
        "update pgagent.pga_job set jobowner = 'dba'",
        "insert into pgagent.pga_job (jobjclid, jobname, jobowner) values (1, 'x', 'postgres')",
        (
            "insert into pgagent.pga_jobstep as s select * from pgagent.pga_jobstep p"
            " on conflict (jstid) do update set jstcode = 'x'"
        ),
    ):
        with pytest.raises(DENIED):
            dba.execute(statement)
    own = add_job(dba, "own", sql_step(WHO))
    with pytest.raises(DENIED):
        dba.execute("update pgagent.pga_jobstep set jstjobid = %s where jstjobid = %s", (jobid, own))
    run_as_ticker(connection, people, jobid, own)
    assert [runs(connection, job)[-1].status for job in (jobid, own)] == ["s", "s"]
    assert "<dba dba>" in outputs(connection, own)


# What a user's own functions see


def test_function_of_a_user_sees_no_rows_of_others(connection: Session, people: People, bobs: int) -> None:
    """The function is cheap and claims to be what it can: it is still called for visible rows alone."""
    connection.execute("create schema alices authorization alice")
    alice = people.log_in("alice")
    mine = add_job(alice, "mine", sql_step("select 1"))
    with pytest.raises(DENIED, match="leakproof"):
        alice.execute("create function alices.leak(text) returns bool language sql leakproof as 'select true'")
    alice.execute("create function alices.leak(text) returns bool language plpgsql immutable cost 0.0000001 as"
                  " $$ begin raise notice 'seen %', $1; return true; end $$")  # fmt: skip
    seen: list[str] = []
    alice.add_notice_handler(lambda diagnostic: seen.append(diagnostic.message_primary or ""))
    for table, column in (
        ("pga_job", "jobname"), ("pga_job", "jobid::text"), ("pga_jobstep", "jstcode"), ("pga_joblog", "jlgid::text"),
        ("_cancel_request", "jlgid::text"), ("event", "evtjobname"),
    ):  # fmt: skip
        alice.execute(f"select count(*) from pgagent.{table} where alices.leak({column})")
        alice.execute(f"explain analyze select count(*) from pgagent.{table} where alices.leak({column})")
    assert value(alice, "select array_agg(jobid) from pgagent.pga_job") == [mine]
    assert any("mine" in line for line in seen)
    assert [line for line in seen if "bob" in line or line == f"seen {bobs}" or "secret" in line] == []


def test_operators_and_casts_of_a_user_see_no_rows_of_others(connection: Session, people: People, bobs: int) -> None:
    assert bobs
    connection.execute("create schema alices authorization alice")
    alice = people.log_in("alice")
    alice.execute("create function alices.same(text, text) returns bool language plpgsql immutable cost 0.0000001 as"
                  " $$ begin raise notice 'seen %', $1; return true; end $$")  # fmt: skip
    alice.execute("create operator alices.= (function = alices.same, leftarg = text, rightarg = text)")
    alice.execute("set search_path = alices, pg_catalog")
    seen: list[str] = []
    alice.add_notice_handler(lambda diagnostic: seen.append(diagnostic.message_primary or ""))
    assert value(alice, "select count(*) from pgagent.pga_job where jobname = 'x'::text") == 0
    assert value(alice, "select count(*) from pgagent.pga_jobstep where jstcode = 'x'::text") == 0
    assert seen == []


def test_statistics_and_errors_show_nothing_of_others(connection: Session, people: People, bobs: int) -> None:
    connection.execute("analyze pgagent.pga_job; analyze pgagent.pga_jobstep")
    alice = people.log_in("alice")
    assert value(alice, "select count(*) from pg_stats where schemaname = 'pgagent'") == 0
    # Ids are the sequences': nobody finds out which are taken, or takes those to come.
    with pytest.raises(DENIED):
        alice.execute("insert into pgagent.pga_job (jobid, jobjclid, jobname) values (%s, 1, 'x')", (bobs,))
    plan = alice.execute("explain (analyze, verbose) select * from pgagent.pga_job").fetchall()
    assert "secret" not in str(plan)
    for sequence in ("pga_joblog_jlgid_seq", "pga_jobsteplog_jslid_seq", "event_evtid_seq", "pga_jobclass_jclid_seq"):
        for call in (f"select nextval('pgagent.{sequence}')", f"select * from pgagent.{sequence}"):
            with pytest.raises(DENIED):
                alice.execute(call)
    for sequence in ("pga_job_jobid_seq", "pga_jobstep_jstid_seq"):
        with pytest.raises(DENIED):
            alice.execute(f"select setval('pgagent.{sequence}', 1)")


def test_notifications_tell_nothing(connection: Session, people: People) -> None:
    stranger = people.log_in("stranger")
    for channel in ("pgagent_due", "pgagent_batch", "pgagent_event"):
        stranger.execute(f"listen {channel}")
    jobid = add_job(people.log_in("bob"), "bob's secret", sql_step("select 'secret'::int"))
    run_as_ticker(connection, people, jobid)
    payloads = [found.payload for found in stranger.notifies(timeout=5, stop_after=2)]
    assert payloads
    assert "secret" not in str(payloads)


# What is in the way of the engine


SHADOWS = """
    create table pga_job (jobid int); create table pga_jobagent (jagpid int);
    create function now() returns timestamptz language plpgsql as $$ begin raise 'shadow'; end $$;
    create function format(text, variadic text[]) returns text language plpgsql as $$ begin raise 'shadow'; end $$;
    create function pg_notify(text, text) returns void language plpgsql as $$ begin raise 'shadow'; end $$;
    create function clock_timestamp() returns timestamptz language plpgsql as $$ begin raise 'shadow'; end $$;
    create function pg_backend_pid() returns int language plpgsql as $$ begin raise 'shadow'; end $$;
    create function shadow(int, int) returns bool language plpgsql as $$ begin raise 'shadow'; end $$;
    create operator = (function = shadow, leftarg = int, rightarg = int);
    create operator < (function = shadow, leftarg = int, rightarg = int);
    create function shadow(timestamptz, timestamptz) returns bool language plpgsql as $$ begin raise 'shadow'; end $$;
    create operator <= (function = shadow, leftarg = timestamptz, rightarg = timestamptz);
    create operator > (function = shadow, leftarg = timestamptz, rightarg = timestamptz);
"""


def test_objects_of_a_user_in_the_way_are_not_used(
    cluster: Cluster, connection: Session, people: People, database: Database
) -> None:
    """Mallory owns the database, and puts a schema of hers before pg_catalog in everybody's search_path."""
    connection.execute("create schema evil")
    connection.execute("grant all on schema evil to public")
    connection.execute("set search_path = evil")
    connection.execute(SHADOWS)
    connection.execute("reset search_path")
    connection.execute(f"alter database {database.name} set search_path = evil, pg_catalog")
    jobid = add_job(
        people.log_in("alice", options="-c search_path=pg_catalog"), "job", sql_step("set search_path = ''")
    )
    ticker = people.log_in("ticker")
    for table in ("pga_job", "pga_joblog", "settings", "pga_jobagent"):
        ticker.execute(f"create temp table {table} (like pg_catalog.pg_class)")
    with cluster.connect(database.name, options="-c search_path=pg_catalog") as superuser:
        for round_ in (1, 2):
            make_due(superuser, jobid)
            with ticker.cursor() as cursor:
                assert cursor.execute("select status from pgagent.run_due('5 s')").fetchall() == [("succeeded",)]
            assert len(runs(superuser, jobid)) == round_
        assert ticker.execute("call pgagent.run_until_idle()").fetchall()
        alice = people.log_in("alice")
        add_schedule(alice, jobid, hours=[1])
        assert alice.execute("select pgagent.next_run(jscid) from pgagent.pga_schedule").fetchall()


EVERYBODYS_SETTINGS = (
    "role = 'alice'",
    "session_authorization = 'alice'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "statement_timeout = '1ms'",
    "lock_timeout = '1ms'",
    "idle_session_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "row_security = off",
    "client_encoding = 'latin1'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'iso_8601'",
    "array_nulls = off",
    "standard_conforming_strings = off",
    "transform_null_equals = on",
    "quote_all_identifiers = on",
    "extra_float_digits = -15",
    "xmloption = 'document'",
    "client_min_messages = 'debug1'",
    "enable_indexscan = off",
)
# A ticker's client says these itself; what is not said here, the database's owner says to it too.
CLIENT = "-c default_transaction_read_only=off -c statement_timeout=0 -c idle_session_timeout=0 -c role=none"
CLIENT += " -c datestyle=ISO -c intervalstyle=postgres -c idle_in_transaction_session_timeout=0"
CLIENT += " -c client_min_messages=warning -c default_transaction_deferrable=off"


@pytest.mark.parametrize("setting", EVERYBODYS_SETTINGS)
def test_settings_of_a_database_do_not_stop_the_engine(
    cluster: Cluster, connection: Session, people: People, database: Database, setting: str
) -> None:
    """Its owner may ALTER DATABASE SET. What it does to steps is theirs; nobody gains by it."""
    jobid = add_job(people.log_in("bob"), "job", sql_step(WHO), sql_step("select 1/0", on_error="i"))
    connection.execute(f"alter database {database.name} set {setting}")
    make_due(connection, jobid)
    with cluster.connect(database.name, user="ticker", options=CLIENT) as ticker:
        run_due(ticker)
        assert connection.execute("select * from pgagent.check_invariants()").fetchall() == []
    (run,) = runs(connection, jobid)
    if setting.startswith("statement_timeout") and run.status == "f":
        assert "statement timeout" in outputs(connection, jobid)
        return
    assert run.status == "s", outputs(connection, jobid)
    first_log, second_log = step_logs(connection, run)
    assert "<bob bob>" in (first_log.output or "")
    assert "ERROR" in (second_log.output or "")


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("session_preload_libraries = 'x'", True),
        ("session_replication_role = 'replica'", True),
        ("log_statement = 'none'", True),
        ("pgagent.step = 'off'", True),
        ("role = 'postgres'", False),
        ("session_authorization = 'postgres'", False),
        ("local_preload_libraries = 'x'", False),
    ],
)
def test_user_gains_nothing_by_settings_of_his_own_role(
    connection: Session, people: People, setting: str, refused: bool
) -> None:
    alice = people.log_in("alice")
    jobid = add_job(alice, "job", sql_step(WHO))
    healthy = add_job(people.log_in("bob"), "healthy", sql_step(WHO))
    try:
        alice.execute(f"alter role alice set {setting}")
        assert not refused
    except (DENIED, psycopg.errors.InvalidParameterValue):
        pass
    run_as_ticker(connection, people, jobid, healthy)
    assert "<postgres" not in outputs(connection, jobid)
    assert "postgres>" not in outputs(connection, jobid)
    assert "<bob bob>" in outputs(connection, healthy)


def test_step_cannot_call_run_due_whatever_it_sets(connection: Session, people: People) -> None:
    """A job user has no right to it; a ticker that has jobs is refused in a step."""
    connection.execute("select pgagent.grant_use('ticker')")
    call = "select * from pgagent.run_due()"
    mine = add_job(people.log_in("alice"), "job", sql_step(f"set pgagent.step = off; {call}"))
    tickers = add_job(people.log_in("ticker"), "job", sql_step(call))
    run_as_ticker(connection, people, mine, tickers)
    assert "permission denied for function run_due" in outputs(connection, mine)
    assert "run_due cannot be called from a job step" in outputs(connection, tickers)


def test_step_that_changes_what_it_can_of_its_session(connection: Session, people: People) -> None:
    """The next step of the same owner begins in a clean session; the engine's own is another one."""
    code = """
        set application_name = 'pgagent_py engine'; set client_connection_check_interval = 0; set pgagent.step = 'off';
        set client_encoding = 'latin1'; set search_path = ''; set row_security = off; set statement_timeout = '1 h';
        select set_config(name, setting, false) from pg_settings where context = 'user' and vartype = 'string';
        listen pgagent_due; select pg_advisory_lock_shared(1)
    """
    look = "select 1 / (current_setting('application_name') ~ '^pgagent_py step'"
    look += " and current_setting('pgagent.step') = 'on')::int"
    jobid = add_job(people.log_in("alice"), "job", sql_step(code), sql_step(look))
    run_as_ticker(connection, people, jobid)
    assert runs(connection, jobid)[-1].status == "s", outputs(connection, jobid)


def test_step_cannot_end_sessions_of_others(connection: Session, people: People) -> None:
    ends = (
        "select pg_terminate_backend(pid) from pg_stat_activity where usename is distinct from current_user and pid > 0"
    )
    jobid = add_job(people.log_in("alice"), "job", sql_step(ends))
    run_as_ticker(connection, people, jobid)
    assert "ERROR" in outputs(connection, jobid)
    assert runs(connection, jobid)[-1].status == "f"


def test_trigger_functions_are_not_for_tables_of_others(connection: Session, people: People) -> None:
    connection.execute("create schema alices authorization alice")
    alice = people.log_in("alice")
    alice.execute("create table alices.pga_job as select * from pgagent.pga_job")
    names = connection.execute(
        "select proname from pg_proc where pronamespace = 'pgagent'::regnamespace and prorettype = 'trigger'::regtype"
    ).fetchall()
    assert names
    for (name,) in names:
        with pytest.raises(DENIED):
            alice.execute(
                f"create trigger x before update on alices.pga_job for each row execute function pgagent.{name}()"
            )


def test_event_triggers_do_not_stop_the_engine(connection: Session, people: People) -> None:
    jobid = add_job(people.log_in("alice"), "job", sql_step("select 1"), sql_step("create temp table t ()"))
    connection.execute("create function public.refuse() returns event_trigger language plpgsql as"
                       " $$ begin raise 'no DDL today'; end $$")  # fmt: skip
    connection.execute("create event trigger refuse on ddl_command_start execute function public.refuse()")
    try:
        run_as_ticker(connection, people, jobid)
        assert [log.status for log in step_logs(connection, runs(connection, jobid)[0])] == ["s", "f"]
        assert "no DDL today" in outputs(connection, jobid)
    finally:
        connection.execute("drop event trigger refuse")


def test_claim_by_hand_gains_nothing(connection: Session, people: People) -> None:
    """Of one's own job, by a role with rights on all columns: it is freed again and runs."""
    connection.execute("grant update on pgagent.pga_job to alice")
    alice = people.log_in("alice")
    jobid = add_job(alice, "job", sql_step("select 1"))
    healthy = add_job(people.log_in("bob"), "healthy", sql_step("select 1"))
    ticker = people.log_in("ticker")
    make_due(connection, healthy)
    run_due(ticker)
    make_due(connection, jobid)
    agent = value(connection, "select jagpid from pgagent.pga_jobagent")
    alice.execute("update pgagent.pga_job set jobagentid = %s where jobid = %s", (agent, jobid))
    make_due(connection, healthy)
    run_due(ticker)
    assert [run.status for run in runs(connection, healthy)] == ["s", "s"]
    alice.execute("update pgagent.pga_job set jobagentid = null where jobid = %s", (jobid,))
    make_due(connection, jobid)
    run_due(ticker)
    assert [run.status for run in runs(connection, jobid)] == ["s"]


# What a step finds in its settings


@pytest.mark.parametrize("coding", ["SHIFT_JIS_2004", "JOHAB", "BIG5"])
def test_name_that_an_administrator_gives_is_no_code(connection: Session, people: People, coding: str) -> None:
    """Neither by characters that an encoding writes as a backslash, nor by those that have one as their second byte."""
    connection.execute(f"alter role alice set client_encoding = '{coding}'")
    connection.execute("alter role alice set backslash_quote = on")
    code = "do $x$ begin raise notice 'name %', current_setting('pgagent.job_name') ~ 'pwned'; end $x$"
    alice, ending = people.log_in("alice", client_encoding="UTF8"), "'; alter role alice set pgagent.pwned = 'yes'; --"
    jobids = [add_job(alice, "job", sql_step(code)) for _ in HALF_A_BACKSLASH]
    people.log_in("dba", client_encoding="UTF8").cursor().executemany(
        "update pgagent.pga_job set jobname = %s where jobid = %s",
        [(beginning + ending, jobid) for beginning, jobid in zip(HALF_A_BACKSLASH, jobids, strict=True)],
    )
    run_as_ticker(connection, people, *jobids)
    made = "select count(*) from pg_db_role_setting where array_to_string(setconfig, ' ') ~ 'pwned'"
    assert value(connection, made) == 0
    assert ["name t" in outputs(connection, jobid) for jobid in jobids] == [True] * len(jobids)


# Runs that are asked for


def test_request_for_a_run_cannot_be_locked(connection: Session, people: People) -> None:
    """The engine deletes it where it starts the run: it would wait, with the jobs of all others."""
    alice = people.log_in("alice")
    jobid = add_job(alice, "asked for", sql_step("select 1"))
    healthy = add_job(people.log_in("bob"), "healthy", sql_step("select 1"))
    asked = value(alice, "select pgagent.run_now(%s)", jobid)
    for strength in ("update", "no key update", "share", "key share"):
        with pytest.raises(DENIED):
            alice.execute(f"select from pgagent._run_request for {strength}")
    with alice.transaction(force_rollback=True):
        alice.execute("insert into pgagent._cancel_request (jlgid) values (%s)", (asked,))
        make_due(connection, healthy)
        run_due(people.log_in("ticker"))
        assert [run.status for run in runs(connection, healthy)] == ["s"]
    run_due(people.log_in("ticker"))
    assert value(alice, "select pgagent.wait_for_run(%s, '0 s')", asked) == "succeeded"


def test_asking_for_runs_of_others_locks_nothing_and_takes_no_id(people: People, bobs: int) -> None:
    """Policies are asked after triggers, and ids that are used up are so for all."""
    alice, bob = people.log_in("alice"), people.log_in("bob")
    jobid = add_job(alice, "asked for", sql_step("select 1"))
    first = value(alice, "select pgagent.run_now(%s)", jobid)
    with bob.transaction():
        bob.execute("select from pgagent.pga_job for update")
        alice.execute("set lock_timeout = '100 ms'")
        with pytest.raises(DENIED):
            alice.execute("insert into pgagent._run_request (jobid) values (%s)", (bobs,))
    asked = "insert into pgagent._run_request (jobid) select %s from generate_series(1, 100)"
    for ending in ("", " on conflict do nothing"):
        assert alice.execute(asked + ending, (jobid,)).rowcount == 0
    value(alice, "select pgagent.cancel_run(%s)", first)
    assert value(alice, "select pgagent.run_now(%s)", jobid) == first + 1


# Jobs by their names


def test_superusers_file_gives_nothing_to_who_has_taken_the_name(connection: Session, people: People) -> None:
    """A job of that name that somebody else has made is not the one that a document means without an owner."""
    alice = people.log_in("alice")
    jobid = add_job(alice, "nightly", sql_step("select 1", name="01"))
    step = {"name": "01", "sql": "select 2", "connection": "host=there password=secret"}
    apply = "select * from pgagent.apply_jobs(%s)"
    document: dict[str, Any] = {"version": 1, "jobs": [{"name": "nightly", "steps": [step]}]}
    with pytest.raises(DENIED, match=r'jobs\[0\]\.owner: job "nightly" belongs to role "alice"'):
        connection.execute(apply, (Jsonb(document),))
    assert value(alice, "select jstcode from pgagent.pga_jobstep") == "select 1"
    document["jobs"][0]["steps"] = [{"name": "01", "sql": "select 1"}]
    document["jobs"][0]["description"] = "what is no secret"
    connection.execute(apply, (Jsonb(document),))
    document["jobs"][0] |= {"owner": "postgres", "steps": [step]}
    connection.execute(apply, (Jsonb(document),))
    assert alice.execute("select from pgagent.pga_jobstep").fetchall() == []
    written = value(connection, "select jstconnstr from pgagent.pga_jobstep where jstjobid = %s", jobid)
    assert written == step["connection"]


# Calendars


def test_calendar_tells_nothing_of_those_who_use_it(connection: Session, people: People, bobs: int) -> None:
    """Its owner hears of schedules that never run any more, if they are of his own jobs."""
    alice, bob = people.log_in("alice"), people.log_in("bob")
    mine = add_job(alice, "mine", sql_step("select 1"))
    alice.execute("select pgagent.create_calendar('trap')")
    for user, jobid in ((alice, mine), (bob, bobs)):
        user.execute(
            "select pgagent.add_schedule(%s, '0 0 * * *', name => %s, ends => now() + '20 days', calendar => 'trap')",
            (jobid, f"schedule of {user.info.user}"),
        )
    heard: list[str] = []
    for user in (alice, connection):
        user.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    add = "select pgagent.add_holiday('trap', current_date - 2, current_date + 23)"
    alice.execute(add)
    assert [said.split('"')[1] for said in heard] == ["schedule of alice"]
    alice.execute("delete from pgagent.pga_holiday")
    heard.clear()
    connection.execute(add)
    assert len(heard) == 2


# Installing


@pytest.fixture
def mallorys(cluster: Cluster) -> Iterator[str]:
    """A database that mallory owns."""
    with cluster.connect() as conn:
        conn.execute("create role mallory login")
        conn.execute("create database mallorys owner mallory")
    yield "mallorys"
    with cluster.connect() as conn:
        conn.execute("drop database mallorys with (force)")
        conn.execute("drop role mallory")


@pytest.mark.parametrize(
    "trap",
    ["create schema pgagent", "create schema pgagent; alter schema pgagent owner to postgres",
     "create schema pgagent; grant create on schema pgagent to public"],
)  # fmt: skip
def test_schema_of_somebody_else_is_not_taken_over(cluster: Cluster, mallorys: str, trap: str) -> None:
    """Its owner could add functions that calls of ours resolve to, and so become superuser."""
    with cluster.connect(mallorys, user="mallory") as mallory, cluster.connect(mallorys) as superuser:
        for statement in trap.split("; "):
            (superuser if "owner to" in statement else mallory).execute(statement)
        if "owner to" in trap:
            superuser.execute("grant create on schema pgagent to mallory")
        elif "public" in trap:
            superuser.execute("alter schema pgagent owner to postgres")
        with pytest.raises(psycopg.errors.DuplicateSchema, match="may create objects in it") as caught:
            superuser.execute("create extension pgagent_py cascade")
        assert "DROP SCHEMA" in (caught.value.diag.message_hint or "")
        superuser.execute("drop schema pgagent")
        superuser.execute("create extension pgagent_py cascade")


# Hostile names and texts


NASTY = (
    "'; drop table pgagent.pga_job; --",
    '"; select 1; --',
    "$$ $1 $module_engine$ $do$",
    "%s %(x)s {0} %n",
    "-c role=postgres",
    "--help",
    "\\'\\\\ \\x00 \\n",
    "\x01\x02\x1b[31m\r\n\t\x7f",
    "\u202eevil\u2028 \U0001f600",
    'a,b}{NULL"',
    "x" * 1_000_000,
)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_text_is_text_everywhere(connection: Session, people: People, text: str) -> None:
    alice = people.log_in("alice")
    loud = sql_step("do $x$ begin raise notice '%', $y$" + text + "$y$; end $x$", name=text)
    wrong = sql_step("select 1/0 -- " + re.sub(r"[\r\n]", "", text), name=text + "2")
    jobid = add_job(alice, text, loud, wrong)
    alice.execute("update pgagent.pga_job set jobdesc = %s, joblocks = array[%s]", (text, text))
    add_schedule(alice, jobid, hours=[3], name=text)
    alice.execute("select pgagent.explain_schedule(jscid) from pgagent.pga_schedule")
    make_due(connection, jobid)
    (row,) = run_due(connection)
    assert (row.jobname, row.status) == (text, "failed")
    first_log, second_log = step_logs(connection, runs(connection, jobid)[0])
    assert (first_log.status, second_log.status) == ("s", "f")
    assert text.strip()[:1000] in (first_log.output or "").replace("\r\n", "\n") or "\r" in text
    assert "division by zero" in (second_log.output or "")
    assert value(connection, "select count(*) from pgagent.event where evtjobname = %s", text) == 1
    assert connection.execute("select matter from pgagent.health()").fetchall()


def test_owners_with_hostile_names_get_their_rights(connection: Session) -> None:
    name = 'x"; grant postgres to public; --'
    connection.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
    for function in ("grant_use", "grant_ticker", "grant_administration", "revoke_use", "revoke_ticker"):
        connection.execute(f"select pgagent.{function}(%s)", (name,))
    connection.execute("select pgagent.revoke_administration(%s)", (name,))
    connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_ticker_gets_only_steps_that_wait_for_one(connection: Session, people: People) -> None:
    """It sees the code of batch steps, of all owners, and can finish only what it has taken."""
    connection.execute("grant pg_execute_server_program to bob")
    jobid = add_job(people.log_in("bob"), "job", batch_step("echo one"), batch_step("echo two"))
    make_due(connection, jobid)
    ticker, other = people.log_in("ticker"), people.log_in("ticker")
    run_due(ticker)
    (taken,) = ticker.execute("select jslid, code from pgagent.take_batch_steps('', 10)").fetchall()
    assert taken[1] == "echo one"
    assert other.execute("select * from pgagent.take_batch_steps('', 10)").fetchall() == []
    assert value(other, "select pgagent.finish_batch_step(%s, 0, 'forged')", taken[0]) is False
    assert value(ticker, "select pgagent.finish_batch_step(%s, 0, 'true')", taken[0]) is True
    assert value(ticker, "select pgagent.finish_batch_step(%s, 0, 'again')", taken[0]) is False
