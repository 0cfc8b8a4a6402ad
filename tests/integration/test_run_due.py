"""A call of run_due: what is due for it, how long it takes, what it returns, and whom it waits for."""

from __future__ import annotations

import time
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    add_job,
    add_schedule,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_until_held,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]


pytestmark = pytest.mark.shared_database


JOB = "select jobagentid, jobnextrun from pgagent.pga_job where jobid = %s"


def test_nothing_due_returns_no_rows_at_once(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    start = time.monotonic()
    assert run_due(connection, "10 s") == []
    assert time.monotonic() - start < 5
    assert runs(connection, jobid) == []


def test_a_row_for_each_run_touched(connection: Connection) -> None:
    good = add_job(connection, "the good", sql_step("select 1"))
    bad = add_job(connection, "the bad", sql_step("select 1", name="fine"), sql_step("select 1/0", name="evil"))
    slow = add_job(connection, "the slow", sql_step(WAITING_CODE, name="wait"))
    make_due(connection, good, bad, slow)
    hold_steps(connection)
    rows = {row.jobid: row for row in run_due(connection, "0.5 s")}
    assert {row.jobname: row.status for row in rows.values()} == {
        "the good": "succeeded",
        "the bad": "failed",
        "the slow": "running",
    }
    assert 'step "evil": ERROR:  division by zero' in rows[bad].detail
    assert "wait" in rows[slow].detail
    for jobid, row in rows.items():
        (run,) = runs(connection, jobid)
        assert (row.jlgid, row.started) == (run.id, run.start)
        assert timedelta(0) <= row.duration < timedelta(seconds=30)
    release_steps(connection)
    assert [(row.jobid, row.status) for row in run_due(connection)] == [(slow, "succeeded")]
    assert run_due(connection) == []


def test_call_returns_after_max_wait_and_a_later_one_finishes_the_run(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), sql_step("select 1"))
    make_due(connection, jobid)
    hold_steps(connection)
    start = time.monotonic()
    assert [row.status for row in run_due(connection, "0.5 s")] == ["running"]
    assert 0.4 < time.monotonic() - start < 5
    assert held_steps(connection) == 1
    assert [row.status for row in run_due(connection, "0.1 s")] == ["running"]
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["succeeded"]
    (run,) = runs(connection, jobid)
    assert [log.status for log in step_logs(connection, run)] == ["s", "s"]


def test_call_returns_early_when_nothing_is_left_to_do(connection: Connection) -> None:
    make_due(connection, add_job(connection, "job", sql_step("select 1")))
    start = time.monotonic()
    assert [row.status for row in run_due(connection, "60 s")] == ["succeeded"]
    assert time.monotonic() - start < 10


