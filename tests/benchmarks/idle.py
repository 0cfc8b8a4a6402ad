"""Processor time of a scheduler that has nothing to do."""

from __future__ import annotations

import time
from typing import Any

from psycopg import Connection

from benchmarks.bench import Bench, fetch_row, wait_until_done
from benchmarks.crowd import JOBS, add_crowd, add_crowd_of_rival
from benchmarks.daemon import Daemon, other_backends
from benchmarks.report import Aim, Figure, Result
from benchmarks.usage import cpu_seconds
from harness import Ticker, wait_until

INTERVAL_SECONDS = 5
SETTLE_SECONDS = 6.0

_FIRST = "(select min(jobid) from pgagent.pga_job)"


def measure(bench: Bench) -> Result:
    """Milliseconds of processor time per minute, of all processes that serve the scheduler alone."""
    seconds = bench.choose(60, 15)
    result = Result(f"processor time in ms per minute, {JOBS:,} jobs, interval {INTERVAL_SECONDS} s")
    parts = _measure_ours(bench, seconds)
    theirs = _measure_theirs(bench, seconds) if bench.rival else {}
    result.figures += [
        Figure("all", [sum(parts.values())], [sum(theirs.values())] if theirs else [], Aim(50)),
        *(Figure(f"  {name}", [parts[name]], [theirs[name]] if name in theirs else []) for name in parts),
    ]
    result.notes.append(f"measured over {seconds} s, engine and sessions there from a run before")
    return result


def _measure_ours(bench: Bench, seconds: int) -> dict[str, float]:
    with bench.database("idle") as conn:
        add_crowd(conn)
        with Ticker(bench.cluster.conninfo("idle"), "-t", str(INTERVAL_SECONDS)) as ticker:
            _run_one(conn)
            groups = {"process": [ticker.pid, *ticker.children()], "backends": other_backends(conn)}
            return _spend(groups, seconds)


def _measure_theirs(bench: Bench, seconds: int) -> dict[str, float]:
    with bench.database("idle_pgagent", of_rival=True) as conn:
        add_crowd_of_rival(conn)
        conninfo = bench.cluster.conninfo("idle_pgagent")
        with Daemon(conninfo, conn, INTERVAL_SECONDS) as daemon:
            _run_one(conn)
            return _spend({"process": [daemon.pid], "backends": daemon.backends()}, seconds)


def _run_one(conn: Connection[Any]) -> None:
    conn.execute(f"update pgagent.pga_job set jobnextrun = now() where jobid = {_FIRST}")
    logged = "select count(jlgduration) > 0 from pgagent.pga_joblog"
    wait_until(lambda: fetch_row(conn, logged)[0], 60.0, "the first run")
    wait_until_done(conn)
    time.sleep(SETTLE_SECONDS)


def _spend(groups: dict[str, list[int]], seconds: int) -> dict[str, float]:
    """Watch processes for a while; return the processor time of each group in milliseconds per minute."""
    before = {name: cpu_seconds(pids) for name, pids in groups.items()}
    began = time.monotonic()
    time.sleep(seconds)
    minutes = (time.monotonic() - began) / 60
    return {name: _difference(before[name]) * 1000 / minutes for name in groups}


def _difference(before: dict[int, float]) -> float:
    """Processor time since then; what a session that has ended meanwhile used up to its end is not known."""
    return sum(after - before[pid] for pid, after in cpu_seconds(before).items())
