"""Full disks, no connections, locks, cancels, slow networks, wrong clocks: jobs wait, and nothing is lost.

To repeat: ``for i in $(seq 20); do .venv/bin/python -m pytest -q tests/system/test_fault_resources.py || break; done``
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Cluster,
    Database,
    Ticker,
    add_job,
    add_schedule,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.faults import assert_sound, keep_records
from harness.following import statuses, wait_for_jobs, wait_for_runs
from harness.proxy import Proxy
from harness.ticker import ROOT

Connection = psycopg.Connection[TupleRow]

DONE = "insert into done values ('step')"
COUNT_DONE = "select count(*) from done"
SOON = timedelta(seconds=5)


# The disk of a log table is full


@contextmanager
def full_disk(cluster: Cluster, database: Database, table: str) -> Iterator[Callable[[], None]]:
    """No row of a table can be written; yields what waits until the next one has been refused."""
    refusal = re.compile(rf" {database.name} ERROR:  (psycopg\.|spiexceptions\.)?.*no space left")

    def count_refusals() -> int:
        return len(refusal.findall(cluster.log))

    def wait_for_refusal() -> None:
        before = count_refusals()
        wait_until(lambda: count_refusals() > before, what="a refusal")

    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        conn.execute("insert into drill.full_disk values (%s)", (table,))
        yield wait_for_refusal
        # Rows of this table can be written.
        conn.execute("delete from drill.full_disk")


LOG_TABLES = ["pga_joblog", "pga_jobsteplog"]


@pytest.mark.parametrize("table", LOG_TABLES)
def test_log_table_full_when_jobs_are_due(
    fault_cluster: Cluster, fault_database: Database, watcher: Connection, table: str
) -> None:
    """Inserts are refused: nothing is started until they are not, and then everything, once."""
    jobs = [add_job(watcher, f"job {number}", sql_step(DONE)) for number in range(3)]
    with Ticker(fault_database.conninfo, "-t", "1"):
        with full_disk(fault_cluster, fault_database, table) as wait_for_refusal:
            make_due(watcher, *jobs)
            wait_for_refusal()
            wait_for_refusal()
            assert [statuses(watcher, jobid) for jobid in jobs] == ["", "", ""]
            assert value(watcher, COUNT_DONE) == 0
        for jobid in jobs:
            assert [run.status for run in wait_for_runs(watcher, jobid)] == ["s"]
        assert value(watcher, COUNT_DONE) == 3
        assert_sound(watcher)


@pytest.mark.parametrize("table", LOG_TABLES)
def test_log_table_full_while_steps_run(
    fault_cluster: Cluster, fault_database: Database, watcher: Connection, tmp_path: Path, table: str
) -> None:
    """Updates are refused, and inserts of the steps that follow: all is written when they are not."""
    hold_steps(watcher)
    script = f"touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo out"
    one_step = add_job(watcher, "one step", sql_step(f"{WAITING_CODE}; {DONE}"))
    several = add_job(watcher, "several", sql_step(WAITING_CODE), sql_step(DONE), batch_step("echo more"))
    in_script = add_job(watcher, "in a script", batch_step(script), sql_step(DONE))
    jobs = [one_step, several, in_script]
    make_due(watcher, *jobs)
    with Ticker(fault_database.conninfo, "-t", "1"):
        wait_until((tmp_path / "begun").exists, what="the script to begin")
        wait_until(lambda: held_steps(watcher) == 2, what="the SQL steps to begin")
        with full_disk(fault_cluster, fault_database, table) as wait_for_refusal:
            release_steps(watcher)
            (tmp_path / "go").touch()
            wait_for_refusal()
            wait_for_refusal()
            assert statuses(watcher, one_step) == "r"
        for jobid in jobs:
            assert [run.status for run in wait_for_runs(watcher, jobid)] == ["s"]
        assert_sound(watcher)
    outputs = [[log.output for log in step_logs(watcher, runs(watcher, jobid)[0])] for jobid in jobs]
    assert outputs == [[""], ["", "", "more\n"], ["out\n", ""]]
    assert value(watcher, COUNT_DONE) == 3


# Connections


def test_no_connection_left_for_a_while(new_cluster: Callable[..., Cluster]) -> None:
    """Clients have them all: jobs wait, a ticker that starts waits, and none fails."""
    cluster = new_cluster(max_connections=20)
    made = cluster.create_database("jobs")
    with ExitStack() as stack:
        watcher = stack.enter_context(cluster.connect(made.name))
        keep_records(watcher)
        jobs = [add_job(watcher, f"job {number}", sql_step("select 1"), batch_step("true")) for number in range(5)]
        first = stack.enter_context(Ticker(made.conninfo, "-t", "1", "--station", "first"))
        first.server_pid("due")
        first.server_pid("batch")
        with every_connection_taken(cluster):
            make_due(watcher, *jobs)
            first.wait_for_line("server says.*(has no connection of its own yet|is short of connections)")
            second = stack.enter_context(Ticker(made.conninfo, "-t", "1", "--station", "second"))
            second.wait_for_line("could not connect.*too many clients")
            assert {statuses(watcher, jobid) for jobid in jobs} == {""}
        wait_for_jobs(watcher, jobs)
        assert {statuses(watcher, jobid) for jobid in jobs} == {"s"}
        assert second.server_pid("due")
        assert_sound(watcher)


@contextmanager
def every_connection_taken(cluster: Cluster) -> Iterator[None]:
    with ExitStack() as held:
        refusals = 0
        while refusals < 3:
            try:
                held.enter_context(cluster.connect())
            except psycopg.OperationalError:
                refusals += 1
        yield


# Locks


def test_job_row_locked_at_claim_and_at_finish(fault_database: Database, watcher: Connection) -> None:
    """By the open transaction of a client: that job waits, others do not."""
    locked = add_job(watcher, "locked", sql_step(f"{WAITING_CODE}; {DONE}"))
    lock = "select from pgagent.pga_job where jobid = %s for update"

    def others_run() -> None:
        other = add_job(watcher, "other", sql_step("select 1"), sql_step("select 2"), batch_step("true"))
        make_due(watcher, other)
        assert [run.status for run in wait_for_runs(watcher, other)] == ["s"]

    make_due(watcher, locked)
    hold_steps(watcher)
    with psycopg.connect(fault_database.conninfo) as client:
        client.execute(lock, (locked,))
        with Ticker(fault_database.conninfo, "-t", "1"):
            others_run()
            assert statuses(watcher, locked) == ""
            client.rollback()
            wait_until(lambda: held_steps(watcher) == 1, what="the step to begin")
            client.execute(lock, (locked,))
            release_steps(watcher)
            wait_until(lambda: statuses(watcher, locked) == "s", what="the run's end to be logged")
            others_run()
            assert value(watcher, "select jobagentid is not null from pgagent.pga_job where jobid = %s", locked)
            client.rollback()
            assert [run.status for run in wait_for_runs(watcher, locked)] == ["s"]
            assert_sound(watcher)
    assert value(watcher, COUNT_DONE) == 1


# Cancels


CANCEL = """
    select count(pg_cancel_backend(pid)) from pg_stat_activity
     where datname = current_database() and application_name ~ '^pgagent' and pid <> pg_backend_pid()
