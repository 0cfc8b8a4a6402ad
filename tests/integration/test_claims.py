"""Claims: every due time starts one run, however many engines there are and however few connections."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Cluster,
    Database,
    add_job,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_job,
    run_until_held,
    runs,
    sql_step,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]

DAEMON_CLAIM = """
    update pgagent.pga_job set jobagentid = %s, joblastrun = now() where jobagentid is null and jobid = %s
"""
"""As pgAgent's own daemon claims, from a list that it may have read a while ago."""

OPEN_JOBS = """
    select count(*) from pgagent.pga_job j
    where not exists (select from pgagent.pga_joblog l where l.jlgjobid = j.jobid and l.jlgstatus <> 'r')
"""

TALLY = """
    select r.runs, r.statuses, coalesce(d.times, 0), count(*)
    from pgagent.pga_job j
    left join lateral (
        select count(*) as runs, string_agg(distinct jlgstatus::text, '') as statuses
        from pgagent.pga_joblog l where l.jlgjobid = j.jobid) r on true
    left join (select jobid, count(*) as times from done group by jobid) d on d.jobid = j.jobid
    group by 1, 2, 3
"""


def register(connection: Connection) -> int:
    """Register the session as an agent, as the daemon does, and return its process id."""
    pid = connection.info.backend_pid
    connection.execute("insert into pgagent.pga_jobagent (jagpid, jagstation) values (%s, 'host')", [pid])
    return pid


def add_counting_jobs(connection: Connection, number: int) -> None:
    """Add jobs, due at once, each of which leaves a row in table done each time it runs."""
    connection.execute("create table done (jobid int)")
    ids = [add_job(connection, f"job {n}", sql_step("")) for n in range(number)]
    connection.execute("update pgagent.pga_jobstep set jstcode = 'insert into done values (' || jstjobid || ')'")
    make_due(connection, *ids)


