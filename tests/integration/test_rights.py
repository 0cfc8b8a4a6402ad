"""Who may see and do what, through the tables and through the functions."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import add_exception, add_job, add_schedule, make_due, run_due, runs, sql_step, value
from harness.people import People
from harness.statements import split_statements

Session = Connection[TupleRow]

DENIED = "42501"
UNDEFINED = "42704"
ALL_TABLES = (
    "pga_jobagent", "pga_jobclass", "pga_job", "pga_jobstep", "pga_schedule", "pga_exception", "pga_joblog",
    "pga_jobsteplog", "pga_calendar", "pga_holiday", "event", "settings", "_batch_step", "_cancel_request",
    "_run_request", "_prune_walk", "_alarm",
)  # fmt: skip
# The tables that hold what belongs to a job, and how a row of it is found.
OF_A_JOB = {
    "pga_job": "jobid = {jobid}",
    "pga_jobstep": "jstjobid = {jobid}",
    "pga_schedule": "jscjobid = {jobid}",
    "pga_exception": "jexscid in (select jscid from pgagent.pga_schedule where jscjobid = {jobid})",
    "pga_joblog": "jlgjobid = {jobid}",
    "pga_jobsteplog": "jsljlgid in (select jlgid from pgagent.pga_joblog where jlgjobid = {jobid})",
    "event": "evtjobid = {jobid}",
}


def refusal(conn: Session, statement: str) -> str:
    """The SQLSTATE with which a statement is refused; '' if it is not. What it did is undone."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return ""


def touched(conn: Session, statement: str) -> int:
    """How many rows a statement touches. What it did is undone."""
    with conn.transaction(force_rollback=True):
        return conn.execute(statement).rowcount


@pytest.fixture
def bobs(connection: Session, people: People) -> int:
    """A job of bob with a step, a schedule, an exception, two runs and an event."""
    bob = people.log_in("bob")
    jobid = add_job(bob, "bob's", sql_step("select 1/0"))
    add_exception(bob, add_schedule(bob, jobid, hours=[4]), at=time(4))
    for _ in range(2):
        make_due(connection, jobid)
        run_due(connection)
    return jobid


# Through the tables


@pytest.mark.parametrize(("role", "sees"), [("alice", 0), ("ticker", None), ("stranger", None), ("dba", 1), ("bob", 1)])
@pytest.mark.shared_database
def test_rows_of_a_job_are_seen_by_its_owner_and_administrators(
    people: People, bobs: int, role: str, sees: int | None
) -> None:
    conn = people.log_in(role)
    for table, condition in OF_A_JOB.items():
        query = f"select count(*) > 0 from pgagent.{table} where {condition.format(jobid=bobs)}"
        if sees is None:
            assert refusal(conn, query) == DENIED, table
        else:
            assert value(conn, query) is bool(sees), table


@pytest.mark.shared_database
def test_members_have_the_rights_of_the_owning_role(connection: Session, people: People, bobs: int) -> None:
    connection.execute("update pgagent.pga_job set jobowner = 'team'")
    alice, bob = people.log_in("alice"), people.log_in("bob")
    for table, condition in OF_A_JOB.items():
        query = f"select count(*) > 0 from pgagent.{table} where {condition.format(jobid=bobs)}"
        assert (value(alice, query), value(bob, query)) == (True, False), table
    assert touched(alice, "update pgagent.pga_jobstep set jstcode = 'select 2'") == 1


