"""check_invariants: each rule is missed when it is broken, and nothing is reported of a system at work."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    Ticker,
    add_job,
    add_schedule,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_until_held,
    sql_step,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]

GONE = "an agent is gone: the next run_due cleans up"
"""The one text that is no fault."""

AGENT = """
    insert into pgagent.pga_jobagent (jagpid, jaglogintime, jagstation, jagbackendstart, jagleaseuntil)
    select a.pid, clock_timestamp(), 'test', a.backend_start, clock_timestamp() + interval '1 min'
    from pg_stat_activity a where a.pid = pg_backend_pid()
"""

CLAIM = "update pgagent.pga_job set jobagentid = pg_backend_pid(), joblastrun = now()"

OPEN_RUN = f"""
    {AGENT};
    {CLAIM};
    insert into pgagent.pga_joblog (jlgid, jlgjobid) select 1, jobid from pgagent.pga_job;
    insert into pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid)
    select 1, 1, min(jstid) from pgagent.pga_jobstep
"""
"""The session is the agent of a run whose first step is open."""

PARKED_RUN = f"""
    {OPEN_RUN};
    insert into pgagent._batch_step (jslid, jlgid, jobid, jobname, jobhostagent, started, agentid, steps, owner, due)
    select 1, 1, jobid, jobname, '', now(), pg_backend_pid(), '[]', jobowner, now() from pgagent.pga_job
"""
"""As OPEN_RUN; the step waits for a ticker."""

ENDED_RUN = """
    insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgstart, jlgduration)
    select 1, jobid, 's', now() - interval '1 h', interval '10 min' from pgagent.pga_job;
    insert into pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus, jslstart, jslduration)
    select row_number() over (order by jstid), 1, jstid, 's',
           now() - interval '1 h' + row_number() over (order by jstid) * interval '1 min', interval '30 s'
    from pgagent.pga_jobstep
"""
"""A run whose two steps have succeeded."""


@pytest.fixture
def job(connection: Connection) -> int:
    """A job with two steps and a schedule, in a session that bypasses triggers and foreign keys from now on."""
    jobid = add_job(connection, "job", sql_step("select 1"), sql_step("select 2"))
    add_schedule(connection, jobid, hours=[12], minutes=[0])
    connection.execute("set session_replication_role = replica")
    return jobid


def faults(conn: Connection) -> list[tuple[str, str]]:
    """Return the rules that are broken and the rows that break them."""
    return [(row[0], row[1]) for row in conn.execute("select * from pgagent.check_invariants()")]


# Each rule

STEP_LOG = "pgagent.pga_jobsteplog set jslstatus"

SECOND_OPEN_STEP = """
    insert into pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid) select 2, 1, max(jstid) from pgagent.pga_jobstep;
    update pgagent.pga_jobsteplog set jslstart = now() - interval '2 min'
"""

GIVE_UP_RUN = f"""
    update pgagent.pga_joblog set jlgstatus = 'd', jlgduration = '1 s';
    update {STEP_LOG} = 'd', jslduration = '1 s';
    update pgagent.pga_job set jobagentid = null
