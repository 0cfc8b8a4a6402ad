"""Whatever is killed, cut or stopped: nothing keeps running unseen, no job stays claimed, the work goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Cluster,
    Database,
    StepLog,
    Ticker,
    add_job,
    add_schedule,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.following import is_free, statuses, wait_for_runs
from harness.processes import is_running
from harness.proxy import Proxy

Connection = psycopg.Connection[TupleRow]

QUICK_SECONDS = 5.0
"""An orderly end, without a grace time that anybody needs."""

_FAMILY = """
if [ -e {go} ]; then echo went; exit; fi
echo $$ > {main}
child='echo $$ >> {pids}; exec sleep 1000'
sh -c "$child" &
(sh -c "$child" &)
setsid sh -c "$child" &
sh -c "trap '' TERM HUP; $child" &
echo begun
wait
"""
_CHILDREN = 4

_numbers = count(1)


class Script:
    """A batch step with children of every kind: its code, and the processes it has started."""

    def __init__(self, directory: Path) -> None:
        self._main = directory / "main"
        self._children = directory / "children"
        self._go = directory / "go"
        self._children.touch()
        self.code = _FAMILY.format(main=self._main, pids=self._children, go=self._go)

    def wait_until_running(self) -> list[int]:
        """Wait until all its processes have begun; return their ids."""
        return [*wait_until(self._find_children, what="the script's children to begin"), int(self._main.read_text())]

    def kill_children(self) -> None:
        """Kill its running children: the script, which waits for them, ends well."""
        for pid in self._find_children() or []:
            os.kill(pid, signal.SIGKILL)

    def let_end(self) -> None:
        """When it is run again it ends at once."""
        self._go.touch()

    def _find_children(self) -> list[int] | None:
        found = [int(line) for line in self._children.read_text().splitlines()]
        return found if len(found) == _CHILDREN else None


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


@pytest.fixture(scope="module")
def crash_cluster() -> Iterator[Cluster]:
    """A server that may be stopped and killed."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def crash_database(crash_cluster: Cluster) -> Database:
    return crash_cluster.create_database(f"crash_{next(_numbers)}")


# kill -9 of the ticker