CHANGES = {
    "update pgagent.pga_job set jobname = 'x' where jobid = {jobid}": (1, 1),
    "update pgagent.pga_job set jobenabled = false where jobid = {jobid}": (1, 1),
    "update pgagent.pga_job set jobnextrun = now() where jobid = {jobid}": (1, 1),
    "delete from pgagent.pga_job where jobid = {jobid}": (1, 1),
    "update pgagent.pga_jobstep set jstcode = 'x' where jstjobid = {jobid}": (1, 0),
    "update pgagent.pga_jobstep set jstenabled = false where jstjobid = {jobid}": (1, 0),
    "delete from pgagent.pga_jobstep where jstjobid = {jobid}": (1, 0),
    "update pgagent.pga_schedule set jscenabled = false where jscjobid = {jobid}": (1, 1),
    "delete from pgagent.pga_schedule where jscjobid = {jobid}": (1, 1),
    "update pgagent.pga_exception set jextime = '05:00'": (1, 1),
    "delete from pgagent.pga_exception": (1, 1),
    "delete from pgagent.event": (1, 1),
}


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.shared_database
def test_who_changes_a_job(people: People, bobs: int, statement: str) -> None:
    """What is executed, administrators do not change; alice sees nothing to change; others may not touch the tables."""
    text = statement.format(jobid=bobs)
    found = tuple(touched(people.log_in(role), text) for role in ("bob", "dba", "alice"))
    assert found == (*CHANGES[statement], 0)
    assert [refusal(people.log_in(role), text) for role in ("ticker", "stranger")] == [DENIED] * 2


ADDITIONS = {
    "insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)"
    " values ({jobid}, 'x', 's', 'postgres', 'select 1')": ("", DENIED),
    "insert into pgagent.pga_schedule (jscjobid, jscname) values ({jobid}, 'x')": ("", ""),
    "insert into pgagent.pga_exception (jexscid, jexdate) values (1, '2040-01-01')": ("", ""),
    "insert into pgagent.pga_joblog (jlgjobid) values ({jobid})": (DENIED, DENIED),
    "insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid) values (1, 1)": (DENIED, DENIED),
    "insert into pgagent.event (evtkind, evtjobid, evtjobname) values ('failed', {jobid}, 'x')": (DENIED, DENIED),
    "insert into pgagent.pga_jobclass (jclname) values ('x')": (DENIED, ""),
    "insert into pgagent.pga_jobagent (jagpid, jagstation) values (1, 'x')": (DENIED, DENIED),
}


@pytest.mark.parametrize("statement", ADDITIONS)
def test_who_adds_to_a_job(people: People, bobs: int, statement: str) -> None:
    """Alice gets the same answer for bob's job and for one that does not exist."""
    assert bobs == value(people.log_in("bob"), "select jobid from pgagent.pga_job")
    text = statement.format(jobid=bobs)
    assert tuple(refusal(people.log_in(role), text) for role in ("bob", "dba")) == ADDITIONS[statement]
    nowhere = re.sub(r"\((1|\{jobid\})\b", "(4711", statement).format(jobid=4711)
    for other in (text, nowhere):
        assert [refusal(people.log_in(role), other) for role in ("alice", "ticker", "stranger")] == [DENIED] * 3


LOGS = (
    "update pgagent.pga_joblog set jlgstatus = 's'",
    "delete from pgagent.pga_joblog",
    "update pgagent.pga_jobsteplog set jsloutput = 'all is well'",
    "delete from pgagent.pga_jobsteplog",
    "update pgagent.event set evtdetail = ''",
    "update pgagent.pga_jobagent set jagleaseuntil = '-infinity'",
    "delete from pgagent.pga_jobagent",
    "update pgagent.pga_job set jobagentid = 1",
    "update pgagent.pga_job set jobfailures = 0, jobdisabledreason = 'x'",
    "update pgagent.pga_job set joblastrun = now()",
    "update pgagent.pga_job set jobrequested = now()",
    "update pgagent.pga_job set jobid = 4711",
    "insert into pgagent.pga_job (jobjclid, jobname, jobagentid) values (1, 'x', null)",
    "insert into pgagent.pga_job (jobjclid, jobname, joblastrun) values (1, 'x', now())",
)


@pytest.mark.usefixtures("bobs")
@pytest.mark.parametrize("statement", LOGS)
@pytest.mark.shared_database
def test_nobody_forges_a_log_or_a_claim(people: People, statement: str) -> None:
    roles = ("bob", "alice", "dba", "ticker", "stranger")
    assert [refusal(people.log_in(role), statement) for role in roles] == [DENIED] * len(roles)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.shared_database
