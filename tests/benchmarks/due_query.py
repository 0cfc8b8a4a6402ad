"""What the due queries and pgAdmin's queries cost with very many jobs and a long history."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from psycopg import Connection, RawCursor
from psycopg.errors import Diagnostic

from benchmarks.bench import Bench, fetch_row
from benchmarks.crowd import JOBS, add_crowd, add_history
from benchmarks.report import Aim, Figure, Result
from pgagent_py import ledger

RUNS = 2_000_000
QUICK_RUNS = 200_000
CLAIMED_JOBS = 16
HISTORY_ROWS = 250  # as many as pgAdmin shows

_NEXT_DUE = "select pgagent.next_due()"
_RUN_DUE = "select * from pgagent.run_due('0 s')"
_JOB_LIST = """
select j.*, a.jagstation, l.jlgstatus as last_status
  from pgagent.pga_job j
  left join pgagent.pga_jobagent a on a.jagpid = j.jobagentid
  left join (select distinct on (jlgjobid) jlgjobid, jlgstatus
               from pgagent.pga_joblog order by jlgjobid, jlgid desc) l on l.jlgjobid = j.jobid
"""
_JOB_HISTORY = f"""
select jlgid, jlgstatus, jlgstart, jlgduration, jlgstart + jlgduration as ended
  from pgagent.pga_joblog where jlgjobid = $1 order by jlgid desc limit {HISTORY_ROWS}
"""
_STEP_HISTORY = f"""
select jslid, jslstatus, jslstart, jslduration, jslstart + jslduration as ended
  from pgagent.pga_jobsteplog where jsljstid = $1 order by jslid desc limit {HISTORY_ROWS}
"""
_ONE_OF_MANY = "select jobid, jstid from pgagent.pga_jobstep join pgagent.pga_job on jobid = jstjobid limit 1"
_MAKE_DUE = """
update pgagent.pga_job set jobnextrun = now()
 where jobid in (select jobid from pgagent.pga_job order by jobid limit $1)
"""
_REGISTER = "insert into pgagent.pga_jobagent (jagpid, jagstation) values ($1, 'benchmark')"
_CLAIM = ledger.CLAIM.sql
_NO_WORK = (None, "0 s")
_SCAN = re.compile(r"->  ((?:Index|Bitmap|Seq|Tid)[\w ]*? Scan[^(\n]*?) +\(")
_AUTO_EXPLAIN = (
    "load 'auto_explain'",
    "set auto_explain.log_min_duration = 0",
    "set auto_explain.log_analyze = on",
    "set auto_explain.log_timing = off",
    "set auto_explain.log_nested_statements = on",
)

Values = tuple[object, ...]


def measure(bench: Bench) -> Result:
    """Round trips in milliseconds, of prepared statements over a Unix socket."""
    runs = bench.choose(RUNS, QUICK_RUNS)
    result = Result(f"ms per query, {JOBS:,} jobs, {runs:,} rows in each of both log tables")
    with bench.database("due_query") as conn:
        add_crowd(conn)
        add_history(conn, runs)
        times = bench.choose(500, 100)
        _measure_due(conn, times, result)
        _measure_claim(conn, times // 20, result)
        _measure_clients(conn, times, result)
    return result


def _measure_due(conn: Connection[Any], times: int, result: Result) -> None:
    aim = Aim(0.5)
    values = _claim_values(conn)
    result.figures += [
        Figure("claim, nothing due", _time(conn, _CLAIM, values, times), (), aim),
        Figure("next_due", _time(conn, _NEXT_DUE, (), times), (), aim),
        Figure("run_due, nothing due", _time(conn, _RUN_DUE, (), times)),
    ]
    result.notes += [
        f"claim: {_scans(conn, _CLAIM, values)[0]}",
        f"next_due: {'; '.join(_scans(conn, _NEXT_DUE, ()))}",
        f"run_due's look: {'; '.join(_scans(conn, ledger.WORK, _NO_WORK))}",
    ]


def _measure_claim(conn: Connection[Any], times: int, result: Result) -> None:
    """The claim when there is something to claim; undone each time."""
    values = _claim_values(conn)
    found = []
    for _ in range(times):
        with conn.transaction(force_rollback=True):
            raw = RawCursor(conn)
            raw.execute(_REGISTER, (conn.info.backend_pid,))
            raw.execute(_MAKE_DUE, (CLAIMED_JOBS,))
            found += _time(conn, _CLAIM, values, 1)
    result.figures.append(Figure(f"claim of {CLAIMED_JOBS} jobs with their log rows", found))


def _measure_clients(conn: Connection[Any], times: int, result: Result) -> None:
    jobid, jstid = fetch_row(conn, _ONE_OF_MANY)
    queries: tuple[tuple[str, str, Values, int], ...] = (
        ("pgAdmin: last runs of a job", _JOB_HISTORY, (jobid,), times),
        ("pgAdmin: last runs of a step", _STEP_HISTORY, (jstid,), times),
        ("pgAdmin: all jobs, each with its last status", _JOB_LIST, (), 3),
    )
    for name, statement, values, repetitions in queries:
        result.figures.append(Figure(name, _time(conn, statement, values, repetitions)))
        result.notes.append(f"{name}: {'; '.join(_scans(conn, statement, values))}")


def _claim_values(conn: Connection[Any]) -> Values:
    return (CLAIMED_JOBS, None, conn.info.backend_pid, "-infinity", 0, False)


def _time(conn: Connection[Any], statement: str, values: Values, times: int) -> list[float]:
    """Execute a statement, with $1 and so on for its parameters, several times; return milliseconds."""
    execute = _prepared(conn, statement, values)
    found = []
    for _ in range(times):
        began = time.perf_counter()
        execute()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _prepared(conn: Connection[Any], statement: str, values: Values) -> Callable[[], None]:
    cursor = RawCursor(conn)
    query = statement.encode()

    def execute() -> None:
        cursor.execute(query, values, prepare=True).fetchall()

    return execute


def _scans(conn: Connection[Any], statement: str, values: Values) -> list[str]:
    """Return how a statement, and the statements of functions it calls, reach their tables: their scans."""
    messages: list[str] = []

    def keep(diagnostic: Diagnostic) -> None:
        messages.append(diagnostic.message_primary or "")

    for setting in _AUTO_EXPLAIN:
        conn.execute(setting)
    conn.add_notice_handler(keep)
    conn.execute("set client_min_messages = log")
    _prepared(conn, statement, values)()
    conn.execute("reset client_min_messages")
    conn.remove_notice_handler(keep)
    conn.execute("set auto_explain.log_min_duration = -1")
    return list(dict.fromkeys(_SCAN.findall("\n".join(messages))))
