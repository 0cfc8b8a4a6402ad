"""Agents and sessions are ended at every point between claim and finish: no due time is lost, none is run twice.

To repeat: ``for i in $(seq 20); do .venv/bin/python -m pytest -q tests/system/test_fault_points.py || break; done``
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import final

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Cluster,
    Database,
    Step,
    Ticker,
    add_job,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.faults import (
    BOOKS,
    STEPS,
    assert_sound,
    backends,
    close_entrance,
    close_gate,
    connect_when_possible,
    kill_backend,
    sessions_at_entrance,
    stopped,
    wait_at_gate,
    wait_until_unanswered,
)
from harness.following import is_free, statuses, wait_for_runs
from harness.processes import is_running
from harness.proxy import Proxy

Connection = psycopg.Connection[TupleRow]

DONE = "insert into done values ('step')"
FAILS_ONCE = f"select 1 / (nextval('attempt') - 1); {DONE}"


@final
class Stage:
    """A job under a ticker, held at a point by sessions: ``let_go`` ends these.

    ``watcher`` is a session that looks on; ``script`` the file in which scripts leave a line.
    """

    def __init__(self, database: Database, ticker: Ticker, script: Path) -> None:
        self.ticker = ticker
        self.script = script
        self.jobid = 0
        self.watcher = psycopg.connect(database.conninfo, autocommit=True)
        self._holders = [psycopg.connect(database.conninfo, autocommit=True) for _ in range(2)]
        self._database = database

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self.watcher.close()

    @property
    def holder(self) -> Connection:
        return self._holders[0]

    @property
    def other_holder(self) -> Connection:
        return self._holders[1]

    def let_go(self) -> None:
        """Whatever stands still goes on."""
        for holder in self._holders:
            holder.close()

    def connect_again(self) -> None:
        """The server has ended all sessions."""
        self.let_go()
        self.watcher.close()
        self.watcher = connect_when_possible(self._database)

    def run_job(self, *steps: Step) -> None:
        """Add the job and make it due."""
        self.jobid = add_job(self.watcher, "job", *steps)
        make_due(self.watcher, self.jobid)

    def wait_for(self, query: str) -> None:
        """Wait until a query answers true."""
        wait_until(lambda: value(self.watcher, query), what=query)

    def wait_for_steps(self) -> None:
        """Wait until no statement waits any more for what the test holds: its engine is gone."""
        wait_until(lambda: held_steps(self.watcher) == 0, what="the step's session to end")

    def count_done(self) -> int:
        """How many steps of the job have been done, in SQL and as scripts."""
        lines = self.script.read_text().splitlines() if self.script.exists() else []
        return int(value(self.watcher, "select count(*) from done")) + len(lines)


# The points, in the order in which a run passes them


def reach_claiming(stage: Stage) -> None:
    """The claim is not committed yet."""
    close_gate(stage.holder, "after insert on pgagent.pga_joblog")
    stage.run_job(sql_step(DONE))
    wait_at_gate(stage.watcher)


def reach_claimed(stage: Stage) -> None:
    """No step has a log row yet."""
    close_gate(stage.holder, "before insert on pgagent.pga_jobsteplog")
    stage.run_job(batch_step(f"echo done >> {stage.script}"))
    wait_at_gate(stage.watcher)
    assert statuses(stage.watcher, stage.jobid) == "r"


def reach_begun(stage: Stage) -> None:
    """The step has its log row; its text is not sent, because its session cannot begin."""
    warm_up = add_job(stage.watcher, "warm up")
    make_due(stage.watcher, warm_up)
    wait_for_runs(stage.watcher, warm_up)
    close_entrance(stage.holder)
    stage.run_job(sql_step(DONE))
    stage.wait_for("select count(*) = 1 from pgagent.pga_jobsteplog")
    wait_until(lambda: sessions_at_entrance(stage.watcher), what="the step's session to be held up")


def reach_executing(stage: Stage) -> None:
    """The step's statement waits."""
    hold_steps(stage.holder)
    stage.run_job(sql_step(f"{WAITING_CODE}; {DONE}"))
    wait_until(lambda: held_steps(stage.watcher), what="the step to be executed")