def test_nobody_empties_or_alters_a_table(people: People, table: str) -> None:
    statements = (
        f"truncate pgagent.{table} cascade",
        f"alter table pgagent.{table} disable row level security",
        f"alter table pgagent.{table} disable trigger all",
        f"create policy x on pgagent.{table} using (true)",
        (
            f"create trigger x before insert on pgagent.{table} for each row"
            " execute function suppress_redundant_updates_trigger()"
        ),
        f"create table public.x (i int, foreign key (i) references pgagent.{table})",
        f"create rule x as on update to pgagent.{table} do also nothing",
    )
    for role in ("alice", "dba", "ticker"):
        conn = people.log_in(role)
        assert [refusal(conn, statement) for statement in statements] == [DENIED] * len(statements), role


@pytest.mark.parametrize("table", ["settings", "_batch_step", "_prune_walk", "_alarm", "_claimable_job"])
@pytest.mark.shared_database
def test_what_is_for_superusers_alone(people: People, table: str) -> None:
    for role in ("alice", "dba", "ticker", "stranger"):
        conn = people.log_in(role)
        assert refusal(conn, f"select from pgagent.{table}") == DENIED
        assert refusal(conn, f"delete from pgagent.{table}") == DENIED


@pytest.mark.shared_database
def test_settings_that_are_shared(people: People) -> None:
    for role in ("alice", "ticker"):
        assert value(people.log_in(role), "select timezone from pgagent._shared_settings") == "UTC"
        assert refusal(people.log_in(role), "update pgagent._shared_settings set timezone = 'Asia/Tokyo'") != ""


# As pgAdmin does


PGADMIN = """
do $$
declare
    jid int4;
    scid int4;
begin
    insert into pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled)
    values (1::integer, 'nightly'::text, ''::text, ''::text, true) returning jobid into jid;
    insert into pgagent.pga_jobstep (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror,
                                     jstcode, jstdesc)
    values (jid, 'one'::text, true, 's'::character(1), ''::text, current_database()::name, 'f'::character(1),
            'select 1'::text, ''::text);
    insert into pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscminutes, jschours, jscweekdays, jscmonthdays,
                                      jscmonths, jscenabled, jscstart, jscend)
    values (jid, 'daily'::text, ''::text, array_fill(false, '{60}'), array_fill(false, '{24}'),
            array_fill(false, '{7}'), array_fill(false, '{32}'), array_fill(false, '{12}'), true,
            '2024-01-01 00:00:00+00', null)
    returning jscid into scid;
    insert into pgagent.pga_exception (jexscid, jexdate, jextime) values (scid, '2040-01-01'::date, null);
end
$$
"""
MINE = "select jobid from pgagent.pga_job where xmin::text = (mod(txid_current(), 4294967296))::text"
JOB_LIST = """
    select j.jobid as oid, jobname as name, jobenabled, jobdesc, jobhostagent, jobcreated, jobchanged,
           jobagentid, jobnextrun, joblastrun, jclname,
           case when exists (select from pgagent.pga_joblog l where l.jlgjobid = j.jobid) then
               (select l.jlgstatus from pgagent.pga_joblog l
                 where l.jlgjobid = j.jobid order by l.jlgid desc limit 1) end
      from pgagent.pga_job j join pgagent.pga_jobclass c on jclid = jobjclid
      left join pgagent.pga_jobagent a on jagpid = jobagentid
     order by jobname
"""


@pytest.mark.shared_database
def test_job_user_works_with_pgadmin(connection: Session, people: People) -> None:
    alice = people.log_in("alice")
    with alice.transaction():
        alice.execute(PGADMIN)
        jobid = int(value(alice, MINE))
    assert value(alice, "select jobnextrun is not null and jobowner = 'alice' from pgagent.pga_job")
    assert len(alice.execute(JOB_LIST).fetchall()) == 1
    assert people.log_in("bob").execute(JOB_LIST).fetchall() == []
    make_due(alice, jobid)
    run_due(people.log_in("ticker"))
    assert [run.status for run in runs(alice, jobid)] == ["s"]
    assert value(alice, "select count(*) from pgagent.pga_jobsteplog") == 1
    alice.execute("update pgagent.pga_job set jobname = 'renamed', jobchanged = now() where jobid = %s", (jobid,))
    alice.execute("update pgagent.pga_jobstep set jstcode = 'select 2' where jstjobid = %s", (jobid,))
    alice.execute("update pgagent.pga_schedule set jscenabled = false where jscjobid = %s", (jobid,))
    alice.execute("delete from pgagent.pga_exception")
    alice.execute("delete from pgagent.pga_schedule where jscjobid = %s", (jobid,))
    alice.execute("delete from pgagent.pga_job where jobid = %s", (jobid,))
    assert value(connection, "select count(*) from pgagent.pga_joblog") == 0


