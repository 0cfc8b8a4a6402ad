"""Days of one-second jobs, as fast as they run: does the memory of any process, or a table, grow with the runs?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from benchmarks.bench import Bench, fetch_row, wait_until_done
from benchmarks.report import Aim, Figure, Result, format_number
from benchmarks.usage import own_kilobytes, pss_megabytes
from harness import Ticker, add_job, batch_step, sql_step

SECONDS = 600
QUICK_SECONDS = 60
ROUNDS = 120
KEPT_RUNS = 1000
PRUNE_MOST = 1000
RUNS_OF_A_DAY = 86_400
FLAT = Aim(5)
"""KB per 1,000 runs: below 0.5 MB a day for a job that runs every second, within what one second half can tell."""
FLAT_TABLE = Aim(50)
"""Likewise: a table breathes from one vacuum to the next; a thousand runs that stay are some 700 KB of log."""

_SETTINGS = """
update pgagent.settings
   set output_limit = 65536, keep_runs = '30 s', keep_failed_runs = '1 min', keep_runs_per_job = %s
"""
_MAKE_DUE = """
update pgagent.pga_job set jobnextrun = clock_timestamp()
 where jobagentid is null and (jobnextrun is null or jobnextrun > clock_timestamp())
"""
_RUNS = "select case when is_called then last_value else 0 end from pgagent.pga_joblog_jlgid_seq"
_KEPT = "select count(*) from pgagent.pga_joblog"
_PRUNE = f"select pgagent.prune_runs({PRUNE_MOST})"
_OUTCOMES = """
select j.jobname, l.jlgstatus::text, count(*)
  from pgagent.pga_joblog l join pgagent.pga_job j on j.jobid = l.jlgjobid
 where (j.jobname like 'fails%') <> (l.jlgstatus = 'f')
 group by 1, 2 order by 1, 2
"""
_BACKENDS = {
    "engine's backend": "select jagpid from pgagent.pga_jobagent where not jagtakesbatch",
    "ticker's batch backend": "select jagpid from pgagent.pga_jobagent where jagtakesbatch",
    "control session": "select pid from pg_stat_activity where application_name = 'pgagent_py engine'",
    "step sessions": "select pid from pg_stat_activity where application_name like 'pgagent_py step %'",
}
_TABLES = """
select relname, pg_total_relation_size(oid) / 1e3
  from pg_class where relnamespace = 'pgagent'::regnamespace and relkind = 'r' order by relname
"""

_NOTICES = "do $$ begin for n in 1..50 loop raise notice 'notice % %', n, repeat('x', 200); end loop; end $$"
_FLOOD = "do $$ begin for n in 1..40 loop raise notice '%', repeat(n::text, 10000); end loop; end $$"
_ROWS = "select n, repeat('x', 200) from generate_series(1, 2000) n"
_FAILURE = "do $$ begin raise exception 'fails' using detail = repeat('d', 2000); end $$"
_OPEN = "begin; create temp table left_open (n int); insert into left_open select generate_series(1, 100)"
_SCRIPT = "for n in $(seq 200); do echo line $n; done"


@dataclass(slots=True)
class Series:
    """One thing that is weighed: what it weighs for a person (``megabytes``), and what may not grow (``kilobytes``)."""

    megabytes: list[float] = field(default_factory=list)
    kilobytes: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Soak:
    """What has been weighed, and after how many runs."""

    runs: list[float] = field(default_factory=list)
    processes: dict[str, Series] = field(default_factory=dict)
    tables: dict[str, list[float]] = field(default_factory=dict)
    pruned: int = 0
    due: int = 0


def measure(bench: Bench) -> Result:
    """KB per 1,000 runs, by least squares over the second half; first and last values."""
    seconds = bench.minutes * 60 if bench.minutes else bench.choose(SECONDS, QUICK_SECONDS)
    soak = Soak()
    with bench.database("soak") as conn:
        _add_jobs(conn)
        conn.execute(_SETTINGS, (KEPT_RUNS,))
        with Ticker(bench.cluster.conninfo("soak")) as ticker:
            _run_round(conn, soak, 1.0)
            first_run = _count_runs(conn)
            began = time.monotonic()
            for _ in range(ROUNDS):
                _run_round(conn, soak, seconds / ROUNDS)
                _weigh(conn, ticker, soak)
            rate = (soak.runs[-1] * 1000 - first_run) / (time.monotonic() - began)
        return _report(conn, soak, rate)


def slope(runs: list[float], values: list[float]) -> float:
    """Return the growth per unit of ``runs``, by least squares over the second half of the values."""
    xs, ys = runs[len(runs) // 2 :], values[len(values) // 2 :]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0


def _add_jobs(conn: Connection[Any]) -> None:
    for number in range(3):
        add_job(conn, f"plain {number}", sql_step("select 1"))
    add_job(conn, "rows", sql_step(_ROWS))
    add_job(conn, "notices", sql_step(_NOTICES))
    add_job(conn, "flood", sql_step(_FLOOD))
    add_job(conn, "fails with an open transaction", sql_step(_OPEN))
    add_job(conn, "fails", sql_step(_FAILURE))
    add_job(conn, "fails and is ignored", sql_step(_FAILURE, on_error="i"), sql_step("select from nothing_there"))
    add_job(conn, "batch", sql_step("select 1"), batch_step(_SCRIPT), sql_step("select 2"))
    add_job(conn, "fails in batch", batch_step("echo fails >&2; exit 3"))


def _run_round(conn: Connection[Any], soak: Soak, seconds: float) -> None:
    """Make every job due again as soon as it has run; in the end let all end, and prune as the engine does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        due = conn.execute(_MAKE_DUE).rowcount
        soak.due += due
        if not due:
            time.sleep(0.002)
    wait_until_done(conn)
    while deleted := fetch_row(conn, _PRUNE)[0]:
        soak.pruned += deleted
        if deleted < PRUNE_MOST:
            break