def reach_ended(stage: Stage) -> None:
    """What the step did is committed; that it has ended is not logged yet."""
    close_gate(stage.holder, "before update on pgagent.pga_jobsteplog", "new.jslstatus <> 'r'")
    stage.run_job(sql_step(DONE))
    wait_at_gate(stage.watcher)
    assert stage.count_done() == 1


def reach_closed(stage: Stage) -> None:
    """The end of the run is logged; its job is not free, because a client holds its row."""
    reach_executing(stage)
    stage.other_holder.execute("begin")
    stage.other_holder.execute("select from pgagent.pga_job for update")
    release_steps(stage.holder)
    stage.wait_for("select jlgstatus = 's' from pgagent.pga_joblog")
    assert not is_free(stage.watcher, stage.jobid)


def reach_retry(stage: Stage) -> None:
    """The first attempt has failed, the second has not begun."""
    stage.watcher.execute("create sequence attempt")
    stage.jobid = add_job(stage.watcher, "job", sql_step(FAILS_ONCE))
    stage.watcher.execute("update pgagent.pga_jobstep set jstretries = 1, jstretrydelay = '3 s', jstretryjitter = 0")
    make_due(stage.watcher, stage.jobid)
    stage.wait_for("select count(*) = 1 from pgagent.pga_jobsteplog where jslstatus = 'f'")


def reach_parked(stage: Stage) -> None:
    """The run waits for a ticker that takes batch steps; there is none."""
    stage.run_job(batch_step(f"echo done >> {stage.script}"))
    stage.wait_for("select count(*) = 1 from pgagent._batch_step where not taken")


def reach_adopting(stage: Stage) -> None:
    """The script has ended; that an engine goes on with the run is not committed yet."""
    close_gate(stage.holder, "before delete on pgagent._batch_step")
    stage.run_job(batch_step(f"echo done >> {stage.script}"), sql_step(DONE))
    wait_at_gate(stage.watcher)
    assert stage.count_done() == 1


@dataclass(frozen=True, slots=True)
class Point:
    """``lost``: how the run may end when its agent is lost there, and how many steps have been done then.

    Where two ends are possible, the agent is lost while a transaction of its books is open, or a ticker may be first.
    """

    reach: Callable[[Stage], None]
    lost: dict[str, int]
    options: tuple[str, ...] = ()


POINTS = {
    "claiming": Point(reach_claiming, {"s": 1, "d": 0}),
    "claimed": Point(reach_claimed, {"s": 1, "d": 0}),
    "begun": Point(reach_begun, {"d": 0}),
    "executing": Point(reach_executing, {"d": 0}),
    "ended": Point(reach_ended, {"s": 1, "d": 1}),
    "closed": Point(reach_closed, {"s": 1}),
    "retry": Point(reach_retry, {"d": 0}),
    "parked": Point(reach_parked, {"s": 1, "d": 0}, ("--no-batch",)),
    "adopting": Point(reach_adopting, {"s": 2, "d": 1}),
}

at_every_point = pytest.mark.parametrize("point", POINTS)


def at(first: str, *others: str) -> pytest.MarkDecorator:
    """The fault at one point in every run of the tests, at the others in thorough ones."""
    thorough = [pytest.param(point, marks=pytest.mark.thorough) for point in others]
    return pytest.mark.parametrize("point", [first, *thorough])


def run_through(
    name: str,
    database: Database,
    tmp_path: Path,
    fault: Callable[[Stage], None],
    ends: dict[str, int] | None = None,
) -> None:
    """A ticker's job reaches a point; then the fault; afterwards all must be well, and the job runs again.

    ``ends``: as ``Point.lost``, which it is unless told otherwise.
    """
    point = POINTS[name]
    with (
        Ticker(database.conninfo, "-t", "1", *point.options) as ticker,
        Stage(database, ticker, tmp_path / "script") as stage,
    ):
        for session in ("due",) if point.options else ("due", "batch"):
            ticker.server_pid(session)
        point.reach(stage)
        fault(stage)
        stage.let_go()
        with Ticker(database.conninfo, "-t", "1") if point.options else nullcontext():
            (run,) = wait_for_runs(stage.watcher, stage.jobid)
            assert_sound(stage.watcher)
            assert (run.status, stage.count_done()) in (ends or point.lost).items()
            make_due(stage.watcher, stage.jobid)
            assert wait_for_runs(stage.watcher, stage.jobid, 2)[-1].status == "s"
            assert_sound(stage.watcher)