def test_job_user_does_what_the_readme_shows(connection: Session, people: People) -> None:
    """Its examples of jobs and schedules, as they stand there."""
    connection.execute("grant pg_execute_server_program to alice")
    connection.execute("create procedure make_report() language sql as 'select 1'")
    alice = people.log_in("alice")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", readme, re.MULTILINE)
    chosen = [text for text in blocks if "create_job('report'" in text or "add_schedule('report'" in text]
    assert len(chosen) == 2
    for statement in [each for text in chosen for each in split_statements(re.sub("--.*", "", text))]:
        (connection if "run_due" in statement else alice).execute(statement.encode())
    assert value(alice, "select count(*) from pgagent.pga_schedule where jsccalendar is not null") == 4
    assert value(alice, "select state from pgagent.running where name = 'report'") == "waiting for ticker"
    assert value(alice, "select next_run from pgagent.jobs") is not None


@pytest.mark.shared_database
def test_job_user_works_with_pgagents_grants(connection: Session, people: People, bobs: int) -> None:
    """Rights on all tables, as one hands them out for pgAgent: the rows are still each owner's."""
    connection.execute("grant usage on schema pgagent to stranger")
    connection.execute("grant select, insert, update, delete on all tables in schema pgagent to stranger")
    connection.execute("grant usage on all sequences in schema pgagent to stranger")
    stranger = people.log_in("stranger")
    with stranger.transaction():
        stranger.execute(PGADMIN)
        jobid = int(value(stranger, MINE))
    make_due(stranger, jobid)
    run_due(people.log_in("ticker"))
    assert [run.status for run in runs(stranger, jobid)] == ["s"]
    for table, condition_of in OF_A_JOB.items():
        condition = condition_of.format(jobid=bobs)
        assert value(stranger, f"select count(*) from pgagent.{table} where {condition}") == 0
        assert touched(stranger, f"delete from pgagent.{table} where {condition}") == 0
    for table in ("settings", "_batch_step", "_prune_walk", "_alarm", "_claimable_job"):
        assert value(stranger, f"select count(*) from pgagent.{table}") == 0
        assert touched(stranger, f"delete from pgagent.{table}") == 0
    for statement in (
        f"insert into pgagent.pga_joblog (jlgjobid) values ({jobid})",
        (
            f"insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid) select max(jlgid), max(jstid)"
            f" from pgagent.pga_joblog join pgagent.pga_jobstep on jstjobid = jlgjobid where jlgjobid = {jobid}"
        ),
        f"insert into pgagent.event (evtkind, evtjobid, evtjobname) values ('failed', {jobid}, 'x')",
        "insert into pgagent.pga_jobagent (jagpid, jagstation) values (1, 'x')",
        "insert into pgagent.pga_jobclass (jclname) values ('x')",
        "insert into pgagent.settings (timezone) values ('UTC')",
        (
            "insert into pgagent._batch_step"
            " select 1, 1, 1, '', '', now(), 1, false, null, '[]', null, null, 'postgres', now()"
        ),
    ):
        assert refusal(stranger, statement) == DENIED, statement