def test_calls_that_do_not_wait_run_the_job_all_the_same(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"), sql_step("select 1"))
    make_due(connection, jobid)

    def is_over() -> bool:
        run_due(connection, "0 s")
        return [run.status for run in runs(connection, jobid)] == ["s"]

    wait_until(is_over, 10)


def test_log_and_claim_are_visible_while_the_job_runs(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE, name="wait"))
    make_due(connection, jobid)
    hold_steps(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_due(engine, "0.3 s", "myhost")
        (run,) = runs(connection, jobid)
        assert (run.status, run.duration) == ("r", None)
        (log,) = step_logs(connection, run)
        assert (log.name, log.status, log.result, log.duration) == ("wait", "r", None, None)
        query = "select jagpid, jagstation from pgagent.pga_job join pgagent.pga_jobagent on jagpid = jobagentid"
        assert connection.execute(query).fetchall() == [(engine.info.backend_pid, "myhost")]
        release_steps(connection)
        assert [row.status for row in run_due(engine)] == ["succeeded"]
        assert value(connection, "select jobagentid from pgagent.pga_job") is None


def test_run_now_during_the_run_is_honoured_after_it(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    add_schedule(connection, jobid, minutes=[0], hours=[3], monthdays=[1], months=[1])
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(connection)
    make_due(connection, jobid)
    assert [row.status for row in run_due(connection, "0.1 s")] == ["running"]
    assert len(runs(connection, jobid)) == 1
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["succeeded", "succeeded"]
    assert [run.status for run in runs(connection, jobid)] == ["s", "s"]
    assert run_due(connection) == []
    assert value(connection, "select jobnextrun > now() from pgagent.pga_job")


def test_time_asked_for_during_the_run_is_kept(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(connection)
    connection.execute("update pgagent.pga_job set jobnextrun = '2100-01-01 00:00+00'")
    release_steps(connection)
    run_due(connection)
    assert value(connection, "select jobnextrun = '2100-01-01 00:00+00' from pgagent.pga_job")


def test_schedule_changed_during_the_run_counts_after_it(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    jscid = add_schedule(connection, jobid, minutes=[0])
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(connection)
    connection.execute("update pgagent.pga_schedule set jscstart = '2090-01-01 00:00+00' where jscid = %s", [jscid])
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["succeeded"]
    assert len(runs(connection, jobid)) == 1
    assert value(connection, "select jobnextrun = '2090-01-01 00:00+00' from pgagent.pga_job")


def test_run_now_of_a_disabled_job_is_ignored(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"), enabled=False)
    add_schedule(connection, jobid)
    make_due(connection, jobid)
    assert connection.execute(JOB, [jobid]).fetchall() == [(None, None)]
    assert run_due(connection) == []
    assert runs(connection, jobid) == []


def test_job_disabled_while_it_runs_ends_and_has_no_next_run(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), sql_step("select 1"))
    add_schedule(connection, jobid)
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(connection)
    connection.execute("update pgagent.pga_job set jobenabled = false")
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["succeeded"]
    assert connection.execute(JOB, [jobid]).fetchall() == [(None, None)]


def test_job_for_a_host_runs_only_for_that_station(connection: Connection) -> None:
    anywhere = add_job(connection, "anywhere", sql_step("select 1"))
    here = add_job(connection, "here", sql_step("select 1"), host="Alpha")
    make_due(connection, anywhere, here)
    assert [row.jobname for row in run_due(connection)] == ["anywhere"]
    for station in ("beta", "alpha", "ALPHA", "Alpha ", "%", ""):
        make_due(connection, anywhere)
        assert [row.jobname for row in run_due(connection, "10 s", station)] == ["anywhere"], station
    make_due(connection, anywhere)
    assert [row.jobname for row in run_due(connection, "10 s", "Alpha")] == ["here", "anywhere"]


def test_next_due_tells_when_to_call_again(connection: Connection) -> None:
    assert value(connection, "select pgagent.next_due()") is None
    here = add_job(connection, "here", sql_step("select 1"), host="Alpha")
    add_schedule(connection, here)
    assert value(connection, "select pgagent.next_due()") is None
    assert value(connection, "select pgagent.next_due('Alpha') = jobnextrun from pgagent.pga_job")
    make_due(connection, add_job(connection, "now", sql_step("select 1")))
    assert value(connection, "select pgagent.next_due() <= now()")


def test_longest_overdue_job_runs_first(connection: Connection) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 1")
    for minutes in (5, 50, 20, 1):
        jobid = add_job(connection, f"{minutes}", sql_step("select 1"))
        connection.execute(
            "update pgagent.pga_job set jobnextrun = now() - make_interval(mins => %s) where jobid = %s",
            (minutes, jobid),
        )
    assert [row.jobname for row in run_due(connection)] == ["50", "20", "5", "1"]


def test_parallel_runs_limits_the_steps_at_once(connection: Connection) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 3")
    jobids = [add_job(connection, f"job {n}", sql_step(WAITING_CODE)) for n in range(7)]
    make_due(connection, *jobids)
    hold_steps(connection)
    assert [row.status for row in run_due(connection, "0.5 s")] == ["running"] * 3
    assert held_steps(connection) == 3
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["succeeded"] * 7


def test_job_that_becomes_due_meanwhile_starts_in_the_same_call(connection: Connection, database: Database) -> None:
    jobid = add_job(connection, "job", sql_step(WAITING_CODE))
    code = f"update pgagent.pga_job set jobnextrun = now() where jobid = {jobid}"
    make_due(connection, add_job(connection, "starter", sql_step(code)))
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        assert {row.jobname for row in run_due(engine)} == {"starter", "job"}


def test_call_inside_an_open_transaction(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    jobid = add_job(connection, "job", sql_step("insert into t values (1)"))
    make_due(connection, jobid)
    with connection.transaction(force_rollback=True):
        assert [row.status for row in run_due(connection)] == ["succeeded"]
        assert [run.status for run in runs(connection, jobid)] == ["s"]
    assert [run.status for run in runs(connection, jobid)] == ["s"]
    assert value(connection, "select count(*) from t") == 1


def test_call_inside_a_transaction_of_any_kind(connection: Connection) -> None:
    for level in ("repeatable read", "serializable", "read committed read only"):
        jobid = add_job(connection, "job", sql_step("select 1"))
        make_due(connection, jobid)
        with connection.transaction():
            connection.execute(f"set transaction isolation level {level}")
            assert [row.status for row in run_due(connection)] == ["succeeded"], level
        assert [run.status for run in runs(connection, jobid)] == ["s"], level


def test_job_that_the_callers_own_transaction_has_locked_is_left_alone(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    make_due(connection, jobid)
    start = time.monotonic()
    with connection.transaction():
        make_due(connection, jobid)
        assert run_due(connection, "0.5 s") == []
    assert time.monotonic() - start < 5
    assert [row.status for row in run_due(connection)] == ["succeeded"]


def test_job_locked_before_it_runs_is_run_after_the_lock(connection: Connection, database: Database) -> None:
    locked = add_job(connection, "locked", sql_step("select 1"))
    free = add_job(connection, "free", sql_step("select 1"))
    make_due(connection, locked, free)
    with psycopg.connect(database.conninfo) as client:
        client.execute("update pgagent.pga_job set jobdesc = 'new' where jobid = %s", [locked])
        assert [row.jobname for row in run_due(connection, "0.3 s")] == ["free"]
    assert [row.jobname for row in run_due(connection)] == ["locked"]


def test_job_locked_while_it_runs_is_finished_after_the_lock(connection: Connection, database: Database) -> None:
    locked = add_job(connection, "locked", sql_step(WAITING_CODE))
    other = add_job(connection, "other", sql_step(WAITING_CODE))
    make_due(connection, locked, other)
    hold_steps(connection)
    run_until_held(connection, 2)
    with psycopg.connect(database.conninfo) as client:
        client.execute("update pgagent.pga_job set jobdesc = 'new' where jobid = %s", [locked])
        release_steps(connection)
        start = time.monotonic()
        rows = run_due(connection, "0.5 s")
        assert time.monotonic() - start < 5
        assert {row.jobname: row.status for row in rows} == {"locked": "succeeded", "other": "succeeded"}
        assert connection.execute(JOB, [other]).fetchall() == [(None, None)]
        assert [run.status for run in runs(connection, other)] == ["s"]
    run_due(connection)
    assert [run.status for run in runs(connection, locked)] == ["s"]
    assert connection.execute(JOB, [locked]).fetchall() == [(None, None)]
    make_due(connection, locked)
    assert [row.jobname for row in run_due(connection)] == ["locked"]


def test_log_rows_locked_by_a_client_hold_up_nothing_else(connection: Connection, database: Database) -> None:
    for table in ("pga_joblog", "pga_jobsteplog", "pga_jobstep"):
        locked = add_job(connection, "locked", sql_step(WAITING_CODE), sql_step("select 1"))
        other = add_job(connection, "other", sql_step(WAITING_CODE), sql_step("select 1"))
        make_due(connection, locked)
        hold_steps(connection)
        run_until_held(connection)
        make_due(connection, other)
        with psycopg.connect(database.conninfo) as client:
            client.execute(f"select from pgagent.{table} for update")
            run_due(connection, "0.2 s")
            release_steps(connection)
            start = time.monotonic()
            run_due(connection, "0.4 s")
            assert time.monotonic() - start < 5
            if table != "pga_jobstep":
                assert [run.status for run in runs(connection, other)] == ["s"], table
        run_due(connection)
        for jobid in (locked, other):
            (run,) = runs(connection, jobid)
            assert run.status == "s", table
            assert [log.status for log in step_logs(connection, run)] == ["s", "s"], table


def test_log_row_of_a_step_with_output_locked_by_a_client_holds_up_nothing_else(
    connection: Connection, database: Database
) -> None:
    speaking = f"do $$ begin raise notice 'hello'; end $$; {WAITING_CODE}"
    locked = add_job(connection, "locked", sql_step(speaking))
    other = add_job(connection, "other", sql_step("select 1"))
    make_due(connection, locked)
    hold_steps(connection)
    run_until_held(connection)
    with psycopg.connect(database.conninfo) as client:
        client.execute("select from pgagent.pga_jobsteplog for update")
        release_steps(connection)
        run_due(connection, "0.2 s")
        make_due(connection, other)
        run_due(connection, "0.5 s")
        assert [run.status for run in runs(connection, other)] == ["s"]
    run_due(connection)
    (run,) = runs(connection, locked)
    assert [(log.status, log.output) for log in step_logs(connection, run)] == [("s", "NOTICE:  hello")]


def test_refusal_at_the_commit_is_a_refusal_like_others(connection: Connection) -> None:
    """The engine goes on, says what was refused, and writes it when it can."""
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    jobid = add_job(connection, "job", sql_step("select 1"))
    make_due(connection, jobid)
    connection.execute("create function refuse() returns trigger language plpgsql as "
                       "'begin raise exception ''disk full''; end'")  # fmt: skip
    connection.execute("create constraint trigger refuse after update on pgagent.pga_joblog "
                       "deferrable initially deferred for each row execute function refuse()")  # fmt: skip
    run_due(connection, "0.3 s")
    assert [run.status for run in runs(connection, jobid)] == ["r"]
    assert any("disk full" in notice for notice in notices)
    connection.execute("drop function refuse cascade")
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_table_locked_by_a_client_holds_up_the_call_no_longer_than_max_wait(
    connection: Connection, database: Database
) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    make_due(connection, jobid)
    with psycopg.connect(database.conninfo) as client:
        client.execute("lock table pgagent.pga_joblog in share row exclusive mode")
        start = time.monotonic()
        run_due(connection, "0.5 s")
        assert time.monotonic() - start < 5
    wait_until(lambda: run_due(connection) or runs(connection, jobid))
    assert [run.status for run in runs(connection, jobid)] == ["s"]


def test_run_until_idle_counts_the_ends(connection: Connection) -> None:
    make_due(connection, *[add_job(connection, "good", sql_step("select 1")) for _ in range(3)])
    make_due(connection, *[add_job(connection, "bad", sql_step("select 1/0")) for _ in range(2)])
    assert connection.execute("call pgagent.run_until_idle()").fetchall() == [(3, 2, 0)]


def test_run_until_idle_runs_a_stations_jobs(connection: Connection) -> None:
    make_due(connection, add_job(connection, "here", sql_step("select 1"), host="Alpha"))
    assert connection.execute("call pgagent.run_until_idle()").fetchall() == [(0, 0, 0)]
    assert connection.execute("call pgagent.run_until_idle('Alpha')").fetchall() == [(1, 0, 0)]


def test_max_wait_out_of_range_is_refused(connection: Connection) -> None:
    for due in (False, True):
        if due:
            make_due(connection, add_job(connection, "job", sql_step("select 1")))
        for max_wait in ("-1 s", "2 days", None):
            with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
                connection.execute("select * from pgagent.run_due(%s::interval)", [max_wait])
            assert "max_wait" in str(caught.value)
    assert [row.status for row in run_due(connection)] == ["succeeded"]


def test_run_due_in_a_step_is_refused(connection: Connection) -> None:
    code = "select * from pgagent.run_due()"
    for other_is_due in (False, True):
        caller = add_job(connection, "caller", sql_step(code))
        if other_is_due:
            connection.execute("update pgagent.settings set parallel_runs = 1")
            make_due(connection, caller)
            connection.execute(
                "update pgagent.pga_job set jobnextrun = now() - interval '1 h' where jobid = %s", [caller]
            )
            make_due(connection, add_job(connection, "other", sql_step("select 1")))
        make_due(connection, caller)
        run_due(connection)
        (run,) = runs(connection, caller)
        (log,) = step_logs(connection, run)
        assert log.status == "f", f"other job due: {other_is_due}"
        assert "run_due cannot be called from a job step" in (log.output or "")


def test_two_sessions_each_report_their_own_runs(connection: Connection, database: Database) -> None:
    first = add_job(connection, "first", sql_step(WAITING_CODE))
    second = add_job(connection, "second", sql_step(WAITING_CODE))
    hold_steps(connection)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        make_due(connection, first)
        assert [row.jobname for row in run_due(engine, "0.3 s")] == ["first"]
        make_due(connection, second)
        assert [row.jobname for row in run_due(connection, "0.3 s")] == ["second"]
        release_steps(connection)
        assert [(row.jobname, row.status) for row in run_due(connection)] == [("second", "succeeded")]
        assert [(row.jobname, row.status) for row in run_due(engine)] == [("first", "succeeded")]
