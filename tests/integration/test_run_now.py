"""run_now promises a run and its id; wait_for_run waits for its end; cancel_run gives it up before it has started."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    add_job,
    add_schedule,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_until_held,
    runs,
    sql_step,
    step_logs,
    value,
)
from harness.people import People
from harness.waiting import wait_until
from pgagent_py import ledger

pytestmark = pytest.mark.shared_database

Conn = Connection[TupleRow]
BROKEN = "select * from pgagent.check_invariants()"


def ask(conn: Conn, job: int | str, step: int | str | None = None) -> int:
    run: int = value(conn, "select pgagent.run_now(%s, %s)", job, step)
    return run


def next_run_of(conn: Conn, jobid: int) -> object:
    return value(conn, "select jobnextrun from pgagent.pga_job where jobid = %s", jobid)


def test_run_has_the_id_that_was_promised(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    promised = ask(connection, "report")
    run_due(connection)
    assert [(run.id, run.status) for run in runs(connection, jobid)] == [(promised, "s")]
    assert value(connection, "select pgagent.wait_for_run(%s)", promised) == "succeeded"
    assert value(connection, "select count(*) from pgagent._run_request") == 0


def test_next_run_is_by_schedule_again(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    add_schedule(connection, jobid, hours=[4])
    before = next_run_of(connection, jobid)
    ask(connection, jobid)
    run_due(connection)
    assert next_run_of(connection, jobid) == before


def test_disabled_job_runs_and_stays_disabled(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"), enabled=False)
    promised = ask(connection, jobid)
    assert connection.execute(BROKEN).fetchall() == []
    run_due(connection)
    assert [(run.id, run.status) for run in runs(connection, jobid)] == [(promised, "s")]
    assert next_run_of(connection, jobid) is None
    assert value(connection, "select jobenabled from pgagent.pga_job") is False
    run_due(connection, "0.1 s")
    assert len(runs(connection, jobid)) == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_single_step(connection: Conn, enabled: bool) -> None:
    steps = [sql_step("select 1", name="a"), sql_step("select 1 from (values (1), (2)) v", name="b", enabled=enabled)]
    jobid = add_job(connection, "report", *steps, sql_step("select 1/0", name="c"))
    promised = ask(connection, "report", "b")
    run_due(connection)
    assert [(log.name, log.status, log.result) for log in step_logs(connection, promised)] == [("b", "s", 2)]
    make_due(connection, jobid)
    run_due(connection)
    last = runs(connection, jobid)[-1]
    assert [log.name for log in step_logs(connection, last)] == (["a", "b", "c"] if enabled else ["a", "c"])


def test_step_that_is_gone(connection: Conn) -> None:
    add_job(connection, "report", sql_step("select 1", name="a"), sql_step("select 1", name="b"))
    promised = ask(connection, "report", "b")
    connection.execute("delete from pgagent.pga_jobstep where jstname = 'b'")
    run_due(connection)
    assert value(connection, "select pgagent.wait_for_run(%s)", promised) == "aborted"
    assert "the job has lost the step" in value(connection, "select jlgreason from pgagent.pga_joblog")


@pytest.mark.parametrize("claim", [ledger.CLAIM, ledger.CLAIM_BY_PRIORITY], ids=lambda claim: claim.name.decode())
def test_claim_that_does_not_see_the_request_leaves_the_job(
    connection: Conn, database: Database, claim: ledger.Statement
) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    make_due(connection, jobid)
    connection.execute("update pgagent.pga_job set jobpriority = 1")
    slow = claim.sql.replace("<= now()", "<= now() and pg_sleep(0.3) is not null", 1)
    with (
        psycopg.connect(database.conninfo) as user,
        psycopg.connect(database.conninfo, autocommit=True) as engine,
        ThreadPoolExecutor() as executor,
    ):
        promised = ask(user, jobid)
        pid = engine.info.backend_pid
        engine.execute(
            "insert into pgagent.pga_jobagent (jagpid, jagstation, jagbackendstart)"
            " select pid, '', backend_start from pg_stat_activity where pid = pg_backend_pid()"
        )
        engine.execute(f"prepare claim as {slow}")
        claimed = executor.submit(engine.execute, f"execute claim (9, null, {pid}, '-infinity', 0, false)")
        sleeping = "select count(*) from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
        wait_until(lambda: value(connection, sleeping, pid) == 1, what="the claim")
        user.commit()
        assert claimed.result().fetchall() == []
        assert runs(connection, jobid) == []
        engine.execute("delete from pgagent.pga_jobagent")
    run_due(connection)
    assert [log.status for log in step_logs(connection, promised)] == ["s"]


def test_job_that_says_it_was_asked_for_but_was_not(connection: Conn) -> None:
    forged = add_job(connection, "forged", sql_step("select 1"))
    other = add_job(connection, "other", sql_step("select 1"))
    make_due(connection, forged, other)
    connection.execute("update pgagent.pga_job set jobrunid = 1 where jobid = %s", (forged,))
    run_due(connection, "2 s")
    assert (len(runs(connection, forged)), len(runs(connection, other))) == (0, 1)


def test_what_was_due_is_due_again_when_it_is_cancelled(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    add_schedule(connection, jobid, hours=[4])
    make_due(connection, jobid)
    due = next_run_of(connection, jobid)
    connection.execute("select pgagent.cancel_run(%s)", (ask(connection, jobid),))
    assert next_run_of(connection, jobid) == due
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["d", "s"]


def test_change_of_the_schedule_takes_away_what_was_due(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    make_due(connection, jobid)
    promised = ask(connection, jobid)
    add_schedule(connection, jobid, hours=[4])
    connection.execute("select pgagent.cancel_run(%s)", (promised,))
    assert value(connection, "select jobnextrun > now() from pgagent.pga_job") is True


def test_single_step_is_not_the_run_that_is_due(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1", name="a"), sql_step("select 1", name="b"))
    make_due(connection, jobid)
    promised = ask(connection, "report", "b")
    run_due(connection)
    assert [[log.name for log in step_logs(connection, run)] for run in runs(connection, jobid)] == [["b"], ["a", "b"]]
    assert runs(connection, jobid)[0].id == promised


def test_asked_for_before_the_run_that_is_cancelled(connection: Conn, database: Database) -> None:
    jobid = add_job(connection, "report", sql_step(WAITING_CODE))
    hold_steps(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        make_due(connection, jobid)
        run_until_held(engine)
        connection.execute("update pgagent.pga_job set jobnextrun = now()")
        connection.execute("select pgagent.cancel_run(%s)", (ask(connection, jobid),))
        release_steps(connection)
        run_due(engine)
    assert [run.status for run in runs(connection, jobid)] == ["s", "d", "s"]


def test_asked_for_during_a_run_it_follows(connection: Conn, database: Database) -> None:
    jobid = add_job(connection, "report", sql_step(WAITING_CODE))
    hold_steps(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        make_due(connection, jobid)
        run_until_held(engine)
        promised = ask(connection, jobid)
        assert ask(connection, jobid) == promised
        release_steps(connection)
        run_due(engine)
    assert [run.status for run in runs(connection, jobid)] == ["s", "s"]
    assert runs(connection, jobid)[-1].id == promised


def test_asked_for_twice_it_runs_once(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1", name="a"))
    assert ask(connection, jobid) == ask(connection, jobid)
    assert value(connection, "select pgagent.find_job('report')") == jobid
    with pytest.raises(errors.ObjectInUse):
        ask(connection, "report", "a")
    run_due(connection)
    assert len(runs(connection, jobid)) == 1


def test_change_of_the_schedule_does_not_put_it_off(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    promised = ask(connection, jobid)
    add_schedule(connection, jobid, hours=[4])
    connection.execute("update pgagent.pga_job set jobnextrun = null")
    run_due(connection)
    assert [run.id for run in runs(connection, jobid)] == [promised]


def test_cancelled_before_it_starts(connection: Conn) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    add_schedule(connection, jobid, hours=[4])
    before = next_run_of(connection, jobid)
    promised = ask(connection, jobid)
    assert value(connection, "select pgagent.cancel_run(%s)", promised) is True
    assert value(connection, "select pgagent.wait_for_run(%s)", promised) == "aborted"
    reason = value(connection, "select jlgreason from pgagent.pga_joblog")
    assert reason == "not started: cancelled by postgres"
    assert next_run_of(connection, jobid) == before
    run_due(connection, "0.1 s")
    assert len(runs(connection, jobid)) == 1
    assert connection.execute(BROKEN).fetchall() == []


def run_while_the_next_is_cancelled(connection: Conn, database: Database, jobid: int) -> None:
    """Run a job whose step waits; meanwhile a run is asked for and cancelled."""
    hold_steps(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        make_due(connection, jobid)
        run_until_held(engine)
        connection.execute("select pgagent.cancel_run(%s)", (ask(connection, jobid),))
        release_steps(connection)
        run_due(engine)


def test_cancelled_while_the_run_before_goes_on(connection: Conn, database: Database) -> None:
    jobid = add_job(connection, "report", sql_step(WAITING_CODE))
    run_while_the_next_is_cancelled(connection, database, jobid)
    assert [run.status for run in runs(connection, jobid)] == ["s", "d"]


def test_failure_counts_though_the_next_run_was_given_up(connection: Conn, database: Database) -> None:
    jobid = add_job(connection, "report", sql_step(f"{WAITING_CODE}; select 1/0"))
    connection.execute("update pgagent.pga_job set jobmaxfailures = 2")
    run_while_the_next_is_cancelled(connection, database, jobid)
    assert value(connection, "select jobfailures from pgagent.pga_job") == 1


def test_disabling_the_job_gives_the_run_up(connection: Conn) -> None:
    add_job(connection, "report", sql_step("select 1"))
    promised = ask(connection, "report")
    connection.execute("update pgagent.pga_job set jobenabled = false")
    assert value(connection, "select pgagent.wait_for_run(%s)", promised) == "aborted"
    assert value(connection, "select jlgreason from pgagent.pga_joblog") == "not started: the job was disabled"
    assert run_due(connection, "0.1 s") == []


def test_deleting_the_job_deletes_the_request(connection: Conn) -> None:
    add_job(connection, "report", sql_step("select 1"))
    promised = ask(connection, "report")
    connection.execute("delete from pgagent.pga_job")
    with pytest.raises(errors.UndefinedObject):
        connection.execute("select pgagent.wait_for_run(%s)", (promised,))


def test_daemon_of_pgagent_does_not_take_it(connection: Conn, database: Database) -> None:
    jobid = add_job(connection, "report", sql_step("select 1"))
    ask(connection, jobid)
    with psycopg.connect(database.conninfo) as daemon:
        daemon.execute("insert into pgagent.pga_jobagent (jagpid, jagstation) values (pg_backend_pid(), 'daemon')")
        claim = "update pgagent.pga_job set jobagentid = pg_backend_pid(), joblastrun = now() where jobid = %s"
        assert daemon.execute(claim, (jobid,)).rowcount == 0
        daemon.rollback()


def test_waiting_for_ones_own_request_behind_a_savepoint(connection: Conn, database: Database) -> None:
    add_job(connection, "report", sql_step("select 1"))
    with psycopg.connect(database.conninfo) as conn, conn.transaction(), conn.transaction():
        promised = ask(conn, "report")
        with pytest.raises(errors.InvalidTransactionState), conn.transaction():
            conn.execute("select pgagent.wait_for_run(%s, '10 s')", (promised,))


def test_step_that_waits_for_the_one_who_waits(connection: Conn, database: Database) -> None:
    connection.execute("create table public.t (a int4)")
    add_job(connection, "report", sql_step("create index concurrently on public.t (a)"))
    promised = ask(connection, "report")
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        engine.pgconn.send_query(b"call pgagent.run_until_idle()")
        with pytest.raises(errors.DeadlockDetected):
            connection.execute("select pgagent.wait_for_run(%s, '20 s')", (promised,))
        while engine.pgconn.get_result() is not None:
            pass
    assert value(connection, "select pgagent.wait_for_run(%s)", promised) == "succeeded"


def test_waiting_has_a_limit(connection: Conn) -> None:
    add_job(connection, "report", sql_step("select 1"))
    promised = ask(connection, "report")
    assert value(connection, "select pgagent.wait_for_run(%s, '50 ms')", promised) is None


@pytest.mark.parametrize(
    ("code", "status"), [("select 1", "succeeded"), ("select 1/0", "failed")], ids=["succeeded", "failed"]
)
def test_waiting_ends_with_the_run(connection: Conn, database: Database, code: str, status: str) -> None:
    add_job(connection, "report", sql_step(f"select pg_sleep(0.2); {code}"))
    promised = ask(connection, "report")
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        engine.pgconn.send_query(b"select from pgagent.run_due('20 s')")
        assert value(connection, "select pgagent.wait_for_run(%s, '20 s')", promised) == status
        while engine.pgconn.get_result() is not None:
            pass


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("select pgagent.run_now(0)", errors.UndefinedObject),
        ("select pgagent.run_now(null::int4)", errors.NullValueNotAllowed),
        ("select pgagent.run_now('nobody')", errors.UndefinedObject),
        ("select pgagent.run_now('report', 'no step')", errors.UndefinedObject),
        ("select pgagent.run_now(jobid, 0) from pgagent.pga_job", errors.UndefinedObject),
        ("select pgagent.wait_for_run(0)", errors.UndefinedObject),
        ("begin; select pgagent.wait_for_run(pgagent.run_now('report'))", errors.InvalidTransactionState),
        ("begin isolation level repeatable read; select pgagent.wait_for_run(1)", errors.InvalidTransactionState),
    ],
)
def test_nonsense(connection: Conn, statement: str, error: type[psycopg.Error]) -> None:
    add_job(connection, "report", sql_step("select 1"))
    with pytest.raises(error):
        connection.execute(statement)
    connection.rollback()


def test_users_run_and_cancel_their_own_jobs(people: People) -> None:
    alice, bob, dba = (people.log_in(name) for name in ("alice", "bob", "dba"))
    jobid = add_job(alice, "hers", sql_step("select 1"))
    step = value(alice, "select jstid from pgagent.pga_jobstep")
    promised = ask(alice, "hers")
    for statement, state in {
        f"select pgagent.run_now({jobid})": "42704",
        f"select pgagent.wait_for_run({promised})": "42704",
        f"select pgagent.cancel_run({promised})": "42704",
        f"insert into pgagent._run_request (jobid, jstid) values ({jobid}, {step})": "42501",
        "insert into pgagent._run_request (jobid, jlgid) values (1, 1)": "42501",
        f"insert into pgagent._cancel_request (jlgid) values ({promised})": "42501",
        "update pgagent.pga_job set jobrunid = 1": "42501",
    }.items():
        with pytest.raises(psycopg.Error) as caught:
            bob.execute(statement)
        assert caught.value.sqlstate == state, statement
    for statement in (
        "update pgagent._run_request set jstid = null",
        "select from pgagent._run_request for key share",
        f"insert into pgagent._cancel_request (jlgid) values ({promised})",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            bob.execute(statement)
    with pytest.raises(errors.InsufficientPrivilege):
        alice.execute("insert into pgagent._cancel_request (jlgid, requested_by) values (%s, 'bob')", (promised,))
    with pytest.raises(errors.InsufficientPrivilege):  # or a claim would wait for her
        alice.execute("select from pgagent._run_request for key share")
    assert ask(dba, "hers") == promised
    assert value(dba, "select pgagent.cancel_run(%s)", promised) is True
    assert value(alice, "select jlgreason from pgagent.pga_joblog") == "not started: cancelled by dba"
    assert value(dba, "select count(*) from pgagent._run_request") == 0


def test_what_a_step_knows(connection: Conn) -> None:
    code = """
    do $$ begin raise exception '%|%|%|%|%', current_setting('pgagent.job_id'), current_setting('pgagent.job_name'),
        current_setting('pgagent.run_id'), current_setting('pgagent.step_id'),
        current_setting('pgagent.due')::timestamptz between now() - interval '1 min' and now(); end $$
    """
    name = "it's \\ 100 % € \n 'name'"
    jobid = add_job(connection, name, sql_step(code, on_error="i"), sql_step(code, on_error="i"))
    promised = ask(connection, jobid)
    run_due(connection)
    steps = connection.execute("select jstid from pgagent.pga_jobstep order by jstname").fetchall()
    for log, (step,) in zip(step_logs(connection, promised), steps, strict=True):
        assert f"{jobid}|{name}|{promised}|{step}|t" in (log.output or "")


def test_settings_are_gone_after_the_step(connection: Conn) -> None:
    jobid = add_job(connection, "changes them", sql_step("set pgagent.job_id = 'mine'; set pgagent.own = 'x'"))
    make_due(connection, jobid)
    run_due(connection)
    code = """
    select 1 / (current_setting('pgagent.job_id') <> 'mine'
                 and coalesce(current_setting('pgagent.own', true), '') = '')::int
    """
    other = add_job(connection, "other", sql_step(code))
    make_due(connection, other)
    run_due(connection)
    assert [run.status for run in runs(connection, other)] == ["s"]