def test_claim_of_a_job_that_is_due_is_accepted(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    make_due(connection, jobid)
    pid = register(connection)
    assert connection.execute(DAEMON_CLAIM, (pid, jobid)).rowcount == 1
    assert value(connection, "select jobagentid from pgagent.pga_job") == pid
    assert run_due(connection) == []


def test_claim_of_a_job_that_is_not_due_is_refused(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    pid = register(connection)
    for change in (
        "jobnextrun = now() + interval '1 minute'",
        "jobnextrun = null",
        "jobnextrun = 'infinity'",
        "jobnextrun = now(), jobenabled = false",
    ):
        connection.execute(f"update pgagent.pga_job set {change}")
        before = value(connection, "select j::text from pgagent.pga_job j")
        assert connection.execute(DAEMON_CLAIM, (pid, jobid)).rowcount == 0, change
        assert value(connection, "select j::text from pgagent.pga_job j") == before, change


def test_claim_from_a_stale_list_is_refused_after_the_run(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as daemon:
        pid = register(daemon)
        run_due(connection)
        assert daemon.execute(DAEMON_CLAIM, (pid, jobid)).rowcount == 0
    assert len(runs(connection, jobid)) == 1


def test_job_claimed_by_another_agent_is_left_to_it(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    hold_steps(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_until_held(engine)
        assert run_due(connection) == []
        connection.execute("update pgagent.pga_job set jobnextrun = now()")
        assert run_due(connection) == []
        assert len(runs(connection, jobid)) == 1


def test_200_jobs_due_at_once_with_40_connections(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(max_connections=40)
    database = cluster.create_database("jobs")
    with cluster.connect(database.name) as connection:
        connection.execute("update pgagent.settings set parallel_runs = 100")
        add_counting_jobs(connection, 200)
        wait_until(lambda: run_due(connection, "1 s") is not None and not value(connection, OPEN_JOBS), 60)
        assert connection.execute(TALLY).fetchall() == [(1, "s", 1, 200)]


def test_refused_statements_of_a_burst_are_executed_again(connection: Connection) -> None:
    """Whatever other submission is on its way behind the one that fails."""
    add_counting_jobs(connection, 300)
    connection.execute("""
        create sequence refusals;
        create function refuse_now_and_then() returns trigger language plpgsql as $$
        begin
            if random() < 0.02 then
                perform nextval('public.refusals');
                raise exception using errcode = 'serialization_failure', message = 'not this time';
            end if;
            return new;
        end $$;
        create trigger refuse_now_and_then before insert or update on pgagent.pga_joblog
            for each row execute function refuse_now_and_then();
        create trigger refuse_now_and_then before insert or update on pgagent.pga_jobsteplog
            for each row execute function refuse_now_and_then();
    """)
    wait_until(lambda: run_due(connection, "5 s") is not None and not value(connection, OPEN_JOBS), 60)
    assert connection.execute(TALLY).fetchall() == [(1, "s", 1, 300)]
    assert value(connection, "select count(*) from pgagent.pga_jobsteplog where jslstatus = 's'") == 300
    assert value(connection, "select last_value from refusals") > 5


def test_steps_that_change_while_they_are_claimed_run_once(connection: Connection, database: Database) -> None:
    """The claim locks rows that are newer than those it has read, and looks at them again."""
    add_counting_jobs(connection, 5)
    connection.execute("""
        create function linger() returns trigger language plpgsql as $$
        begin perform pg_sleep(0.2); return new; end $$;
        create trigger linger before insert on pgagent.pga_joblog for each row execute function linger()
    """)
    with ThreadPoolExecutor(1) as threads, psycopg.connect(database.conninfo, autocommit=True) as client:
        call = threads.submit(run_due, connection)
        wait_until(lambda: value(client, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"))
        for _ in range(2):
            client.execute("update pgagent.pga_jobstep set jstdesc = jstdesc || 'x'")
        assert {row.status for row in call.result()} == {"succeeded"}
    assert connection.execute(TALLY).fetchall() == [(1, "s", 1, 5)]
    assert value(connection, "select count(*) from pgagent.pga_jobsteplog") == 5


def test_no_more_runs_than_may_run_at_a_time(connection: Connection, database: Database) -> None:
    """Not even in the log, while the answers of two submissions are read."""
    connection.execute("update pgagent.settings set parallel_runs = 8")
    add_counting_jobs(connection, 600)
    counts = []
    with ThreadPoolExecutor(1) as threads, psycopg.connect(database.conninfo, autocommit=True) as observer:
        call = threads.submit(run_due, connection, "60 s")
        while not call.done():
            counts.append(value(observer, "select count(*) from pgagent.pga_joblog where jlgstatus = 'r'"))
    assert connection.execute(TALLY).fetchall() == [(1, "s", 1, 600)]
    assert 1 < max(counts) <= 8


@pytest.mark.parametrize("max_connections", [100, 40])
def test_every_job_runs_once_with_two_engines_and_four_sessions(
    new_cluster: Callable[..., Cluster], max_connections: int
) -> None:
    cluster = new_cluster(max_connections=max_connections)
    database = cluster.create_database("jobs")
    with cluster.connect(database.name) as connection, ThreadPoolExecutor(6) as threads:
        add_counting_jobs(connection, 300)
        together = threading.Barrier(6)

        def run_in_slices(max_wait: str) -> int:
            with cluster.connect(database.name) as engine:
                together.wait()
                touched: set[int] = set()
                while True:
                    touched |= {row.jlgid for row in run_due(engine, max_wait) if row.status == "succeeded"}
                    if not value(engine, OPEN_JOBS):
                        return len(touched)

        calls = [threads.submit(run_in_slices, wait) for wait in ("0.2 s", "0.2 s", *["10 s"] * 4)]
        assert sum(call.result(120) for call in calls) == 300
        assert connection.execute(TALLY).fetchall() == [(1, "s", 1, 300)]
        assert value(connection, "select count(*) from pgagent.pga_job where jobagentid is not null") == 0


def test_job_waits_while_there_is_no_connection_left(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(max_connections=10, superuser_reserved_connections=0)
    database = cluster.create_database("jobs")
    with cluster.connect(database.name) as connection:
        jobids = [add_job(connection, f"job {n}", sql_step("select 1")) for n in range(3)]
        make_due(connection, *jobids)
        others: list[Connection] = []
        try:
            wait_until(lambda: occupy(cluster, others), what="all connections to be taken")
            run_due(connection, "0.5 s")
            assert {run.status for jobid in jobids for run in runs(connection, jobid)} <= {"r"}
        finally:
            for other in others:
                other.close()
        wait_until(lambda: run_due(connection, "1 s") is not None and not value(connection, OPEN_JOBS))
        assert [run.status for jobid in jobids for run in runs(connection, jobid)] == ["s"] * 3


def occupy(cluster: Cluster, others: list[Connection]) -> bool:
    """Open sessions until the server refuses one."""
    try:
        others.append(cluster.connect())
    except psycopg.OperationalError:
        return True
    return False


def test_job_waits_while_its_database_accepts_no_connection(connection: Connection, cluster: Cluster) -> None:
    name = f"{connection.info.dbname}_narrow"
    cluster.create_database(name, extension=False)
    role = f"role_of_{name}"
    try:
        connection.execute(f"alter database {name} connection limit 1")
        connection.execute(f"create role {role} login")
        connstr = cluster.conninfo(name, application_name="second").replace("user=postgres", f"user={role}")
        with psycopg.connect(connstr):
            jobid = add_job(connection, "job", sql_step("select 1", connstr=connstr))
            other = add_job(connection, "other", sql_step("select 1"))
            make_due(connection, jobid, other)
            run_due(connection, "0.5 s")
            assert [run.status for run in runs(connection, jobid)] == ["r"]
            assert [run.status for run in runs(connection, other)] == ["s"]
        run_due(connection)
        assert [run.status for run in runs(connection, jobid)] == ["s"]
    finally:
        cluster.drop_database(name)
        connection.execute(f"drop role if exists {role}")


def test_many_runs_wait_for_one_lock_and_all_end(connection: Connection) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 40")
    jobids = [add_job(connection, f"job {n}", sql_step(WAITING_CODE)) for n in range(40)]
    make_due(connection, *jobids)
    hold_steps(connection)
    run_until_held(connection, 40)
    assert [row.status for row in run_due(connection, "0.05 s")] == ["running"] * 40
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["succeeded"] * 40


def test_agent_that_was_given_up_claims_nothing_before_it_knows(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    hold_steps(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_job(engine, sql_step("select 1"))
        engine.execute("update pgagent.pga_jobagent set jagleaseuntil = '-infinity' where jagpid = pg_backend_pid()")
        make_due(connection, jobid)
        run_until_held(engine)
        run_due(connection, "0.1 s")
        release_steps(connection)
        run_due(engine)
    assert [run.status for run in runs(connection, jobid)] == ["s"]