"""

BROKEN = [
    (CLAIM, "a claimed job has a registered agent", "job {job}"),
    (
        f"{AGENT}; {CLAIM}; update pgagent.pga_job set joblastrun = now() - interval '2 min'",
        "a claimed job has an open run",
        "job {job}",
    ),
    (
        f"{ENDED_RUN}; {AGENT}; {CLAIM}; update pgagent.pga_job set joblastrun = now() - interval '1 h'",
        "a claimed job has an open run",
        "job {job}",
    ),
    ("update pgagent.pga_job set jobrequested = now()", "a free job has no request left over", "job {job}"),
    ("update pgagent.pga_job set jobrunid = 1", "a run that was asked for belongs to its job", "job {job}"),
    ("update pgagent.pga_job set jobenabled = false", "a disabled job has no next run", "job {job}"),
    (
        "update pgagent.pga_job set jobnextrun = null",
        "an enabled and free job has the next run that its schedules say",
        "job {job}",
    ),
    (
        f"{OPEN_RUN}; insert into pgagent.pga_joblog (jlgid, jlgjobid) select 2, jobid from pgagent.pga_job",
        "a job has at most one open run",
        "job {job}",
    ),
    (
        f"{OPEN_RUN}; update pgagent.pga_job set jobagentid = null",
        "an open run belongs to a claimed job",
        "run 1",
    ),
    (f"{ENDED_RUN}; update {STEP_LOG} = 'r' where jslid = 2", "an open step belongs to an open run", "step log 2"),
    (
        f"{OPEN_RUN}; {SECOND_OPEN_STEP}",
        "a run has at most one open step",
        "run 1",
    ),
    (
        f"{ENDED_RUN}; update pgagent.pga_joblog set jlgduration = null",
        "an ended run has a duration, not below zero",
        "run 1",
    ),
    (
        f"{ENDED_RUN}; update pgagent.pga_joblog set jlgduration = '-1 s'",
        "an ended run has a duration, not below zero",
        "run 1",
    ),
    (
        f"{ENDED_RUN}; update pgagent.pga_jobsteplog set jslduration = null where jslid = 1",
        "an ended step has a duration, not below zero",
        "step log 1",
    ),
    (
        f"{ENDED_RUN}; update pgagent.pga_jobsteplog set jslduration = '-1 s' where jslid = 2",
        "an ended step has a duration, not below zero",
        "step log 2",
    ),
    (
        f"{ENDED_RUN}; update pgagent.pga_joblog set jlgduration = '90 s'",
        "no step begins after the end of its run",
        "step log 2",
    ),
    (f"{ENDED_RUN}; update {STEP_LOG} = 'f' where jslid = 2", "a run that has succeeded has no failed step", "run 1"),
    (f"{ENDED_RUN}; update {STEP_LOG} = 'd' where jslid = 2", "a run that has succeeded has no failed step", "run 1"),
    (
        f"{PARKED_RUN}; {GIVE_UP_RUN}",
        "a batch step in the queue belongs to an open run",
        "step log 1",
    ),
    (
        f"{PARKED_RUN}; update pgagent._batch_step set agentid = 1",
        GONE,
        "step log 1",
    ),
]


@pytest.mark.parametrize(
    ("statements", "rule", "row"), BROKEN, ids=[f"{rule} {n}" for n, (_, rule, _) in enumerate(BROKEN)]
)
def test_broken_rule_is_reported(connection: Connection, job: int, statements: str, rule: str, row: str) -> None:
    assert faults(connection) == []
    connection.execute(statements)
    assert faults(connection) == [(rule, row.format(job=job))]


@pytest.mark.parametrize(
    ("run", "step", "is_fault"), [("f", "f", True), ("d", "f", True), ("f", "d", True), ("d", "d", False)]
)
@pytest.mark.usefixtures("job")
def test_run_that_goes_on_after_a_failed_step(connection: Connection, run: str, step: str, is_fault: bool) -> None:
    """Unless the step, too, was only aborted after its agent was lost."""
    connection.execute(ENDED_RUN)
    connection.execute("update pgagent.pga_joblog set jlgstatus = %s", (run,))
    connection.execute(f"update {STEP_LOG} = %s where jslid = 1", (step,))
    assert faults(connection) == [("no step follows a failed one", "run 1")] * is_fault


def test_every_rule_is_tested(connection: Connection) -> None:
    source = value(connection, "select prosrc from pg_proc where oid = 'pgagent.check_invariants(int4)'::regprocedure")
    rules = set(re.findall(r"^    select '([^']+)', format\('", source, re.MULTILINE))
    assert rules == {rule for _, rule, _ in BROKEN} | {"no step follows a failed one", GONE}


# What is no fault


@pytest.mark.parametrize("statements", [OPEN_RUN, PARKED_RUN, ENDED_RUN, f"{AGENT}; {CLAIM}"])
@pytest.mark.usefixtures("job")
def test_state_of_a_run_is_no_fault(connection: Connection, statements: str) -> None:
    connection.execute(statements)
    assert faults(connection) == []


@pytest.mark.usefixtures("job")
def test_failed_attempts_are_no_fault(connection: Connection) -> None:
    connection.execute(ENDED_RUN)
    connection.execute(f"update {STEP_LOG} = 'f' where jslid = 2")
    connection.execute(
        "insert into pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus, jslstart, jslduration)"
        " select 3, 1, jsljstid, 's', jslstart, jslduration from pgagent.pga_jobsteplog where jslid = 2"
    )
    assert faults(connection) == []


@pytest.mark.usefixtures("job")
def test_end_of_a_step_that_waits_for_a_client_is_no_fault(connection: Connection, database: Database) -> None:
    connection.execute(f"{OPEN_RUN}; {SECOND_OPEN_STEP}")
    with psycopg.connect(database.conninfo) as client:
        client.execute("select from pgagent.pga_jobsteplog where jslid = 1 for update")
        assert faults(connection) == []
    assert faults(connection) == [("a run has at most one open step", "run 1")]


def test_schedule_without_a_next_run_is_no_fault(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    jscid = add_schedule(connection, jobid)
    connection.execute("update pgagent.pga_schedule set jscend = now() - interval '1 h' where jscid = %s", (jscid,))
    assert value(connection, "select jobnextrun from pgagent.pga_job") is None
    assert faults(connection) == []


def test_release_that_waits_for_a_client_is_no_fault(connection: Connection, database: Database, job: int) -> None:
    connection.execute(f"{ENDED_RUN}; {AGENT}; {CLAIM}; update pgagent.pga_job set joblastrun = now() - interval '1 h'")
    with psycopg.connect(database.conninfo) as client:
        client.execute("select from pgagent.pga_job for update")
        assert faults(connection) == []
    assert faults(connection) == [("a claimed job has an open run", f"job {job}")]


STANDS_STILL = "update pgagent.pga_jobagent set jagleaseuntil = now() + interval '10 s'"
"""Its lease of a minute ends in 10 s: its last sign of life was 50 s ago."""


def test_release_by_an_agent_that_stands_still_is_no_fault(connection: Connection, job: int) -> None:
    connection.execute(f"{ENDED_RUN}; {AGENT}; {CLAIM}; {STANDS_STILL}")
    ended = "update pgagent.pga_job set joblastrun = now() - %s * (select agent_lease from pgagent.settings)"
    connection.execute(ended, (1.5,))
    assert faults(connection) == []
    connection.execute(ended, (2.5,))
    assert faults(connection) == [("a claimed job has an open run", f"job {job}")]


@pytest.mark.usefixtures("job")
def test_end_of_a_step_by_an_agent_that_stands_still_is_no_fault(connection: Connection) -> None:
    connection.execute(f"{OPEN_RUN}; {SECOND_OPEN_STEP}; {STANDS_STILL}")
    begun = "update pgagent.pga_jobsteplog set jslstart = now() - %s * (select agent_lease from pgagent.settings)"
    connection.execute(begun, (1.5,))
    assert faults(connection) == []
    connection.execute(begun, (2.5,))
    assert faults(connection) == [("a run has at most one open step", "run 1")]


# The latest runs alone


def test_older_runs_are_not_looked_at(connection: Connection, job: int) -> None:
    connection.execute(f"{ENDED_RUN}; update pgagent.pga_joblog set jlgduration = null")
    connection.execute("insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) values (100, %s, 's')", (job,))
    latest = "select object from pgagent.check_invariants(%s) order by object"
    for count, found in [(0, []), (1, ["run 100"]), (99, ["run 100"]), (100, ["run 1", "run 100"])]:
        assert [row[0] for row in connection.execute(latest, (count,))] == found


def test_older_run_that_goes_on_is_looked_at(connection: Connection, job: int) -> None:
    connection.execute(f"{OPEN_RUN}; update pgagent.pga_job set joblastrun = now() - interval '1 h'")
    assert connection.execute("select * from pgagent.check_invariants(0)").fetchall() == []
    connection.execute("update pgagent.pga_joblog set jlgstatus = 'd'")
    assert value(connection, "select object from pgagent.check_invariants(0)") == f"job {job}"


# Agents that are gone


def test_agent_that_is_gone_is_reported_until_the_next_call(connection: Connection, database: Database) -> None:
    hold_steps(connection)
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_until_held(engine)
        pid = engine.info.backend_pid
        assert faults(connection) == []
    wait_until(lambda: faults(connection) == [(GONE, f"agent {pid}")], what="the agent's session to end")
    run_due(connection)
    assert faults(connection) == []


@pytest.mark.usefixtures("job")
def test_agent_whose_lease_has_run_out_is_gone(connection: Connection) -> None:
    connection.execute(OPEN_RUN)
    connection.execute("update pgagent.pga_jobagent set jagleaseuntil = now() - interval '1 h'")
    (found,) = connection.execute("select * from pgagent.check_invariants()").fetchall()
    assert found[:2] == (GONE, f"agent {connection.info.backend_pid}")
    assert found[2].startswith("test; it has claimed 1 jobs and has 0 batch steps, its lease ends at ")


def test_agent_that_registers_after_the_look_at_the_sessions_lives(connection: Connection) -> None:
    """Its session began after the check had looked: a slow check is simulated by a registration of the future."""
    connection.execute("insert into pgagent.pga_jobagent values (1, now() + interval '1 h', 'late', now())")
    assert faults(connection) == []


def test_snapshot_that_is_too_old_is_refused(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction), connection.transaction():
            faults(connection)


def test_session_list_of_an_older_statement_is_not_used(connection: Connection, database: Database) -> None:
    hold_steps(connection)
    make_due(connection, add_job(connection, "job", sql_step(WAITING_CODE)))
    with connection.transaction():
        connection.execute("select count(*) from pg_stat_activity")
        with psycopg.connect(database.conninfo, autocommit=True) as engine:
            run_until_held(engine)
            assert faults(connection) == []
            release_steps(connection)
            run_due(engine)


# A system at work


@contextmanager
def busy(database: Database) -> Iterator[None]:
    """Sessions that call run_due and end, and a ticker, until the block ends."""
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            with psycopg.connect(database.conninfo, autocommit=True) as conn:
                for _ in range(5):
                    run_due(conn, "0.2 s")

    with Ticker(database.conninfo, "-t", "1"), ThreadPoolExecutor() as pool:
        callers = [pool.submit(call) for _ in range(2)]
        try:
            yield
        finally:
            stop.set()
        for caller in callers:
            caller.result()


def test_nothing_is_reported_of_a_system_at_work(connection: Connection, database: Database) -> None:
    steps = [sql_step("select 1"), sql_step("select 1/0", on_error="i"), batch_step("true"), sql_step("select 1/0")]
    jobs = [add_job(connection, f"job {n}", *steps[n % 3 :]) for n in range(40)]
    for jobid in jobs:
        add_schedule(connection, jobid, interval="1 s")
    found: list[tuple[str, str]] = []
    with busy(database):

        def look() -> bool:
            found.extend(row for row in faults(connection) if row[0] != GONE)
            return bool(value(connection, "select count(*) > 400 from pgagent.pga_joblog where jlgstatus <> 'r'"))

        wait_until(look, 60)
        connection.execute("update pgagent.pga_job set jobenabled = false")
        wait_until(lambda: held_steps(connection) == 0)
    assert found == []