@at_every_point
def test_engine_terminated_at(point: str, fault_database: Database, tmp_path: Path) -> None:
    def end_engine(stage: Stage) -> None:
        pid = stage.ticker.server_pid("due")
        stage.watcher.execute("select pg_terminate_backend(%s)", (pid,))
        wait_until_gone(pid)
        stage.wait_for_steps()

    run_through(point, fault_database, tmp_path, end_engine)


@at("ended", "claiming", "begun", "closed", "parked")
def test_engine_killed_at(point: str, fault_database: Database, tmp_path: Path) -> None:
    """The server ends all sessions then, and recovers."""

    def kill_engine(stage: Stage) -> None:
        kill_backend(stage.watcher, stage.ticker.server_pid("due"))
        stage.connect_again()

    run_through(point, fault_database, tmp_path, kill_engine)


@at("ended", "claiming")
def test_server_killed_at(point: str, fault_cluster: Cluster, fault_database: Database, tmp_path: Path) -> None:
    def kill_server(stage: Stage) -> None:
        fault_cluster.kill_postmaster()
        fault_cluster.start()
        stage.connect_again()

    run_through(point, fault_database, tmp_path, kill_server)


@at("executing", "claimed", "retry", "adopting")
def test_ticker_killed_at(point: str, fault_database: Database, tmp_path: Path) -> None:
    """Its sessions notice it when they have something to say to it."""

    def kill_ticker(stage: Stage) -> None:
        pid = stage.ticker.server_pid("due")
        stage.ticker.kill9()
        wait_until_gone(pid)
        stage.wait_for_steps()
        stage.ticker.start()

    run_through(point, fault_database, tmp_path, kill_ticker)


@at("begun", *(point for point in POINTS if point != "begun"))
def test_control_session_terminated_at(point: str, fault_database: Database, tmp_path: Path) -> None:
    """The engine makes a new one: nothing is lost."""
    all_done = {"s": POINTS[point].lost.get("s", 1)}

    def end_books(stage: Stage) -> None:
        (pid,) = backends(stage.watcher, BOOKS)
        stage.watcher.execute("select pg_terminate_backend(%s)", (pid,))
        wait_until_gone(pid)

    run_through(point, fault_database, tmp_path, end_books, all_done)


@pytest.mark.parametrize(
    ("point", "committed", "ends"),
    [
        ("claiming", "select count(*) = 1 from pgagent.pga_joblog", {"d": 0}),
        ("claimed", "select count(*) = 1 from pgagent._batch_step", {"s": 1}),
        ("claimed", "select count(*) = 1 from pgagent.pga_jobsteplog where jslstatus = 's'", {"s": 1}),
        ("ended", "select jlgstatus = 's' from pgagent.pga_joblog", {"s": 1}),
        ("adopting", "select count(*) = 0 from pgagent._batch_step", {"d": 1}),
    ],
    ids=["claiming", "claimed", "claimed, script ended", "ended", "adopting"],
)
def test_answer_to_the_engine_lost_at(
    fault_cluster: Cluster,
    fault_database: Database,
    tmp_path: Path,
    point: str,
    committed: str,
    ends: dict[str, int],
) -> None:
    """The network between server and engine is cut after the commit: a run of which the engine knows nothing ends as
    ``d``, all else is found as it was written.
    """
    with Proxy(fault_cluster.port) as proxy, psycopg.connect(fault_database.conninfo) as conn:
        conn.execute("update pgagent.settings set conninfo = %s", (f"host=127.0.0.1 port={proxy.port}",))
        conn.commit()

        def lose_answer(stage: Stage) -> None:
            proxy.stall()
            stage.let_go()
            stage.wait_for(committed)
            proxy.cut()
            proxy.mend()

        run_through(point, fault_database, tmp_path, lose_answer, ends)