@pytest.mark.parametrize("rescuer", ["ticker", "psql"])
def test_ticker_killed_during_a_batch_step(
    connection: Connection, database: Database, script: Script, tmp_path: Path, rescuer: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    jobid = add_job(connection, "job", batch_step(script.code), sql_step("select 1"))
    add_schedule(connection, jobid)
    make_due(connection, jobid)
    with Ticker(database.conninfo, environment={"TMPDIR": str(place)}) as ticker:
        processes = [ticker.pid, *ticker.children(), *script.wait_until_running()]
        ticker.kill9()
    wait_until_gone(processes)
    wait_until(lambda: not list(place.iterdir()), what="the script's directory to be removed")
    script.let_end()
    with rescue(rescuer, database) as look:
        assert_lost_but_free(connection, jobid, look)
        assert value(connection, "select jobnextrun > now() from pgagent.pga_job where jobid = %s", jobid)
        if rescuer == "psql":
            return
        make_due(connection, jobid)
        again = wait_for_runs(connection, jobid, 2)[-1]
    assert (again.status, [log.output for log in step_logs(connection, again)]) == ("s", ["went\n", ""])


@pytest.mark.parametrize("rescuer", ["ticker", "psql"])
def test_ticker_killed_during_sql_steps(connection: Connection, database: Database, rescuer: str) -> None:
    hold_steps(connection)
    jobs = [add_job(connection, f"job {number}", sql_step(WAITING_CODE)) for number in range(3)]
    make_due(connection, *jobs)
    with Ticker(database.conninfo) as ticker:
        wait_until(lambda: held_steps(connection) == 3, what="the steps to begin")
        ticker.kill9()
    wait_until(lambda: held_steps(connection) == 0, what="the steps' sessions to end")
    with rescue(rescuer, database) as look:
        for jobid in jobs:
            assert_lost_but_free(connection, jobid, look)
    release_steps(connection)
    make_due(connection, *jobs)
    run_due(connection)
    assert {statuses(connection, jobid) for jobid in jobs} == {"ds"}


def test_ticker_killed_while_jobs_wait_for_it(connection: Connection, database: Database, tmp_path: Path) -> None:
    """Runs that have reached a batch step which no ticker has taken yet."""
    hold = f"touch {tmp_path}/begun; sleep 1000"
    jobs = [add_job(connection, f"job {number}", batch_step(hold)) for number in range(3)]
    with Ticker(database.conninfo, "--batch-parallel", "1") as ticker:
        make_due(connection, *jobs)
        waiting = "select count(*) filter (where taken), count(*) filter (where not taken) from pgagent._batch_step"
        wait_until(lambda: connection.execute(waiting).fetchone() == (1, 2), what="one script, two that wait")
        ticker.kill9()
    with rescue("psql", database) as look:
        for jobid in jobs:
            assert_lost_but_free(connection, jobid, look)


def test_surviving_ticker_takes_over_from_a_killed_one(
    connection: Connection, database: Database, script: Script
) -> None:
    hold_steps(connection)
    jobs = [
        add_job(connection, "in SQL", sql_step(WAITING_CODE), host="dies"),
        add_job(connection, "in a script", batch_step(script.code), host="dies"),
    ]
    make_due(connection, *jobs)
    with Ticker(database.conninfo, "--station", "survives", "-t", "1") as survivor:
        survivor.wait_for_line("connected session=due")
        with Ticker(database.conninfo, "--station", "dies") as ticker:
            processes = script.wait_until_running()
            wait_until(lambda: held_steps(connection) == 1, what="the SQL step to begin")
            assert {statuses(connection, jobid) for jobid in jobs} == {"r"}
            ticker.kill9()
        wait_until_gone(processes)
        for jobid in jobs:
            assert_lost_but_free(connection, jobid, lambda: None)


# The server ends a session of the ticker


@pytest.mark.parametrize("session", ["due", "batch"])
def test_session_terminated_during_runs(
    connection: Connection, database: Database, script: Script, session: str
) -> None:
    """Each session answers for its own runs, those of the other go on; and the ticker does not need its interval."""
    hold_steps(connection)
    in_sql = add_job(connection, "in SQL", sql_step(WAITING_CODE))
    in_script = add_job(connection, "in a script", batch_step(script.code), sql_step("select 1"))
    make_due(connection, in_sql, in_script)
    with Ticker(database.conninfo, "-t", "60") as ticker:
        processes = script.wait_until_running()
        wait_until(lambda: held_steps(connection) == 1, what="the SQL step to begin")
        old = ticker.server_pid(session)
        connection.execute("select pg_terminate_backend(%s)", (old,))
        if session == "due":
            wait_until(lambda: statuses(connection, in_sql) == "d", what="the SQL run to be given up")
            assert statuses(connection, in_script) == "r"
            assert all(map(is_running, processes))
            script.kill_children()
            assert [run.status for run in wait_for_runs(connection, in_script)] == ["s"]
        else:
            wait_until_gone(processes)
            wait_until(lambda: statuses(connection, in_script) == "d", what="the script's run to be given up")
            assert statuses(connection, in_sql) == "r"
        release_steps(connection)
        script.let_end()
        for jobid in (in_sql, in_script):
            wait_for_runs(connection, jobid)
        make_due(connection, in_sql, in_script)
        for jobid in (in_sql, in_script):
            assert wait_for_runs(connection, jobid, 2)[-1].status == "s"
        assert ticker.server_pid(session) != old
        assert ticker.exit_code is None
        assert "connection lost" in ticker.log


# The server ends


@pytest.mark.parametrize("how", ["fast", "immediate", "kill -9"])
def test_server_restart_during_runs(crash_cluster: Cluster, crash_database: Database, script: Script, how: str) -> None:
    with Ticker(crash_database.conninfo) as ticker:
        with psycopg.connect(crash_database.conninfo, autocommit=True) as conn:
            hold_steps(conn)
            jobs = [
                add_job(conn, "in SQL", sql_step(WAITING_CODE)),
                add_job(conn, "in a script", batch_step(script.code), sql_step("select 1")),
            ]
            make_due(conn, *jobs)
            processes = script.wait_until_running()
            wait_until(lambda: held_steps(conn) == 1, what="the SQL step to begin")
            if how == "kill -9":
                crash_cluster.kill_postmaster()
            else:
                crash_cluster.stop(how)
        wait_until_gone(processes)
        script.let_end()
        crash_cluster.start()
        with psycopg.connect(crash_database.conninfo, autocommit=True) as conn:
            # The engine may have written that its SQL step was ended, before it was ended itself
            for jobid, ends in zip(jobs, ("df", "d"), strict=True):
                assert_lost_but_free(conn, jobid, lambda: None, ends)
            make_due(conn, *jobs)
            for jobid in jobs:
                assert wait_for_runs(conn, jobid, 2)[-1].status == "s"
        assert ticker.exit_code is None


def test_ticker_started_before_the_server(crash_cluster: Cluster, crash_database: Database) -> None:
    crash_cluster.stop()
    with Ticker(crash_database.conninfo) as ticker:
        ticker.wait_for_line("could not connect")
        crash_cluster.start()
        with psycopg.connect(crash_database.conninfo, autocommit=True) as conn:
            jobid = add_job(conn, "job", sql_step("select 1"), batch_step("true"))
            make_due(conn, jobid)
            assert [run.status for run in wait_for_runs(conn, jobid)] == ["s"]
        refusals = [line.partition(" ")[2] for line in ticker.log.splitlines() if "could not connect" in line]
        assert len(refusals) == len(set(refusals)), "one line for each state, not for each attempt"


# The network


def test_network_cut_during_runs(connection: Connection, database: Database, cluster: Cluster, script: Script) -> None:
    hold_steps(connection)
    jobs = [
        add_job(connection, "in SQL", sql_step(WAITING_CODE)),
        add_job(connection, "in a script", batch_step(script.code), sql_step("select 1")),
    ]
    make_due(connection, *jobs)
    with Proxy(cluster.port) as proxy, Ticker(through(proxy, cluster, database), "-t", "1") as ticker:
        processes = script.wait_until_running()
        wait_until(lambda: held_steps(connection) == 1, what="the SQL step to begin")
        proxy.cut()
        wait_until_gone(processes)
        wait_until(lambda: held_steps(connection) == 0, what="the SQL step's session to end")
        release_steps(connection)
        script.let_end()
        ticker.wait_for_line("could not connect")
        proxy.mend()
        for jobid in jobs:
            assert_lost_but_free(connection, jobid, lambda: None)
        make_due(connection, *jobs)
        for jobid in jobs:
            assert wait_for_runs(connection, jobid, 2)[-1].status == "s"
        assert ticker.exit_code is None


def test_network_cut_that_the_server_does_not_notice(
    connection: Connection, database: Database, cluster: Cluster, script: Script
) -> None:
    """The runs of the old sessions count as alive until their backends end: none is started a second time."""
    jobid = add_job(connection, "job", batch_step(script.code))
    make_due(connection, jobid)
    with Proxy(cluster.port) as proxy, Ticker(through(proxy, cluster, database), "-t", "1") as ticker:
        processes = script.wait_until_running()
        old = ticker.server_pid("batch")
        proxy.cut_clients()
        wait_until_gone(processes)
        script.let_end()
        proxy.mend()
        wait_until(lambda: ticker.server_pid("batch") != old, what="the ticker to come back")
        make_due(connection, jobid)
        other = add_job(connection, "other", batch_step("true"))
        make_due(connection, other)
        assert [run.status for run in wait_for_runs(connection, other)] == ["s"]
        assert statuses(connection, jobid) == "r"
        connection.execute("select pg_terminate_backend(%s)", (old,))
        first, second = wait_for_runs(connection, jobid, 2)
        assert (first.status, second.status) == ("d", "s")


def test_network_that_swallows_everything(
    connection: Connection, database: Database, cluster: Cluster, script: Script
) -> None:
    """The run is given up after its lease, on the server's side; so it must be on the ticker's."""
    connection.execute("update pgagent.settings set agent_lease = '5 s'")
    jobid = add_job(connection, "job", batch_step(script.code))
    make_due(connection, jobid)
    with Proxy(cluster.port) as proxy, Ticker(through(proxy, cluster, database), "-t", "1"):
        processes = script.wait_until_running()
        proxy.stall()
        wait_until_gone(processes)
        wait_until(
            lambda: [run_due(connection, "0 s"), statuses(connection, jobid)][1] == "d",
            what="the run to be given up",
        )


# An orderly end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_runs(connection: Connection, database: Database, script: Script, number: signal.Signals) -> None:
    hold_steps(connection)
    in_sql = add_job(connection, "in SQL", sql_step(WAITING_CODE))
    in_script = add_job(connection, "in a script", batch_step(script.code), sql_step("select 1"))
    make_due(connection, in_sql, in_script)
    with Ticker(database.conninfo, "-l", "2") as ticker:
        processes = script.wait_until_running()
        wait_until(lambda: held_steps(connection) == 1, what="the SQL step to begin")
        assert ticker.stop(number, QUICK_SECONDS) == 0
        assert ticker.log.splitlines()[-1].endswith("INFO stopped")
    wait_until_gone(processes)
    assert held_steps(connection) == 0
    sql_log, script_log = only_step(connection, in_sql), only_step(connection, in_script)
    assert (sql_log.status, script_log.status) == ("d", "d")
    assert (script_log.output or "").startswith("begun\n[ended by the ticker")
    assert script_log.duration is not None
    for jobid in (in_sql, in_script):
        assert (statuses(connection, jobid), is_free(connection, jobid)) == ("d", True)
    assert value(connection, "select count(*) from pgagent._batch_step") == 0


def test_script_may_clean_up_on_sigterm(connection: Connection, database: Database, tmp_path: Path) -> None:
    code = f"trap 'echo cleaned up; exit 9' TERM; touch {tmp_path}/begun; while :; do sleep 0.05; done"
    jobid = add_job(connection, "job", batch_step(code))
    make_due(connection, jobid)
    with Ticker(database.conninfo) as ticker:
        wait_until((tmp_path / "begun").exists, what="the script to begin")
        assert ticker.stop(deadline_seconds=QUICK_SECONDS) == 0
    log = only_step(connection, jobid)
    assert (statuses(connection, jobid), log.status, log.result) == ("d", "d", 9)
    assert (log.output or "").startswith("cleaned up\n")


def test_script_that_ignores_sigterm_is_killed_after_the_grace_time(
    connection: Connection, database: Database, tmp_path: Path
) -> None:
    code = f"trap '' TERM; touch {tmp_path}/begun; while :; do sleep 0.05; done"
    jobid = add_job(connection, "job", batch_step(code))
    make_due(connection, jobid)
    with Ticker(database.conninfo, "--grace", "0.5") as ticker:
        wait_until((tmp_path / "begun").exists, what="the script to begin")
        began = time.monotonic()
        assert ticker.stop(deadline_seconds=QUICK_SECONDS) == 0
        assert time.monotonic() - began >= 0.5
    log = only_step(connection, jobid)
    assert (statuses(connection, jobid), log.status, log.result) == ("d", "d", 137)


def test_second_signal_does_not_wait_for_scripts(connection: Connection, database: Database, tmp_path: Path) -> None:
    code = f"trap '' TERM; echo $$ > {tmp_path}/pid; touch {tmp_path}/begun; while :; do sleep 0.05; done"
    jobid = add_job(connection, "job", batch_step(code))
    make_due(connection, jobid)
    with Ticker(database.conninfo, "--grace", "60") as ticker:
        wait_until((tmp_path / "begun").exists, what="the script to begin")

        def has_ended() -> bool:
            if ticker.exit_code is None:
                ticker.send(signal.SIGTERM)
            return ticker.exit_code is not None

        wait_until(has_ended, QUICK_SECONDS, "the ticker to end")
        assert ticker.exit_code == 1
    wait_until_gone([int((tmp_path / "pid").read_text())])
    assert_lost_but_free(connection, jobid, lambda: run_due(connection))


def test_frozen_ticker_keeps_its_runs(connection: Connection, database: Database, tmp_path: Path) -> None:
    code = f"touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo once >> {tmp_path}/log"
    jobid = add_job(connection, "job", batch_step(code), sql_step("select 1"))
    make_due(connection, jobid)
    with Ticker(database.conninfo) as frozen:
        wait_until((tmp_path / "begun").exists, what="the script to begin")
        frozen.send(signal.SIGSTOP)
        (tmp_path / "go").touch()
        with Ticker(database.conninfo):
            for _ in range(2):
                other = add_job(connection, "other", sql_step("select 1"), batch_step("true"))
                make_due(connection, jobid, other)
                assert [run.status for run in wait_for_runs(connection, other)] == ["s"]
                assert statuses(connection, jobid) == "r"
        frozen.send(signal.SIGCONT)
        assert [run.status for run in wait_for_runs(connection, jobid, 2)] == ["s", "s"]
    assert (tmp_path / "log").read_text() == "once\nonce\n"


def test_idle_ticker_ends_at_once(database: Database) -> None:
    with Ticker(database.conninfo) as ticker:
        ticker.wait_for_line("connected session=due")
        ticker.wait_for_line("connected session=batch")
        assert ticker.stop(deadline_seconds=QUICK_SECONDS) == 0
        assert ticker.log.splitlines()[-1].endswith("INFO stopped")


def test_ticker_without_a_server_ends_at_once() -> None:
    with Ticker("host=/nonexistent dbname=none") as ticker:
        ticker.wait_for_line("could not connect")
        assert ticker.stop(deadline_seconds=QUICK_SECONDS) == 0


# Helpers


@contextmanager
def rescue(rescuer: str, database: Database) -> Iterator[Callable[[], object]]:
    """Somebody who cleans up after a killed ticker; yields what to do until it has been done."""
    if rescuer == "ticker":
        with Ticker(database.conninfo):
            yield lambda: None
    else:
        with psycopg.connect(database.conninfo, autocommit=True) as conn:
            yield lambda: run_due(conn, "0.2 s")


def assert_lost_but_free(conn: Connection, jobid: int, look: Callable[[], object], ends: str = "d") -> None:
    """Wait until the job's only run and the step that ran have one of these statuses, the same, and the job is free."""

    def has_been_given_up() -> bool:
        look()
        return is_free(conn, jobid) and statuses(conn, jobid) in set(ends)

    wait_until(has_been_given_up, what=lambda: f"run to be aborted: {statuses(conn, jobid)}")
    (run,) = runs(conn, jobid)
    logs = step_logs(conn, run)
    assert [log.status for log in logs] == [run.status]
    assert run.duration is not None
    assert logs[0].duration is not None


def only_step(conn: Connection, jobid: int) -> StepLog:
    (run,) = runs(conn, jobid)
    (log,) = step_logs(conn, run)
    return log


def wait_until_gone(processes: list[int]) -> None:
    wait_until(
        lambda: not any(map(is_running, processes)),
        what=lambda: f"the end of {[pid for pid in processes if is_running(pid)]}",
    )


def through(proxy: Proxy, cluster: Cluster, database: Database) -> str:
    """Return a connection string that goes through the proxy."""
    return make_conninfo(cluster.conninfo(database.name, tcp=True), port=proxy.port)
