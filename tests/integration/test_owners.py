"""Jobs of several owners: each runs as its owner, and is seen by those who may."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Database, add_job, batch_step, make_due, run_due, runs, sql_step, step_logs, value

ROLES = ("alice", "bob", "team", "dba", "ticker")


@pytest.fixture
def log_in(connection: Connection[TupleRow], database: Database) -> Iterator[Callable[[str], Connection[TupleRow]]]:
    """Sessions of alice and bob, who may have jobs, alice in role team; of an administrator and a ticker."""
    for role in ROLES:
        connection.execute(f"create role {role} {'nologin' if role == 'team' else 'login'}")
    connection.execute("grant team to alice")
    for role in ("alice", "bob", "team"):
        connection.execute("select pgagent.grant_use(%s)", (role,))
    connection.execute("select pgagent.grant_administration('dba'), pgagent.grant_ticker('ticker')")
    sessions = []

    def log_in(role: str) -> Connection[TupleRow]:
        conninfo = psycopg.conninfo.make_conninfo(database.conninfo, user=role)
        sessions.append(psycopg.connect(conninfo, autocommit=True))
        return sessions[-1]

    yield log_in
    for session in sessions:
        session.close()
    connection.execute("delete from pgagent.pga_job")
    for role in ROLES:
        connection.execute(f"drop owned by {role}")
        connection.execute(f"drop role {role}")


LogIn = Callable[[str], Connection[TupleRow]]
WHO = "do $$ begin raise notice '% %', session_user, current_user; end $$"


def test_steps_log_in_as_the_owner(connection: Connection[TupleRow], log_in: LogIn) -> None:
    jobid = add_job(log_in("alice"), "job", sql_step(WHO), sql_step(f"reset role; {WHO}"))
    make_due(connection, jobid)
    run_due(log_in("ticker"))
    (run,) = runs(connection, jobid)
    logs = step_logs(connection, run)
    assert run.status == "s", logs
    assert ["alice alice" in (log.output or "") for log in logs] == [True, True]


def test_everybody_sees_his_own(connection: Connection[TupleRow], log_in: LogIn) -> None:
    alice, bob, dba = log_in("alice"), log_in("bob"), log_in("dba")
    job = add_job(alice, "alice's", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = 'team' where jobid = %s", (job,))
    other = add_job(bob, "bob's", sql_step("select 1"))
    seen = "select array_agg(jobid order by jobid) from pgagent.pga_job"
    assert [value(conn, seen) for conn in (alice, bob, dba)] == [[job], [other], [job, other]]
    assert bob.execute("update pgagent.pga_jobstep set jstcode = 'x' where jstjobid = %s", (job,)).rowcount == 0
    assert dba.execute("update pgagent.pga_jobstep set jstcode = 'x' where jstjobid = %s", (job,)).rowcount == 0
    assert dba.execute("update pgagent.pga_job set jobnextrun = now() where jobid = %s", (job,)).rowcount == 1
    assert value(dba, "select pgagent.is_administrator()") is True
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.execute("select pgagent.is_administrator()")


@pytest.mark.parametrize("owner", ["bob", "postgres"])
def test_owner_is_not_given_to_others(log_in: LogIn, owner: str) -> None:
    alice = log_in("alice")
    add_job(alice, "job", sql_step("select 1"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.execute("update pgagent.pga_job set jobowner = %s", (owner,))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.execute("insert into pgagent.pga_job (jobjclid, jobname, jobowner) values (1, 'mine', %s)", (owner,))
    alice.execute("update pgagent.pga_job set jobowner = 'team'")


def test_batch_steps_are_for_those_who_may_run_programs(connection: Connection[TupleRow], log_in: LogIn) -> None:
    alice = log_in("alice")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        add_job(alice, "job", batch_step("id"))
    connection.execute("grant pg_execute_server_program to alice")
    jobid = add_job(alice, "job", batch_step("id"))
    make_due(connection, jobid)
    ticker = log_in("ticker")
    run_due(ticker)
    connection.execute("revoke pg_execute_server_program from alice")
    assert ticker.execute("select * from pgagent.take_batch_steps('', 1)").fetchall() == []
    run_due(ticker)
    run = runs(connection, jobid)[-1]
    (log,) = step_logs(connection, run)
    assert (run.status, log.status) == ("f", "f")
    assert "pg_execute_server_program" in (log.output or "")


def test_whether_an_owner_can_log_in(connection: Connection[TupleRow], log_in: LogIn) -> None:
    log_in("alice")
    assert connection.execute("select * from pgagent.check_owner('alice')").fetchall() == [(True, None, None)]
    (row,) = connection.execute("select allowed, remedy from pgagent.check_owner('team')").fetchall()
    assert row == (False, 'ALTER ROLE "team" LOGIN')
    with pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("select pgagent.check_owner('nobody')")


def test_what_is_granted_is_taken_back(connection: Connection[TupleRow], log_in: LogIn) -> None:
    bob, dba, ticker = log_in("bob"), log_in("dba"), log_in("ticker")
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
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement)


@pytest.mark.parametrize("function", ["grant_use", "grant_ticker", "grant_administration"])
def test_nothing_is_granted_to_nobody(connection: Connection[TupleRow], function: str) -> None:
    for role in ("public", "no such role", None):
        with pytest.raises(psycopg.errors.UndefinedObject):
            connection.execute(f"select pgagent.{function}(%s)", (role,))


def test_remote_step_of_a_job_user_brings_a_password_that_is_asked_for(
    connection: Connection[TupleRow], database: Database, log_in: LogIn
) -> None:
    """This server trusts everybody, so it never asks."""
    alice = log_in("alice")
    without = add_job(alice, "without", sql_step("select 1", connstr=database.conninfo))
    unasked = add_job(alice, "unasked", sql_step("select 1", connstr=f"{database.conninfo} password=x"))
    allowed = add_job(connection, "superuser's", sql_step("select 1", connstr=database.conninfo))
    make_due(connection, without, unasked, allowed)
    run_due(connection)
    outputs = [
        step_logs(connection, runs(connection, jobid)[0])[0].output or "" for jobid in (without, unasked, allowed)
    ]
    assert "a password is required" in outputs[0]
    assert "did not ask for the password" in outputs[1]
    assert [runs(connection, jobid)[0].status for jobid in (without, unasked, allowed)] == ["f", "f", "s"]


@pytest.mark.parametrize(("owner", "claimed"), [("postgres", 1), ("alice", 0)])
def test_daemon_of_pgagent_gets_no_job_of_others(
    connection: Connection[TupleRow], log_in: LogIn, owner: str, claimed: int
) -> None:
    """It would run them with its own rights."""
    log_in("alice")
    jobid = add_job(connection, "job", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = %s", (owner,))
    make_due(connection, jobid)
    connection.execute("insert into pgagent.pga_jobagent (jagpid, jagstation) values (pg_backend_pid(), 'daemon')")
    claim = connection.execute(
        "update pgagent.pga_job set jobagentid = pg_backend_pid(), joblastrun = now()"
        " where jobagentid is null and jobid = %s",
        (jobid,),
    )
    assert claim.rowcount == claimed