def _weigh(conn: Connection[Any], ticker: Ticker, soak: Soak) -> None:
    soak.runs.append(_count_runs(conn) / 1000)
    _weigh_processes(soak, "ticker with its guardian", [ticker.pid, *ticker.children()])
    for name, query in _BACKENDS.items():
        _weigh_processes(soak, name, [pid for (pid,) in conn.execute(query)])
    for table, kilobytes in conn.execute(_TABLES):
        soak.tables.setdefault(table, []).append(float(kilobytes))


def _weigh_processes(soak: Soak, name: str, pids: list[int]) -> None:
    """Per process: an unused step session may end."""
    series = soak.processes.setdefault(name, Series())
    count = 1 if name.startswith("ticker") else max(len(pids), 1)
    series.megabytes.append(pss_megabytes(pids) / count)
    series.kilobytes.append(own_kilobytes(pids) / count)


def _count_runs(conn: Connection[Any]) -> int:
    return int(fetch_row(conn, _RUNS)[0])


def _report(conn: Connection[Any], soak: Soak, rate: float) -> Result:
    runs = round(soak.runs[-1] * 1000)
    result = Result(f"{runs:,} runs, as many as a job that runs every second has in {runs / RUNS_OF_A_DAY:.1f} days")
    result.figures.append(Figure("runs/s, pauses included", [rate]))
    for name, series in soak.processes.items():
        _add_figures(result, name, series, soak.runs)
    for table, kilobytes in soak.tables.items():
        if max(kilobytes) > min(kilobytes):
            growth = slope(soak.runs, kilobytes)
            result.figures.append(Figure(f"{table}, KB/1,000 runs", [growth], (), FLAT_TABLE))
            result.notes.append(f"{table}: {_ends(kilobytes, 'KB')}, {format_number(max(kilobytes))} at the most")
    result.notes.append(f"runs pruned by the benchmark: {soak.pruned:,}; kept: {fetch_row(conn, _KEPT)[0]:,}")
    result.wrong += _find_faults(conn, soak, runs)
    return result


def _add_figures(result: Result, name: str, series: Series, runs: list[float]) -> None:
    result.figures += [
        Figure(f"{name}, Pss in MB", series.megabytes),
        Figure(f"{name}, KB/1,000 runs", [slope(runs, series.kilobytes)], (), FLAT),
    ]
    result.notes.append(f"{name}: Pss {_ends(series.megabytes, 'MB')}; its own {_ends(series.kilobytes, 'KB')}")


def _ends(values: list[float], unit: str) -> str:
    middle = values[len(values) // 2]
    return f"{format_number(values[0])} first, {format_number(middle)} midway, {format_number(values[-1])} {unit} last"


def _find_faults(conn: Connection[Any], soak: Soak, runs: int) -> list[str]:
    faults = [f"{soak.due} times due, {runs} runs"] if runs != soak.due else []
    return faults + [f'{count} runs of "{name}" ended as {status}' for name, status, count in conn.execute(_OUTCOMES)]