@pytest.mark.shared_database
def test_views_are_no_way_round_the_policies(connection: Session, people: People, bobs: int) -> None:
    """Even for a role that was granted all on all tables."""
    connection.execute("grant usage on schema pgagent to stranger")
    connection.execute("grant select, insert, update, delete on all tables in schema pgagent to stranger")
    stranger = people.log_in("stranger")
    row = "(jobid, jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobcreated, jobchanged, jobfailures,"
    row += " jobpriority, jobowner) values ({}, 1, 'x', '', '', true, now(), now(), 0, 0, '{}')"
    refused = [
        refusal(stranger, f"insert into pgagent._claimable_job {row.format(4711, 'postgres')}"),
        refusal(stranger, f"insert into pgagent._claimable_job {row.format(4711, 'bob')}"),
        refusal(
            stranger,
            f"insert into pgagent._claimable_job {row.format(bobs, 'bob')}"
            " on conflict (jobid) do update set jobdesc = 'x' returning *",
        ),
        refusal(stranger, "update pgagent._shared_settings set timezone = 'Asia/Tokyo'"),
        refusal(stranger, "insert into pgagent._shared_settings values ('Asia/Tokyo', '1 min')"),
        refusal(stranger, "delete from pgagent._shared_settings"),
    ]
    assert refused == ["44000", "44000", "55000", "55000", "55000", "55000"]
    assert touched(stranger, "update pgagent._claimable_job set jobowner = 'stranger'") == 0
    assert value(connection, "select timezone from pgagent.settings") == "UTC"


# Through the functions


CALLS = {
    "select pgagent.pgagent_schema_version()": "bob alice dba ticker",
    "select pgagent.pga_is_leap_year(2000::int2)": "bob alice dba",
    "select * from pgagent.cron('0 3 * * *')": "bob alice dba",
    "select pgagent.to_cron('{}'::bool[], '{}', '{}', '{}', '{}')": "bob alice dba",
    "select pgagent.pga_next_schedule(1, now(), null, array_fill(false, '{60}'), array_fill(false, '{24}'),"
    " array_fill(false, '{7}'), array_fill(false, '{32}'), array_fill(false, '{12}'))": "bob alice dba",
    "select * from pgagent.calendar()": "bob alice dba",
    "select pgagent.create_job('mine', '0 3 * * *', sql => 'select 1')": "bob alice dba",
    "select pgagent.create_calendar(user, '{2031-01-01}')": "bob alice dba",
    "select pgagent.drop_calendar(user) from pgagent.create_calendar(user)": "bob alice dba",
    "select pgagent.add_holiday(user, '2031-01-01') from pgagent.create_calendar(user)": "bob alice dba",
    "select pgagent.drop_holiday(user, '2031-01-01') from pgagent.create_calendar(user)": "bob alice dba",
    "select pgagent.export_jobs()": "bob alice dba",
    """select * from pgagent.apply_jobs('{"jobs": [{"name": "new", "schedules": [{"name": "s", "every": "1 h",
        "timezone": "utc"}]}]}', dry_run => true)""": "bob alice dba",
    "select * from pgagent.check()": "bob alice dba",
    "select pgagent.is_administrator()": "dba",
    "select * from pgagent.run_due('0 s')": "ticker",
    "select pgagent.next_due()": "ticker",
    "select * from pgagent.take_batch_steps('', 0)": "ticker",
    "select pgagent.finish_batch_step(1, 0, '')": "ticker",
    "select * from pgagent.cancelled_batch_steps()": "ticker",
    "select pgagent._wait_for_work(null, now())": "ticker",
    "call pgagent.run_until_idle()": "ticker",
    "select * from pgagent.health()": "",
    "select * from pgagent.check_invariants()": "",
    "select * from pgagent.check_owner('alice')": "",
    "select pgagent.prune_runs()": "",
    "select pgagent.grant_use('stranger')": "",
    "select pgagent.revoke_use('bob')": "",
    "select pgagent.grant_ticker('stranger')": "",
    "select pgagent.revoke_ticker('ticker')": "",
    "select pgagent.grant_administration('stranger')": "",
    "select pgagent.revoke_administration('dba')": "",
    "select pgagent._recompute('{1}', '{}')": "",
    "select pgagent._tell_alarms('{1}')": "",
    "select pgagent._read_cancel_requests('{}')": "",
    "select pgagent._next_run_epochs('{1}', 0)": "",
}


@pytest.mark.usefixtures("bobs")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.shared_database
def test_who_calls_what(people: People, call: str) -> None:
    for role in ("bob", "alice", "dba", "ticker", "stranger"):
        conn = people.log_in(role)
        try:
            conn.execute(call)
            found = ""
        except psycopg.errors.InsufficientPrivilege:
            found = DENIED
        assert found == ("" if role in CALLS[call].split() else DENIED), role


