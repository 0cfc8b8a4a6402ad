"""Memory of the ticker and of the engine's backend."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from benchmarks.bench import Bench, add_jobs, fetch_row, make_all_due, tidy_up, wait_until_done
from benchmarks.daemon import Daemon
from benchmarks.report import Aim, Figure, Result
from benchmarks.usage import pss_megabytes
from harness import Ticker

JOBS = 1000

_ENGINE = "select jagpid from pgagent.pga_jobagent where not jagtakesbatch"
_CONTROL = "select pid from pg_stat_activity where application_name = 'pgagent_py engine'"


def measure(bench: Bench) -> Result:
    """Pss in MB, when little has run yet and after bursts."""
    result = Result(f"proportional set size in MB, before and after bursts of {JOBS:,} jobs")
    with bench.database("memory") as conn:
        add_jobs(conn, JOBS)
        with Ticker(bench.cluster.conninfo("memory")) as ticker:
            _run_one(conn)
            before = _weigh(conn, ticker)
            for _ in range(bench.choose(5, 1)):
                _run_all(conn)
            after = _weigh(conn, ticker)
    theirs = _weigh_rival(bench) if bench.rival else ([], [])
    result.figures += [
        Figure("ticker with its guardian", [before[0]], theirs[0], Aim(40)),
        Figure("ticker with its guardian, after the bursts", [after[0]], (), Aim(40)),
        Figure("engine's backend", [before[1]], theirs[1], Aim(60)),
        Figure("engine's backend, after the bursts", [after[1]], (), Aim(60)),
        Figure("engine's control session, after the bursts", [after[2]]),
    ]
    result.notes.append("Pss of a backend includes its share of the shared buffers that it has touched")
    if bench.rival:
        result.notes.append("pgAgent: the daemon, and its main backend, after one job")
    return result


def _run_one(conn: Connection[Any]) -> None:
    conn.execute("update pgagent.pga_job set jobnextrun = now() where jobid = (select min(jobid) from pgagent.pga_job)")
    wait_until_done(conn)


def _run_all(conn: Connection[Any]) -> None:
    tidy_up(conn)
    make_all_due(conn)
    wait_until_done(conn)


def _weigh(conn: Connection[Any], ticker: Ticker) -> tuple[float, float, float]:
    engine, control = (int(fetch_row(conn, query)[0]) for query in (_ENGINE, _CONTROL))
    return (
        pss_megabytes([ticker.pid, *ticker.children()]),
        pss_megabytes([engine]),
        pss_megabytes([control]),
    )


def _weigh_rival(bench: Bench) -> tuple[list[float], list[float]]:
    with bench.database("memory_pgagent", of_rival=True) as conn:
        add_jobs(conn, JOBS)
        with Daemon(bench.cluster.conninfo("memory_pgagent"), conn) as daemon:
            _run_one(conn)
            main = int(fetch_row(conn, "select jagpid from pgagent.pga_jobagent")[0])
            return [pss_megabytes([daemon.pid])], [pss_megabytes([main])]
