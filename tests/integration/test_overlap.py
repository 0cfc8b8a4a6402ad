"""Jobs that must not run at the same time: named locks, limits of a class, a limit of all."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import WAITING_CODE, Database, add_job, hold_steps, make_due, run_due, runs, sql_step, value, wait_until

pytestmark = pytest.mark.shared_database

RUNNING = "select count(*) from pgagent.pga_job where jobagentid is not null"
# How many runs of the jobs whose names are like this were going on when one of them started.
MOST_AT_ONCE = """
    select max((select count(*) from pgagent.pga_joblog o join pgagent.pga_job k on k.jobid = o.jlgjobid
                 where k.jobname like %s and o.jlgstart <= l.jlgstart and o.jlgstart + o.jlgduration > l.jlgstart))
      from pgagent.pga_joblog l join pgagent.pga_job j on j.jobid = l.jlgjobid where j.jobname like %s
"""


def add_jobs(
    conn: Connection[TupleRow], number: int, code: str = "select pg_sleep(0.02)", name: str = "job"
) -> list[int]:
    jobids = [add_job(conn, f"{name} {each}", sql_step(code)) for each in range(number)]
    make_due(conn, *jobids)
    return jobids


def finish(conn: Connection[TupleRow], jobids: list[int]) -> None:
    def all_ran() -> bool:
        run_due(conn, "1 s")
        return all([run.status for run in runs(conn, jobid)] == ["s"] for jobid in jobids)

    wait_until(all_ran, what="every job to run once")


def test_named_locks_exclude_each_other(connection: Connection[TupleRow]) -> None:
    jobids = add_jobs(connection, 8)
    connection.execute("update pgagent.pga_job set joblocks = array['disk', jobname]")
    finish(connection, jobids)
    assert value(connection, MOST_AT_ONCE, "job%", "job%") == 1


def test_different_locks_do_not_exclude_each_other(connection: Connection[TupleRow]) -> None:
    hold_steps(connection)
    add_jobs(connection, 4, WAITING_CODE)
    connection.execute("update pgagent.pga_job set joblocks = array[jobname]")
    with psycopg.connect(connection.info.dsn, autocommit=True) as engine:
        run_due(engine, "0.3 s")
        assert value(connection, RUNNING) == 4
        connection.execute("select pg_advisory_unlock_all()")
        run_due(engine)


def test_limit_of_a_class(connection: Connection[TupleRow]) -> None:
    limited = add_jobs(connection, 10, name="limited")
    connection.execute("update pgagent.pga_job set jobjclid = 2")
    connection.execute("update pgagent.pga_jobclass set jclmaxruns = 2 where jclid = 2")
    others = add_jobs(connection, 5, name="other")
    finish(connection, limited + others)
    assert value(connection, MOST_AT_ONCE, "limited%", "limited%") == 2


def test_limit_of_all_over_several_engines(connection: Connection[TupleRow], database: Database) -> None:
    connection.execute("update pgagent.settings set total_runs = 3")
    jobids = add_jobs(connection, 20)
    with ExitStack() as stack:
        engines = [stack.enter_context(psycopg.connect(database.conninfo, autocommit=True)) for _ in range(3)]
        for engine in engines:
            engine.pgconn.send_query(b"select from pgagent.run_due('5 s')")
        for engine in engines:
            while engine.pgconn.get_result() is not None:
                pass
    finish(connection, jobids)
    assert value(connection, MOST_AT_ONCE, "job%", "job%") <= 3


def test_jobs_that_must_wait_are_in_nobodys_way(connection: Connection[TupleRow], database: Database) -> None:
    hold_steps(connection)
    first = add_jobs(connection, 1, WAITING_CODE, name="first")
    connection.execute("update pgagent.pga_job set joblocks = '{disk}'")
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_due(engine, "0.2 s")
        waiting = add_jobs(connection, 40, name="waiting")
        connection.execute("update pgagent.pga_job set joblocks = '{disk}'")
        free = add_jobs(connection, 1, name="free")
        run_due(engine, "0.5 s")
        assert [run.status for run in runs(connection, free[0])] == ["s"]
        assert value(connection, RUNNING) == 1
        assert value(connection, "select pgagent.next_due()") is None
        connection.execute("select pg_advisory_unlock_all()")
        finish(engine, first + waiting)


def test_limits_may_forbid_all(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set total_runs = 0")
    (jobid,) = add_jobs(connection, 1)
    assert run_due(connection, "0.2 s") == []
    connection.execute("update pgagent.settings set total_runs = null")
    finish(connection, [jobid])


def start_order(conn: Connection[TupleRow]) -> list[str]:
    rows = conn.execute(
        "select j.jobname from pgagent.pga_joblog l join pgagent.pga_job j on j.jobid = l.jlgjobid order by l.jlgstart"
    )
    return [name for (name,) in rows]


def test_priority_is_a_head_start(connection: Connection[TupleRow]) -> None:
    """One at a time: a job of priority 5 goes before those that are due for up to 5 minutes longer, and no others."""
    connection.execute("update pgagent.settings set parallel_runs = 1")
    for name, priority, minutes in (
        ("oldest", 0, 20),
        ("urgent", 5, 10),
        ("old", 0, 12),
        ("very urgent", 1000, 1),
        ("young", 0, 2),
    ):
        jobid = add_job(connection, name, sql_step("select 1"))
        connection.execute(
            "update pgagent.pga_job set jobpriority = %s, jobnextrun = now() - make_interval(mins => %s)"
            " where jobid = %s",
            (priority, minutes, jobid),
        )
    run_due(connection)
    assert start_order(connection) == ["very urgent", "oldest", "urgent", "old", "young"]


def test_priority_with_more_jobs_than_are_claimed_at_once(connection: Connection[TupleRow]) -> None:
    jobids = add_jobs(connection, 300, "select 1")
    connection.execute("update pgagent.pga_job set jobpriority = 1 where jobid % 3 = 0")
    run_due(connection)
    assert value(connection, "select count(*) from pgagent.pga_joblog where jlgstatus = 's'") == len(jobids)
    first = (
        "select jobpriority from pgagent.pga_joblog join pgagent.pga_job on jobid = jlgjobid order by jlgid limit 80"
    )
    assert value(connection, f"select min(jobpriority) from ({first}) f") == 1


def test_long_jobs_do_not_keep_short_ones_waiting(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 2, long_run = '1 s'")
    hold_steps(connection)
    long = add_jobs(connection, 2, WAITING_CODE, name="long")
    with psycopg.connect(connection.info.dsn, autocommit=True) as engine:
        run_due(engine, "0.2 s")
        (short,) = add_jobs(connection, 1, "select 1", name="short")
        run_due(engine, "0.1 s")
        assert runs(connection, short) == []
        wait_until(
            lambda: [run_due(engine, "0.5 s"), [run.status for run in runs(connection, short)]][1] == ["s"],
            what="the short job to run beside the long ones",
        )
        assert [[run.status for run in runs(connection, jobid)] for jobid in long] == [["r"], ["r"]]
        connection.execute("select pg_advisory_unlock_all()")
        run_due(engine)