@pytest.mark.shared_database
def test_every_public_function_has_its_callers(connection: Session, people: People) -> None:
    """The calls above and below, by name; what job users may call of others' jobs has a test of its own."""
    public = connection.execute(
        "select distinct proname::text from pg_proc where pronamespace = 'pgagent'::regnamespace and proname !~ '^_'"
        " and prorettype <> 'trigger'::regtype"
    ).fetchall()
    called = {name for call in (*CALLS, *OF_OTHERS, *OF_THEIR_OWNERS) for name in re.findall(r"pgagent\.(\w+)\(", call)}
    assert {row[0] for row in public} - called == set()
    assert value(people.log_in("dba"), "select pgagent.is_administrator()") is True


OF_OTHERS = {
    "select pgagent.next_run({jscid})": UNDEFINED,
    "select pgagent.explain_schedule({jscid})": UNDEFINED,
    "select pgagent.to_cron({jscid})": UNDEFINED,
    "select pgagent.upcoming({jobid})": UNDEFINED,
    "select pgagent.cancel_run({jlgid})": UNDEFINED,
    "select pgagent.wait_for_run({jlgid})": UNDEFINED,
    "select pgagent.run_now({jobid})": UNDEFINED,
    "select pgagent.add_exception({jscid}, '2031-01-01')": UNDEFINED,
    "select pgagent.add_exceptions({jscid}, '{{2031-01-01}}')": UNDEFINED,
    "select pgagent.drop_exception({jscid}, '2031-01-01')": UNDEFINED,
    "select pgagent.upcoming('bob''s')": UNDEFINED,
    "select pgagent.find_job('bob''s')": UNDEFINED,
    "select pgagent.alter_job({jobid}, timeout => '1 min')": UNDEFINED,
    "select pgagent.enable_job({jobid})": UNDEFINED,
    "select pgagent.disable_job({jobid})": UNDEFINED,
    "select pgagent.drop_job({jobid})": UNDEFINED,
    "select pgagent.add_schedule({jobid}, '0 3 * * *')": UNDEFINED,
    "select pgagent.alter_schedule({jscid}, crontab => '0 3 * * *')": UNDEFINED,
    "select pgagent.drop_schedule({jscid})": UNDEFINED,
}


@pytest.mark.parametrize("call", OF_OTHERS)
@pytest.mark.shared_database
def test_what_belongs_to_others_does_not_exist(people: People, bobs: int, call: str) -> None:
    """Nor does a plan that a session made for one role answer another one."""
    bob, alice = people.log_in("bob"), people.log_in("alice")
    ids = {
        "jobid": bobs,
        "jscid": value(bob, "select jscid from pgagent.pga_schedule"),
        "jlgid": value(bob, "select max(jlgid) from pgagent.pga_joblog"),
    }
    mine, nothing = call.format(**ids), call.format(jobid=4711, jscid=4711, jlgid=4711)
    assert refusal(bob, mine) == refusal(people.log_in("dba"), mine) == ""
    seen = [refusal(alice, text) for text in (mine, nothing)]
    assert seen in ([OF_OTHERS[call]] * 2, ["", ""]), seen
    if seen == ["", ""]:
        assert alice.execute(mine).fetchall() == alice.execute(nothing).fetchall()


OF_THEIR_OWNERS = (
    "select pgagent.add_step({jobid}, 'last', sql => 'select 1')",
    "select pgagent.alter_step({jstid}, sql => 'select 2')",
    "select pgagent.drop_step({jstid})",
    "select pgagent.copy_job({jobid}, 'copy')",
)


@pytest.mark.parametrize("call", OF_THEIR_OWNERS)
@pytest.mark.shared_database
def test_what_only_owners_do(people: People, bobs: int, call: str) -> None:
    bob = people.log_in("bob")
    mine = call.format(jobid=bobs, jstid=value(bob, "select jstid from pgagent.pga_jobstep"))
    found = [refusal(people.log_in(role), mine) for role in ("bob", "dba", "alice", "ticker", "stranger")]
    assert found == ["", DENIED, UNDEFINED, DENIED, DENIED]


