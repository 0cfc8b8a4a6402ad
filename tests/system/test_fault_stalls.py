"""Agents that stand still or are cut off: within their lease they go on; after it another one has taken over for good.

To repeat: ``for i in $(seq 20); do .venv/bin/python -m pytest -q tests/system/test_fault_stalls.py || break; done``
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
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
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    runs,
    sql_step,
    value,
    wait_until,
)
from harness.faults import BOOKS, assert_sound, backends, stopped
from harness.following import statuses, wait_for_runs
from harness.proxy import Proxy

Connection = psycopg.Connection[TupleRow]

SHORTEST_LEASE = "update pgagent.settings set agent_lease = '5 s'"
LEASE_LEFT = "select jagleaseuntil > clock_timestamp() + %s::interval from pgagent.pga_jobagent where jagpid = %s"
CALL_BEGUN = "select query_start from pg_stat_activity where pid = %s"
DONE = "insert into done values ('second step')"
COUNT_DONE = "select count(*) from done"


@dataclass(frozen=True, slots=True)
class Scene:
    """A ticker of the station ``a`` behind a proxy, at work on an SQL step and a script that wait for the test.

    Each job has a second step.
    """

    watcher: Connection
    ticker: Ticker
    proxy: Proxy
    in_sql: int
    in_script: int
    go: Path

    def let_steps_end(self) -> None:
        """What the test has held goes on."""
        release_steps(self.watcher)
        self.go.touch()


@contextmanager
def at_work(cluster: Cluster, database: Database, watcher: Connection, place: Path) -> Iterator[Scene]:
    hold_steps(watcher)
    script = f"touch {place}/begun; until [ -e {place}/go ]; do sleep 0.05; done"
    in_sql = add_job(watcher, "in SQL", sql_step(WAITING_CODE), sql_step(DONE))
    in_script = add_job(watcher, "in a script", batch_step(script), sql_step(DONE))
    make_due(watcher, in_sql, in_script)
    with Proxy(cluster.port) as proxy:
        conninfo = make_conninfo(cluster.conninfo(database.name, tcp=True), port=proxy.port)
        with Ticker(conninfo, "-t", "1", "--station", "a") as ticker:
            wait_until((place / "begun").exists, what="the script to begin")
            wait_until(lambda: held_steps(watcher) == 1, what="the SQL step to begin")
            yield Scene(watcher, ticker, proxy, in_sql, in_script, place / "go")


@contextmanager
def deaf(proxy: Proxy) -> Iterator[None]:
    """A network that passes nothing on, and stands."""
    proxy.stall()
    try:
        yield
    finally:
        proxy.mend()


Stall = Callable[[Scene], AbstractContextManager[None]]

STALLS: dict[str, Stall] = {
    "ticker": lambda scene: stopped(scene.ticker.pid),
    "network": lambda scene: deaf(scene.proxy),
    "engine": lambda scene: stopped(scene.ticker.server_pid("due")),
    "control session": lambda scene: stopped(backends(scene.watcher, BOOKS)[0]),
}


@pytest.mark.parametrize("what", STALLS)
def test_stall_shorter_than_the_lease(
    fault_cluster: Cluster, fault_database: Database, watcher: Connection, tmp_path: Path, what: str
) -> None:
    """Others work meanwhile and leave its runs alone; then all goes on as if nothing had been."""
    with at_work(fault_cluster, fault_database, watcher, tmp_path) as scene:
        with STALLS[what](scene), Ticker(fault_database.conninfo, "-t", "1", "--station", "b"):
            for number in range(2):
                other = add_job(watcher, f"other {number}", sql_step("select 1"), batch_step("true"), host="b")
                make_due(watcher, other)
                assert [run.status for run in wait_for_runs(watcher, other)] == ["s"]
                assert statuses(watcher, scene.in_sql) == "r"
            scene.let_steps_end()
        for jobid in (scene.in_sql, scene.in_script):
            assert [run.status for run in wait_for_runs(watcher, jobid)] == ["s"]
        assert value(watcher, COUNT_DONE) == 2
        assert_sound(watcher)


@pytest.mark.parametrize(
    ("what", "script_ends"), [("ticker", "d"), ("network", "d"), ("engine", "s"), ("control session", "s")]
)
def test_stall_longer_than_the_lease(
    fault_cluster: Cluster, fault_database: Database, watcher: Connection, tmp_path: Path, what: str, script_ends: str
) -> None:
    """Another agent ends what runs; who wakes up then writes nothing, sends nothing, and works again."""
    watcher.execute(SHORTEST_LEASE)
    with at_work(fault_cluster, fault_database, watcher, tmp_path) as scene:
        given_up = [scene.in_sql, scene.in_script] if script_ends == "d" else [scene.in_sql]
        with STALLS[what](scene), Ticker(fault_database.conninfo, "-t", "1", "--station", "b"):
            for jobid in given_up:
                wait_for_status(watcher, jobid, "d")
            assert held_steps(watcher) == 0
            scene.let_steps_end()
            make_due(watcher, scene.in_sql)
            assert [run.status for run in wait_for_runs(watcher, scene.in_sql, 2)] == ["d", "s"]
        after = add_job(watcher, "after", sql_step("select 1"), batch_step("true"), host="a")
        make_due(watcher, after)
        assert [run.status for run in wait_for_runs(watcher, after)] == ["s"]
        assert [run.status for run in wait_for_runs(watcher, scene.in_script)] == [script_ends]
        assert value(watcher, COUNT_DONE) == (2 if script_ends == "s" else 1)
        assert_sound(watcher)


# An engine whose lease cannot be renewed, because a client holds the agent's row


@dataclass(frozen=True, slots=True)
class Unrenewed:
    """A ticker's engine that executes the first of two steps; ``client`` holds the agent's row until it is closed."""

    watcher: Connection
    client: Connection
    engine: int
    jobid: int

    def wait_for_lease(self, seconds: int) -> None:
        """Wait until no more of the lease is left than that."""
        left = f"{seconds} s"
        wait_until(lambda: not value(self.watcher, LEASE_LEFT, left, self.engine), what=f"{left} left of the lease")

    def begin_second_step(self) -> None:
        """The first one ends, the second one gets its log row; it must not be sent."""
        release_steps(self.watcher)
        begun = "select count(*) from pgagent.pga_jobsteplog"
        wait_until(lambda: value(self.watcher, begun) == 2, what="the second step to be begun in the log")
        wait_for_calls(self.watcher, self.engine, 2)
        assert value(self.watcher, COUNT_DONE) == 0, "a step was sent in the last quarter of the lease"


@contextmanager
def without_renewal(database: Database, watcher: Connection) -> Iterator[Unrenewed]:
    watcher.execute(SHORTEST_LEASE)
    hold_steps(watcher)
    jobid = add_job(watcher, "job", sql_step(WAITING_CODE), sql_step(DONE))
    make_due(watcher, jobid)
    with (
        Ticker(database.conninfo, "-t", "1") as ticker,
        psycopg.connect(database.conninfo, autocommit=True) as client,
    ):
        wait_until(lambda: held_steps(watcher) == 1, what="the first step to begin")
        engine = ticker.server_pid("due")
        client.execute("begin")
        client.execute("select from pgagent.pga_jobagent where jagpid = %s for no key update", (engine,))
        yield Unrenewed(watcher, client, engine, jobid)
        assert_sound(watcher)


def test_no_step_is_sent_in_the_last_quarter_of_the_lease(fault_database: Database, watcher: Connection) -> None:
    """It is sent when the lease is renewed, if nobody has taken over."""
    with without_renewal(fault_database, watcher) as unrenewed:
        unrenewed.wait_for_lease(1)
        unrenewed.begin_second_step()
        unrenewed.client.close()
        assert [run.status for run in wait_for_runs(watcher, unrenewed.jobid)] == ["s"]
        assert value(watcher, COUNT_DONE) == 1


@pytest.mark.parametrize("executing", [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_agent_that_cannot_be_marked_is_not_superseded(
    fault_database: Database, watcher: Connection, executing: bool
) -> None:
    """A client holds its row past the end of its lease: others leave its run and its steps alone, and it goes on."""
    with without_renewal(fault_database, watcher) as unrenewed:
        unrenewed.wait_for_lease(1)
        if not executing:
            unrenewed.begin_second_step()
        unrenewed.wait_for_lease(0)
        for _ in range(3):
            run_due(watcher, "0.2 s")
        assert (statuses(watcher, unrenewed.jobid), held_steps(watcher)) == ("r", int(executing))
        unrenewed.client.close()
        wait_until(lambda: value(watcher, LEASE_LEFT, "0 s", unrenewed.engine), what="the lease to be renewed")
        if executing:
            release_steps(watcher)
        assert [run.status for run in wait_for_runs(watcher, unrenewed.jobid)] == ["s"]
        assert value(watcher, COUNT_DONE) == 1


def test_superseded_agent_gets_its_lease_back_no_more(fault_database: Database, watcher: Connection) -> None:
    """Marked, but not yet cleaned up after: a client holds the job's row."""
    lease_ends = "select jagleaseuntil::text from pgagent.pga_jobagent where jagpid = %s"
    hold_steps(watcher)
    jobid = add_job(watcher, "job", sql_step(WAITING_CODE, on_error="i"), sql_step(DONE))
    other = add_job(watcher, "other", sql_step("select 1"), host="a")
    make_due(watcher, jobid)
    with (
        Ticker(fault_database.conninfo, "-t", "1", "--station", "a") as ticker,
        psycopg.connect(fault_database.conninfo, autocommit=True) as client,
    ):
        wait_until(lambda: held_steps(watcher) == 1, what="the step to begin")
        engine = ticker.server_pid("due")
        client.execute("begin")
        client.execute("select from pgagent.pga_job where jobid = %s for update", (jobid,))
        with stopped(engine):
            watcher.execute(
                "update pgagent.pga_jobagent set jagleaseuntil = clock_timestamp() where jagpid = %s", (engine,)
            )
            run_due(watcher, "0.2 s")
            assert value(watcher, lease_ends, engine) == "-infinity"
            wait_until(lambda: held_steps(watcher) == 0, what="the step's session to be ended")
        make_due(watcher, other)
        wait_for_calls(watcher, engine, 4)
        assert value(watcher, lease_ends, engine) == "-infinity"
        assert statuses(watcher, other) == ""
        client.close()
        assert [run.status for run in wait_for_runs(watcher, jobid)] == ["d"]
        assert [run.status for run in wait_for_runs(watcher, other)] == ["s"]
        assert value(watcher, COUNT_DONE) == 0
        assert_sound(watcher)


def wait_for_status(conn: Connection, jobid: int, letters: str) -> None:
    wait_until(
        lambda: statuses(conn, jobid) == letters, what=lambda: f"job {jobid} to be {letters}: {runs(conn, jobid)}"
    )


def wait_for_calls(conn: Connection, pid: int, count: int) -> None:
    """Wait until a session has begun so many more statements: a ticker calls run_due again and again."""
    begun = {value(conn, CALL_BEGUN, pid)}

    def are_enough() -> bool:
        begun.add(value(conn, CALL_BEGUN, pid))
        return len(begun) > count

    wait_until(are_enough, what=f"{count} calls")