"""
BURST = 25


def cancel_until_ended(watcher: Connection, jobs: list[int], count: int) -> None:
    """Cancel all sessions of agents, engines and steps, again and again, then now and then while a run goes on.

    On a slow machine no run would begin else.
    """
    looks = itertools.count()

    def have_ended() -> bool:
        look = next(looks)
        found = [statuses(watcher, jobid) for jobid in jobs]
        if look < BURST or (look % BURST == 0 and "r" in "".join(found)):
            value(watcher, CANCEL)
        return all(len(ends) == count and "r" not in ends for ends in found)

    wait_until(have_ended, what=lambda: f"the runs to be cancelled: {[statuses(watcher, jobid) for jobid in jobs]}")


def test_everything_of_ours_cancelled(fault_database: Database, watcher: Connection, tmp_path: Path) -> None:
    in_sql = [add_job(watcher, f"SQL {number}", sql_step("select pg_sleep(600)")) for number in range(4)]
    in_script = add_job(watcher, "script", batch_step(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"))
    with Ticker(fault_database.conninfo, "-t", "1") as ticker:
        for count in (1, 2, 3):
            make_due(watcher, *in_sql)
            cancel_until_ended(watcher, in_sql, count)
        make_due(watcher, in_script)
        wait_until(lambda: statuses(watcher, in_script), what="the script's run")
        value(watcher, CANCEL)
        (tmp_path / "go").touch()
        wait_for_runs(watcher, in_script)
        watcher.execute("update pgagent.pga_jobstep set jstcode = 'select 1' where jstkind = 's'")
        make_due(watcher, *in_sql, in_script)
        for jobid in in_sql:
            assert re.fullmatch("[df]{3}s", "".join(run.status for run in wait_for_runs(watcher, jobid, 4)))
        assert wait_for_runs(watcher, in_script, 2)[-1].status == "s"
        assert ticker.exit_code is None
        assert_sound(watcher)


# A slow network


def test_slow_network(fault_cluster: Cluster, fault_database: Database, watcher: Connection) -> None:
    """Between ticker and server: everything takes longer, scripts and notifications too."""
    jobs = [add_job(watcher, f"job {number}", sql_step(DONE), batch_step("echo out")) for number in range(3)]
    with Proxy(fault_cluster.port) as proxy:
        proxy.delay_seconds = 0.15
        conninfo = make_conninfo(fault_cluster.conninfo(fault_database.name, tcp=True), port=proxy.port)
        with Ticker(conninfo, "-t", "1"):
            make_due(watcher, *jobs)
            for jobid in jobs:
                assert [run.status for run in wait_for_runs(watcher, jobid)] == ["s"]
            assert_sound(watcher)
            proxy.delay_seconds = 0.0
    assert value(watcher, COUNT_DONE) == 3


# Clocks

SHIFTED_CLOCK = """
import datetime, time
DAYS = {days}
_time = time.time
time.time = lambda: _time() + DAYS * 86400
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(days=DAYS)
datetime.datetime = Shifted
"""


@pytest.mark.parametrize("days", [1, -1])
def test_clock_of_the_ticker_is_wrong_by_a_day(
    fault_database: Database, watcher: Connection, tmp_path: Path, days: int
) -> None:
    """Only the server's clock counts; the ticker's shows in its log alone."""
    (tmp_path / "sitecustomize.py").write_text(SHIFTED_CLOCK.format(days=days))
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'ticker'}"}
    now, later = (add_job(watcher, name, sql_step(DONE), batch_step("true")) for name in ("now", "later"))
    with Ticker(fault_database.conninfo, "-t", "60", environment=environment) as ticker:
        line = ticker.wait_for_line("connected session=due")
        wrong_by = datetime.fromisoformat(line.split()[0]) - datetime.now(timezone.utc)
        assert abs(wrong_by - timedelta(days=days)) < timedelta(hours=1)
        watcher.execute(
            "update pgagent.pga_job set jobnextrun = clock_timestamp() + interval '12 h' where jobid = %s", (later,)
        )
        due = value(
            watcher,
            "update pgagent.pga_job set jobnextrun = clock_timestamp() + interval '1 s' where jobid = %s "
            "returning jobnextrun",
            now,
        )
        (run,) = wait_for_runs(watcher, now)
        assert run.status == "s"
        assert timedelta(0) <= run.start - due < SOON
        assert statuses(watcher, later) == ""
        assert_sound(watcher)


@pytest.mark.parametrize("back", ["10 minutes", "2 hours"])
def test_clock_of_the_server_was_put_back(fault_database: Database, watcher: Connection, back: str) -> None:
    """What its tables say then: the last run began in what is the future now. No time of the schedule comes twice."""
    jobid = add_job(watcher, "job", sql_step(DONE))
    add_schedule(watcher, jobid)
    with Ticker(fault_database.conninfo, "-t", "1") as ticker:
        ticker.server_pid("due")
        watcher.execute("update pgagent.pga_job set joblastrun = clock_timestamp() + %s::interval", (back,))
        watcher.execute("update pgagent.pga_job set jobnextrun = null")
        assert value(watcher, "select jobnextrun > joblastrun from pgagent.pga_job")
        other = add_job(watcher, "other", sql_step("select 1"))
        make_due(watcher, other)
        wait_for_runs(watcher, other)
        assert statuses(watcher, jobid) == ""
        make_due(watcher, jobid)
        assert [run.status for run in wait_for_runs(watcher, jobid)] == ["s"]
        assert_sound(watcher)
    assert value(watcher, COUNT_DONE) == 1