@pytest.mark.shared_database
def test_plans_of_a_session_do_not_outlive_its_role(connection: Session, people: People, bobs: int) -> None:
    assert not people.log_in("bob").closed
    call = "select count(*) from pgagent.upcoming(%s)"
    for role, found in (("postgres", 10), ("bob", 10), ("alice", 0), ("bob", 10), ("alice", 0)):
        connection.execute(f"set role {role}")
        try:
            assert value(connection, call, bobs) == found
        except psycopg.errors.UndefinedObject:
            assert found == 0
        finally:
            connection.execute("reset role")


# Cancelling


@pytest.fixture
def running(connection: Session, people: People) -> int:
    """A run of bob's that goes on."""
    jobid = add_job(people.log_in("bob"), "long", sql_step("select pg_sleep(60)"))
    make_due(connection, jobid)
    ticker = people.log_in("ticker")
    run_due(ticker, "0.2 s")
    return runs(connection, jobid)[0].id


@pytest.mark.shared_database
def test_run_is_cancelled_by_those_who_see_it(connection: Session, people: People, running: int) -> None:
    alice = people.log_in("alice")
    assert refusal(alice, f"select pgagent.cancel_run({running})") == UNDEFINED
    for statement in (
        f"insert into pgagent._cancel_request (jlgid) values ({running})",
        f"insert into pgagent._cancel_request (jlgid, requested_by) values ({running}, 'alice')",
        "insert into pgagent._cancel_request (jlgid, requested_by) values (4711, 'alice')",
    ):
        assert refusal(alice, statement) == DENIED
    forged = f"insert into pgagent._cancel_request (jlgid, requested_by) values ({running}, 'alice')"
    assert refusal(people.log_in("bob"), forged) == DENIED
    assert refusal(people.log_in("ticker"), f"select pgagent.cancel_run({running})") == DENIED
    assert value(people.log_in("dba"), "select pgagent.cancel_run(%s)", running) is True
    assert value(connection, "select requested_by from pgagent._cancel_request") == "dba"


@pytest.mark.shared_database
def test_owner_cancels_as_whom_he_acts(connection: Session, people: People, running: int) -> None:
    connection.execute("update pgagent.pga_job set jobowner = 'team'")
    alice = people.log_in("alice")
    alice.execute("set role team")
    assert value(alice, "select pgagent.cancel_run(%s)", running) is True
    assert value(connection, "select requested_by from pgagent._cancel_request") == "team"


# What a ticker sees


@pytest.mark.shared_database
def test_ticker_sees_no_job(connection: Session, people: People) -> None:
    jobid = add_job(people.log_in("alice"), "name", sql_step("select 'xyzzy-secret'::int"))
    make_due(connection, jobid)
    ticker = people.log_in("ticker")
    notices: list[str] = []
    ticker.add_notice_handler(lambda diagnostic: notices.append(str(diagnostic.message_primary)))
    rows = run_due(ticker)
    assert [(row.jobname, row.status, row.detail) for row in rows] == [("name", "failed", "")]
    assert "xyzzy" not in str(rows) + str(notices)
    make_due(connection, jobid)
    assert "xyzzy" in run_due(connection)[0].detail


# Handing out


@pytest.mark.shared_database
def test_what_is_granted_is_taken_back(connection: Session, people: People) -> None:
    bob, dba, ticker = people.log_in("bob"), people.log_in("dba"), people.log_in("ticker")
    add_job(bob, "job", sql_step("select 1"))
    connection.execute("select pgagent.revoke_use('bob'), pgagent.revoke_ticker('ticker')")
    connection.execute("select pgagent.revoke_administration('dba')")
    assert value(dba, "select count(*) from pgagent.pga_job") == 0
    connection.execute("select pgagent.revoke_use('dba')")
    for conn, statement in (
        (bob, "select * from pgagent.pga_job"),
        (dba, "select * from pgagent.pga_job"),
        (ticker, "select * from pgagent.run_due()"),
    ):
        assert refusal(conn, statement) == DENIED
    left = connection.execute(
        "select c.relname, a.privilege_type from pg_class c cross join lateral aclexplode(c.relacl) a"
        " where c.relnamespace = 'pgagent'::regnamespace and a.grantee::regrole::text = any ('{bob, dba, ticker}')"
        " union all select p.proname, a.privilege_type from pg_proc p cross join lateral aclexplode(p.proacl) a"
        " where p.pronamespace = 'pgagent'::regnamespace and a.grantee::regrole::text = any ('{bob, dba, ticker}')"
        " union all select t.attname, a.privilege_type from pg_attribute t cross join lateral aclexplode(t.attacl) a"
        " where a.grantee::regrole::text = any ('{bob, dba, ticker}')"
    ).fetchall()
    assert left == []


