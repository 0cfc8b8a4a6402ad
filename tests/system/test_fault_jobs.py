"""Jobs that change while they run, and steps of every bad kind: one run ends with a clear outcome, all else goes on.

To repeat: ``for i in $(seq 20); do .venv/bin/python -m pytest -q tests/system/test_fault_jobs.py || break; done``
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    Step,
    Ticker,
    add_job,
    add_schedule,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.faults import assert_sound
from harness.following import statuses, wait_for_runs

Connection = psycopg.Connection[TupleRow]

DONE = "insert into done values ('as it was')"
COUNT_DONE = "select count(*), count(*) filter (where what = 'as it was') from done"

CHANGES = {
    "job deleted": "delete from pgagent.pga_job where jobid = {job}",
    "job disabled": "update pgagent.pga_job set jobenabled = false where jobid = {job}",
    "job renamed": "update pgagent.pga_job set jobname = 'renamed', jobhostagent = 'elsewhere' where jobid = {job}",
    "job asked for": "update pgagent.pga_job set jobnextrun = now() where jobid = {job}",
    "steps deleted": "delete from pgagent.pga_jobstep where jstjobid = {job}",
    "first step deleted": "delete from pgagent.pga_jobstep where jstjobid = {job} and jstname = 'step 001'",
    "second step deleted": "delete from pgagent.pga_jobstep where jstjobid = {job} and jstname = 'step 002'",
    "step changed": """
        update pgagent.pga_jobstep
           set jstcode = 'insert into done values (''changed'')', jstname = 'a', jstonerror = 'i'
         where jstjobid = {job} and jstname = 'step 002'
    """,
    "step disabled": "update pgagent.pga_jobstep set jstenabled = false where jstjobid = {job}",
    "schedule deleted": "delete from pgagent.pga_schedule where jscjobid = {job}",
    "schedule changed": "update pgagent.pga_schedule set jscend = now() - interval '1 h' where jscjobid = {job}",
    "log deleted": "delete from pgagent.pga_joblog where jlgjobid = {job}",
    "step log deleted": "delete from pgagent.pga_jobsteplog",
}


def test_definitions_changed_while_jobs_run(fault_database: Database, watcher: Connection) -> None:
    """Every run goes on with what it started with, whatever happens to the rows it came from."""
    jobs = {name: add_job(watcher, name, sql_step(WAITING_CODE), sql_step(DONE)) for name in CHANGES}
    for jobid in jobs.values():
        add_schedule(watcher, jobid, minutes=[0], months=[1], monthdays=[1])
    hold_steps(watcher)
    watcher.execute("update pgagent.settings set parallel_runs = 20")
    with Ticker(fault_database.conninfo, "-t", "1") as ticker:
        make_due(watcher, *jobs.values())
        wait_until(lambda: held_steps(watcher) == len(jobs), what="the first steps to begin")
        for name, change in CHANGES.items():
            watcher.execute(change.format(job=jobs[name]))
        release_steps(watcher)
        expected = len(jobs) + 1  # what was asked for meanwhile comes once more
        wait_until(
            lambda: watcher.execute(COUNT_DONE).fetchone() == (expected, expected),
            what=lambda: f"{expected} second steps: {watcher.execute(COUNT_DONE).fetchone()}",
        )
        assert_sound(watcher)
        last = add_job(watcher, "last", sql_step("select 1"), batch_step("true"))
        make_due(watcher, last)
        assert [run.status for run in wait_for_runs(watcher, last)] == ["s"]
        assert ticker.exit_code is None
    ends = {name: statuses(watcher, jobid) for name, jobid in jobs.items()}
    assert ends == {**dict.fromkeys(jobs, "s"), "job asked for": "ss", "job deleted": "", "log deleted": ""}


def test_batch_steps_of_deleted_definitions(fault_database: Database, watcher: Connection) -> None:
    """Deleted before a ticker takes the step."""
    changes = [
        "delete from pgagent.pga_job where jobid = {job}",
        "delete from pgagent.pga_jobstep where jstjobid = {job}",
        "delete from pgagent.pga_joblog where jlgjobid = {job}",
        "update pgagent.pga_jobstep set jstcode = 'exit 1' where jstjobid = {job}",
    ]
    jobs = [add_job(watcher, f"job {number}", batch_step("echo out"), sql_step(DONE)) for number in range(len(changes))]
    make_due(watcher, *jobs)
    with Ticker(fault_database.conninfo, "-t", "1", "--no-batch"):
        waiting = "select count(*) from pgagent._batch_step where not taken"
        wait_until(lambda: value(watcher, waiting) == len(jobs), what="the batch steps to wait")
        for jobid, change in zip(jobs, changes, strict=True):
            watcher.execute(change.format(job=jobid))
        with Ticker(fault_database.conninfo, "-t", "1"):
            wait_until(
                lambda: value(watcher, "select count(*) from pgagent._batch_step") == 0, what="the queue to be empty"
            )
            assert [run.status for run in wait_for_runs(watcher, jobs[-1])] == ["s"]
            assert_sound(watcher)


@dataclass(frozen=True, slots=True)
class Text:
    """A step, how it must end, and what its log must say."""

    step: Step
    status: str
    output: str = ""


TEXTS = {
    "empty": Text(sql_step(""), "f", "the step has no statement to execute"),
    "comment": Text(sql_step("-- nothing"), "f", "the step has no statement to execute"),
    "syntax error": Text(sql_step("selec 1"), "f", 'syntax error at or near "selec"'),
    "COPY FROM STDIN": Text(sql_step("copy done from stdin"), "f", "COPY FROM STDIN cannot be used in a job step"),
    "a million rows": Text(sql_step("select g, repeat('x', 50) from generate_series(1, 1000000) g"), "s"),
    "ends itself": Text(sql_step("select pg_terminate_backend(pg_backend_pid())"), "f", "terminating connection"),
    "ends its control session": Text(
        sql_step("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgagent_py engine'"),
        "s",
    ),
    "open transaction": Text(sql_step("begin; insert into done values ('never')"), "f", "transaction"),
    "binary copy": Text(sql_step("copy (select g from generate_series(1, 1000) g) to stdout (format binary)"), "s"),
    "binary value": Text(sql_step(r"select '\x00ff'::bytea"), "s"),
    "NUL": Text(sql_step("select chr(0)"), "f", "null character not permitted"),
    "NUL in its code": Text(sql_step("select E'\\000'"), "f", "invalid byte sequence"),
    "binary notice": Text(sql_step("do $$ begin raise notice '%', chr(1) || chr(127); end $$"), "s", "NOTICE"),
    "script of nothing": Text(batch_step(""), "s"),
    "script with a syntax error": Text(batch_step("if then"), "f", "yntax error"),
    "script with NUL": Text(batch_step(r"printf 'a\000b'"), "s", "a"),
    "script with binary output": Text(batch_step(r"printf '\377\376'"), "s", "\\x"),
    "script that kills itself": Text(batch_step("kill -9 $$"), "f"),
    "good": Text(sql_step("insert into done values ('good')"), "s"),
}


def test_every_kind_of_step_text(fault_database: Database, watcher: Connection) -> None:
    """All at once, under one ticker: each ends by itself, and the engine goes on."""
    jobs = {name: add_job(watcher, name, text.step) for name, text in TEXTS.items()}
    with Ticker(fault_database.conninfo, "-t", "1") as ticker:
        make_due(watcher, *jobs.values())
        for name, text in TEXTS.items():
            (run,) = wait_for_runs(watcher, jobs[name], deadline_seconds=60)  # a million rows take a while
            (log,) = step_logs(watcher, run)
            assert (run.status, log.status) == (text.status, text.status), (name, log)
            assert text.output in (log.output or ""), (name, log)
        assert_sound(watcher)
        make_due(watcher, jobs["good"])
        assert [run.status for run in wait_for_runs(watcher, jobs["good"], 2)] == ["s", "s"]
        assert ticker.exit_code is None
    assert watcher.execute("select what, count(*) from done group by 1").fetchall() == [("good", 2)]


@pytest.mark.parametrize("code", ["select pg_terminate_backend({pid})", "select pg_cancel_backend({pid})"])
def test_step_that_ends_or_cancels_its_own_engine(fault_database: Database, watcher: Connection, code: str) -> None:
    """Its run is aborted; the next one, with other code, succeeds."""
    engine = "(select jobagentid from pgagent.pga_job where jobname = 'job')"
    jobid = add_job(watcher, "job", sql_step(code.format(pid=engine) + "; select pg_sleep(600)"))
    with Ticker(fault_database.conninfo, "-t", "1"):
        make_due(watcher, jobid)
        assert [run.status for run in wait_for_runs(watcher, jobid)] == ["d"]
        assert_sound(watcher)
        watcher.execute("update pgagent.pga_jobstep set jstcode = 'select 1'")
        make_due(watcher, jobid)
        assert wait_for_runs(watcher, jobid, 2)[-1].status == "s"
        assert_sound(watcher)
