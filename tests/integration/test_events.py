"""Events: what a person may want to act on is told once per change, as a row and as a notification."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Database, add_job, batch_step, make_due, run_due, runs, sql_step, value, wait_until

pytestmark = pytest.mark.shared_database

GOOD, BAD = "select 1", "select 1/0"


def run_with(conn: Connection[TupleRow], jobid: int, code: str) -> None:
    conn.execute("update pgagent.pga_jobstep set jstcode = %s where jstjobid = %s", (code, jobid))
    make_due(conn, jobid)
    run_due(conn)


def told(conn: Connection[TupleRow], jobid: int) -> list[str]:
    rows = conn.execute("select evtkind from pgagent.event where evtjobid = %s order by evtid", (jobid,)).fetchall()
    return [kind for (kind,) in rows]


def tell_at_once(conn: Connection[TupleRow]) -> None:
    conn.execute("update pgagent.settings set event_interval = '0 s'")


def test_failure_is_told_once_and_so_is_the_recovery(connection: Connection[TupleRow], database: Database) -> None:
    tell_at_once(connection)
    jobid = add_job(connection, "jöb", sql_step(BAD))
    with psycopg.connect(database.conninfo, autocommit=True) as listener:
        listener.execute("listen pgagent_event")
        for code in (GOOD, BAD, BAD, BAD, GOOD, GOOD):
            run_with(connection, jobid, code)
        heard: list[dict[str, Any]] = [json.loads(each.payload) for each in listener.notifies(timeout=10, stop_after=2)]
    failed, recovered = heard
    assert told(connection, jobid) == ["failed", "recovered"]
    history = runs(connection, jobid)
    assert (failed["event"], failed["jobid"], failed["run"]) == ("failed", jobid, history[1].id)
    assert (recovered["event"], recovered["jobid"], recovered["run"]) == ("recovered", jobid, history[4].id)
    rows = connection.execute(
        "select evtid, evtjobname, evtjlgid, evtdetail from pgagent.event order by evtid"
    ).fetchall()
    assert [row[:3] for row in rows] == [
        (failed["id"], "jöb", history[1].id),
        (recovered["id"], "jöb", history[4].id),
    ]
    assert "division by zero" in rows[0][3]
    assert set(failed) == {"id", "time", "event", "jobid", "run"}  # anybody may listen


def test_what_goes_to_and_fro_is_told_of_once_in_a_while(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set event_interval = '1 h'")
    jobid = add_job(connection, "job", sql_step(BAD))
    for code in (BAD, GOOD, BAD, GOOD, BAD, GOOD):
        run_with(connection, jobid, code)
    assert told(connection, jobid) == ["failed"]
    # When the time is over, what is different by then is told.
    connection.execute("update pgagent._alarm set told_at = now() - interval '1 h'")
    run_due(connection)
    assert told(connection, jobid) == ["failed", "recovered"]
    connection.execute("update pgagent._alarm set told_at = now() - interval '1 h'")
    run_with(connection, jobid, GOOD)
    assert told(connection, jobid) == ["failed", "recovered"]


def test_time_limits_are_told_as_such(connection: Connection[TupleRow]) -> None:
    of_step = add_job(connection, "step", sql_step("select pg_sleep(60)"))
    of_run = add_job(connection, "run", sql_step("select pg_sleep(60)"))
    own = add_job(connection, "own", sql_step("set statement_timeout = '50 ms'; select pg_sleep(60)"))
    connection.execute("update pgagent.pga_jobstep set jsttimeout = '50 ms' where jstjobid = %s", (of_step,))
    connection.execute("update pgagent.pga_job set jobtimeout = '50 ms' where jobid = %s", (of_run,))
    make_due(connection, of_step, of_run, own)
    run_due(connection)
    assert [told(connection, jobid) for jobid in (of_step, of_run, own)] == [["timed out"], ["timed out"], ["failed"]]
    reasons = value(connection, "select array_agg(jlgreason order by jlgjobid) from pgagent.pga_joblog")
    assert [limit in reason for limit, reason in zip(("jsttimeout", "jobtimeout"), reasons, strict=False)] == [True] * 2


def test_abort_is_told(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "job", batch_step("true"))
    make_due(connection, jobid)
    run_due(connection)
    connection.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog")
    run_due(connection)
    assert told(connection, jobid) == ["aborted"]
    assert value(connection, "select jlgreason like '%%cancelled by%%' from pgagent.pga_joblog") is True


def test_run_of_a_lost_agent_is_told(connection: Connection[TupleRow], database: Database) -> None:
    jobid = add_job(connection, "job", sql_step("select pg_sleep(60)"))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_due(engine, "0.3 s")
    wait_until(lambda: [run_due(connection, "1 s"), told(connection, jobid)][1] == ["aborted"], what="the abort")
    assert value(connection, "select jlgreason from pgagent.pga_joblog") == "aborted: the agent of this run is gone"


def test_disabled_is_told_at_once(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "job", sql_step(BAD))
    connection.execute("update pgagent.pga_job set jobmaxfailures = 2")
    run_with(connection, jobid, BAD)
    run_with(connection, jobid, BAD)
    assert told(connection, jobid) == ["failed", "disabled"]
    detail = (
        "select e.evtdetail = j.jobdisabledreason from pgagent.event e, pgagent.pga_job j order by e.evtid desc limit 1"
    )
    assert value(connection, detail) is True
    connection.execute("update pgagent.pga_job set jobenabled = true")
    connection.execute("update pgagent._alarm set told_at = now() - interval '1 h'")
    run_with(connection, jobid, GOOD)
    assert told(connection, jobid) == ["failed", "disabled", "recovered"]


def test_overdue_is_told_and_that_it_is_over(connection: Connection[TupleRow]) -> None:
    tell_at_once(connection)
    connection.execute("update pgagent.settings set overdue_after = '1 min'")
    jobid = add_job(connection, "job", sql_step(GOOD))
    young = add_job(connection, "young", sql_step(GOOD))
    connection.execute("update pgagent.pga_job set jobhostagent = 'elsewhere'")
    connection.execute("update pgagent.pga_job set jobnextrun = now() - interval '2 min' where jobid = %s", (jobid,))
    make_due(connection, young)
    for _ in range(2):
        assert run_due(connection) == []
    assert (told(connection, jobid), told(connection, young)) == (["overdue"], [])
    run_due(connection, station="elsewhere")
    assert told(connection, jobid) == ["overdue", "recovered"]
    connection.execute("update pgagent.pga_job set jobnextrun = now() - interval '2 min' where jobid = %s", (jobid,))
    run_due(connection)
    connection.execute("update pgagent.pga_job set jobenabled = false where jobid = %s", (jobid,))
    connection.execute("select pgagent._watch_jobs()")
    assert told(connection, jobid) == ["overdue", "recovered"] * 2


def test_run_closes_whatever_becomes_of_its_event(connection: Connection[TupleRow]) -> None:
    connection.execute("alter table pgagent.event add constraint refused check (false) not valid")
    try:
        jobid = add_job(connection, "job", sql_step(BAD))
        make_due(connection, jobid)
        run_due(connection)
        assert [run.status for run in runs(connection, jobid)] == ["f"]
        assert value(connection, "select count(*) from pgagent.pga_job where jobagentid is not null") == 0
    finally:
        connection.execute("alter table pgagent.event drop constraint refused")


def test_runs_of_other_agents_are_told_too(connection: Connection[TupleRow]) -> None:
    """As pgAgent's daemon, or a person, writes the log."""
    jobid = add_job(connection, "job", sql_step(GOOD))
    connection.execute("insert into pgagent.pga_joblog (jlgjobid) values (%s)", (jobid,))
    connection.execute("update pgagent.pga_joblog set jlgduration = '1 s'")
    assert told(connection, jobid) == []
    connection.execute("update pgagent.pga_joblog set jlgstatus = 'f'")
    assert told(connection, jobid) == ["failed"]
    connection.execute("update pgagent.pga_joblog set jlgstatus = 'd'")
    assert told(connection, jobid) == ["failed"]


def test_old_events_go(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set keep_events = '1 day'")
    connection.execute(
        "insert into pgagent.event (evttime, evtkind, evtjobid, evtjobname)"
        " select now() - make_interval(hours => h), 'failed', 1, 'job' from generate_series(1, 48) h"
    )
    connection.execute("select pgagent._watch_jobs()")
    assert value(connection, "select count(*) from pgagent.event") == 23