@pytest.mark.parametrize("is_locked", [False, True])
def test_answer_to_the_engine_lost_at_the_end_of_a_call(
    fault_cluster: Cluster, fault_database: Database, watcher: Connection, is_locked: bool
) -> None:
    """The call is over before the engine has a new connection: the next one makes it, though nothing is due, and gives
    back what it has claimed unknowingly, later if a client holds the job's row. The engine keeps its lease meanwhile.
    """
    late = "select state <> 'idle' and clock_timestamp() - query_start > '0.25 s' from pg_stat_activity where pid = %s"
    conninfo = fault_database.conninfo
    with Proxy(fault_cluster.port) as proxy, psycopg.connect(conninfo, autocommit=True) as engine:
        watcher.execute("update pgagent.settings set conninfo = %s", (f"host=127.0.0.1 port={proxy.port}",))
        if is_locked:
            begin_to_wait_for_a_retry(watcher, engine)
        with psycopg.connect(conninfo, autocommit=True) as holder:
            close_gate(holder, "after insert on pgagent.pga_joblog")
            jobid = add_job(watcher, "job", sql_step(DONE))
            make_due(watcher, jobid)
            run_due(engine, "0 s")
            wait_at_gate(watcher)
            proxy.stall()
        wait_until(lambda: statuses(watcher, jobid) == "r", what="the claim to be committed")
        with psycopg.connect(conninfo) as client:
            if is_locked:
                client.execute("select from pgagent.pga_job where jobid = %s for update", (jobid,))
            engine.pgconn.send_query(b"select * from pgagent.run_due('0 s')")
            wait_until(lambda: value(watcher, late, engine.info.backend_pid), what="the end of the call")
            proxy.cut()
            proxy.mend()
            while engine.pgconn.get_result() is not None:
                pass
            run_due(engine, "1 s")
            assert statuses(watcher, jobid) == ("r" if is_locked else "d")
        wait_until(
            lambda: run_due(engine, "0 s") is not None and is_free(watcher, jobid),
            what=lambda: f"the claim to be given up: {statuses(watcher, jobid)}",
        )
        assert (statuses(watcher, jobid), value(watcher, "select count(*) from done")) == ("d", 0)
        watcher.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog where jlgstatus = 'r'")
        run_due(engine)
        assert_sound(watcher)


def begin_to_wait_for_a_retry(watcher: Connection, engine: Connection) -> None:
    """A run for which the engine renews its lease as long as it is called."""
    jobid = add_job(watcher, "waits for its retry", sql_step("select 1 / 0"))
    watcher.execute("update pgagent.pga_jobstep set jstretries = 1, jstretrydelay = '5 min'")
    make_due(watcher, jobid)
    run_due(engine, "0.2 s")
    assert statuses(watcher, jobid) == "r"


def test_step_backend_killed(fault_database: Database, tmp_path: Path) -> None:
    """Until the server ends the other sessions too, the engine may see the end of the step and write that it failed."""

    def kill_step(stage: Stage) -> None:
        (pid,) = backends(stage.watcher, STEPS)
        kill_backend(stage.watcher, pid)
        stage.connect_again()

    run_through("executing", fault_database, tmp_path, kill_step, {"f": 0, "d": 0})


def test_step_backend_killed_and_seen_before_the_server_recovers(
    fault_cluster: Cluster, fault_database: Database, tmp_path: Path
) -> None:
    """The step has failed, and its log says why."""

    def kill_step(stage: Stage) -> None:
        (pid,) = backends(stage.watcher, STEPS)
        with stopped(fault_cluster.pid):
            os.kill(pid, signal.SIGKILL)
            wait_for_runs(stage.watcher, stage.jobid)
            (log,) = step_logs(stage.watcher, 1)
            assert "server closed the connection unexpectedly" in (log.output or "")
        wait_until_unanswered(stage.watcher)
        stage.connect_again()

    run_through("executing", fault_database, tmp_path, kill_step, {"f": 0})


def test_step_backend_terminated(fault_database: Database, tmp_path: Path) -> None:
    """The step has failed, and its log says why."""

    def end_step(stage: Stage) -> None:
        (pid,) = backends(stage.watcher, STEPS)
        stage.watcher.execute("select pg_terminate_backend(%s)", (pid,))
        wait_for_runs(stage.watcher, stage.jobid)
        (log,) = step_logs(stage.watcher, 1)
        assert "terminating connection due to administrator command" in (log.output or "")

    run_through("executing", fault_database, tmp_path, end_step, {"f": 0})


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not is_running(pid), what=f"the end of process {pid}")
