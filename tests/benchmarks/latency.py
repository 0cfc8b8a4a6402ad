"""How long after its due time a job starts, with the ticker running."""

from __future__ import annotations

import statistics
from typing import Any

from psycopg import Connection

from benchmarks.bench import Bench, add_jobs, fetch_row, make_all_due, tidy_up, wait_until_done
from benchmarks.daemon import Daemon
from benchmarks.report import Aim, Figure, Result, percentile
from harness import Ticker, wait_until

JOBS = 50
RIVAL_JOBS = 20
APART_SECONDS = 0.1
RIVAL_APART_SECONDS = 0.37  # no multiple of its poll interval

_PLAN = """
update pgagent.pga_job j
   set jobnextrun = now() + interval '1.5 s' + n.position * make_interval(secs => %s)
  from (select jobid, row_number() over (order by jobid) as position from pgagent.pga_job) n
 where n.jobid = j.jobid
"""
_LATENCIES = """
select extract(epoch from l.jlgstart - p.due)::float8 * 1000
  from pgagent.pga_joblog l join plan p on p.jobid = l.jlgjobid
"""
_RUN_NOW = "update pgagent.pga_job set jobnextrun = now() where jobid = %s returning jobnextrun"
_STARTED = "select extract(epoch from min(jlgstart) - %s)::float8 * 1000 from pgagent.pga_joblog where jlgjobid = %s"


def measure(bench: Bench) -> Result:
    """Start latency of both engines, in turns, in milliseconds."""
    result = Result(f"jlgstart - jobnextrun in ms, {JOBS} jobs {APART_SECONDS:g} s apart, ticker running")
    ours, asked = _measure_ours(bench, result)
    theirs = _measure_theirs(bench) if bench.rival else []
    result.figures += [
        Figure("median", *_of_both(ours, theirs, 50), Aim(10)),
        Figure("95th percentile", *_of_both(ours, theirs, 95), Aim(30)),
        Figure("greatest", *_of_both(ours, theirs, 100)),
        Figure("after 'run now', median", [statistics.median(asked)]),
        Figure("after 'run now', greatest", [max(asked)]),
    ]
    if theirs:
        result.notes.append(f"pgAgent with -t 1: {RIVAL_JOBS} jobs {RIVAL_APART_SECONDS:g} s apart")
    return result


def _of_both(ours: list[list[float]], theirs: list[list[float]], percent: float) -> tuple[list[float], list[float]]:
    return [percentile(one, percent) for one in ours], [percentile(one, percent) for one in theirs]


def _measure_ours(bench: Bench, result: Result) -> tuple[list[list[float]], list[float]]:
    with bench.database("latency") as conn:
        add_jobs(conn, JOBS)
        with Ticker(bench.cluster.conninfo("latency")):
            _warm_up(conn)
            turns = [_run_planned(conn, APART_SECONDS) for _ in range(bench.choose(5, 1))]
            asked = _run_asked(conn, bench.choose(JOBS, 10))
    result.wrong += [f"{len(one)} runs of {JOBS} jobs" for one in turns if len(one) != JOBS]
    return turns, asked


def _measure_theirs(bench: Bench) -> list[list[float]]:
    with bench.database("latency_pgagent", of_rival=True) as conn:
        add_jobs(conn, RIVAL_JOBS)
        with Daemon(bench.cluster.conninfo("latency_pgagent"), conn):
            _warm_up(conn)
            return [_run_planned(conn, RIVAL_APART_SECONDS) for _ in range(bench.choose(3, 1))]


def _warm_up(conn: Connection[Any]) -> None:
    make_all_due(conn)
    wait_until_done(conn)


def _run_planned(conn: Connection[Any], apart_seconds: float) -> list[float]:
    """Make the jobs due one after the other; return the latency of each in milliseconds."""
    tidy_up(conn)
    conn.execute(_PLAN, (apart_seconds,))
    conn.execute("create temp table plan as select jobid, jobnextrun as due from pgagent.pga_job")
    done = "select count(jlgduration) >= (select count(*) from plan) from pgagent.pga_joblog"
    wait_until(lambda: fetch_row(conn, done)[0], 60.0, "the planned runs")
    found = [row[0] for row in conn.execute(_LATENCIES)]
    conn.execute("drop table plan")
    return found


def _run_asked(conn: Connection[Any], times: int) -> list[float]:
    """Ask for one job after the other, as pgAdmin's "Run now" does."""
    tidy_up(conn)
    jobids = [row[0] for row in conn.execute("select jobid from pgagent.pga_job order by jobid limit %s", (times,))]
    return [_ask_for(conn, jobid) for jobid in jobids]


def _ask_for(conn: Connection[Any], jobid: int) -> float:
    due = fetch_row(conn, _RUN_NOW, jobid)[0]
    wait_until_done(conn)
    return float(fetch_row(conn, _STARTED, due, jobid)[0])