@pytest.mark.parametrize("function", ["grant_use", "grant_ticker", "grant_administration"])
@pytest.mark.shared_database
def test_nothing_is_granted_to_nobody(connection: Session, function: str) -> None:
    for role in ("public", "no such role", None):
        with pytest.raises(psycopg.errors.UndefinedObject):
            connection.execute(f"select pgagent.{function}(%s)", (role,))


def private_functions() -> list[str]:
    """Those that grant_use hands out because public ones call them with the rights of their caller."""
    source = (Path(__file__).parents[2] / "sql/functions/grant_use.sql").read_text()
    found = re.search(r"What these and.*?\$\$", source, re.DOTALL)
    assert found is not None
    return re.findall(r"\b_\w+", found[0])


# Refused, and told why by a function that is granted for that.
TOLD = {
    "select pgagent.find_job('nothing')": UNDEFINED,
    "select pgagent.create_job('x', timeout => '-1 s')": "23514",
    "select pgagent.add_schedule(jobid, '@daily', calendar => 'nothing') from pgagent.pga_job": UNDEFINED,
    "select pgagent.wait_for_run(pgagent.run_now(jobid), '0 s') from pgagent.pga_job": "25000",
}
JOB_USER_CALLS = (
    *(f"select * from pgagent.{view}" for view in ("jobs", "runs", "run_steps", "running", "calendar", "statistics")),
    "select pgagent.next_run(jscid) from pgagent.pga_schedule",
    "select pgagent.explain_schedule(jscid) from pgagent.pga_schedule",
    "select pgagent.to_cron(jscid) from pgagent.pga_schedule",
    "select pgagent.upcoming(jobid) from pgagent.pga_job",
    "select pgagent.add_exception(jscid, '2031-01-01') from pgagent.pga_schedule",
    "select pgagent.add_step(jobid, sql => 'select 1') from pgagent.create_job('new') jobid",
    "select pgagent.alter_step(jstid, name => 'x', sql => 'select 1', on_error => 's') from pgagent.pga_jobstep",
    "select pgagent.alter_schedule(jscid, crontab => '0 3 * * *') from pgagent.pga_schedule",
    "select pgagent.add_schedule(jobid, at => now() + interval '1 h') from pgagent.pga_job",
    "select pgagent.disable_job(jobid), pgagent.copy_job(jobid, 'x') from pgagent.pga_job",
    *(call for call, roles in CALLS.items() if "bob" in roles),
    *TOLD,
)
CHANGE = """
    do $$ begin
        execute (select format('{} bob', string_agg(oid::regprocedure::text, ', '))
                   from pg_proc where pronamespace = 'pgagent'::regnamespace and proname = '{}');
    end $$
"""


@pytest.mark.usefixtures("bobs")
@pytest.mark.shared_database
def test_private_functions_that_are_granted_are_needed(connection: Session, people: People) -> None:
    """Without one of them, one of the calls is refused."""
    bob = people.log_in("bob")
    assert [call for call in JOB_USER_CALLS if refusal(bob, call) != TOLD.get(call, "")] == []
    unneeded = []
    for name in private_functions():
        connection.execute(CHANGE.format("revoke execute on function %s from", name))
        # What loads Python is called once in a session.
        conn = people.log_in("bob") if name.startswith("_python") else bob
        if not any(refusal(conn, call) == DENIED for call in JOB_USER_CALLS):
            unneeded.append(name)
        connection.execute(CHANGE.format("grant execute on function %s to", name))
    assert unneeded == []
