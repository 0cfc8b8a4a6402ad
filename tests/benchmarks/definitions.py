"""Defining 10,000 jobs in one transaction, and computing all their next runs anew."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from benchmarks.bench import Bench, fetch_row
from benchmarks.report import Aim, Figure, Result

JOBS = 10_000

_JOB = "insert into pgagent.pga_job (jobjclid, jobname)"
_STEP = "insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)"
_SCHEDULE = "insert into pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes, jschours, jscweekdays)"
_STEP_VALUES = "'step', 's', current_database(), 'select 1'"
# On weekdays, each at another time of day.
_SCHEDULE_VALUES = """
'schedule', now(), array(select m = jobid % 60 from generate_series(0, 59) m),
array(select h = jobid / 60 % 24 from generate_series(0, 23) h), '{f,t,t,t,t,t,f}'::bool[]
"""
_SET_BASED = (
    f"{_JOB} select 1, 'job ' || n from generate_series(1, {JOBS}) n",
    f"{_STEP} select jobid, {_STEP_VALUES} from pgagent.pga_job",
    f"{_SCHEDULE} select jobid, {_SCHEDULE_VALUES} from pgagent.pga_job",
)
_ROW_BY_ROW = f"""
do $do$
declare
    jobid int4;
begin
    for n in 1 .. {JOBS} loop
        {_JOB} values (1, 'job ' || n) returning pga_job.jobid into jobid;
        {_STEP} values (jobid, {_STEP_VALUES});
        {_SCHEDULE} values (jobid, {_SCHEDULE_VALUES});
    end loop;
end
$do$
"""
_RECOMPUTE = "update pgagent.pga_job set jobnextrun = null"
_OTHER_ZONE = """
update pgagent.settings set timezone = case timezone when 'UTC' then 'Europe/Berlin' else 'UTC' end
"""
_MISSING = f"""
select {JOBS} - count(*) from pgagent.pga_job j
 where jobnextrun > now() and exists (select from pgagent.pga_jobstep where jstjobid = jobid)
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds, one value per repetition."""

    set_based: list[float] = field(default_factory=list)
    row_by_row: list[float] = field(default_factory=list)
    recompute: list[float] = field(default_factory=list)
    other_zone: list[float] = field(default_factory=list)


def measure(bench: Bench) -> Result:
    """Seconds by the client's clock, the commit included, in turns."""
    result = Result(f"s for {JOBS:,} jobs, a step and a schedule each, in one transaction")
    ours, theirs = Times(), Times()
    with bench.database("definitions") as conn:
        if bench.rival is None:
            _take_turns(bench, [(conn, ours)])
        else:
            with bench.database("definitions_pgagent", of_rival=True) as other:
                _take_turns(bench, [(conn, ours), (other, theirs)])
        result.wrong += _find_faults(conn)
    result.figures += [
        _figure("define, three statements", ours.set_based, theirs.set_based),
        _figure("define, three statements a job", ours.row_by_row, theirs.row_by_row),
        _figure("compute all: set jobnextrun = null", ours.recompute, theirs.recompute),
        Figure("compute all: another time zone", ours.other_zone),
    ]
    return result


def _take_turns(bench: Bench, rivals: list[tuple[Connection[Any], Times]]) -> None:
    for _ in range(bench.choose(7, 2)):
        for conn, times in rivals:
            _run(conn, times)
        conn, times = rivals[0]
        times.other_zone.append(_time_seconds(conn, _OTHER_ZONE))


def _find_faults(conn: Connection[Any]) -> list[str]:
    missing = fetch_row(conn, _MISSING)[0]
    return [f"{missing} jobs without a step or a next run"] if missing else []


def _run(conn: Connection[Any], times: Times) -> None:
    _clear(conn)
    times.set_based.append(_time_seconds(conn, *_SET_BASED))
    _clear(conn)
    times.row_by_row.append(_time_seconds(conn, _ROW_BY_ROW))
    _settle(conn)
    times.recompute.append(_time_seconds(conn, _RECOMPUTE))
    _settle(conn)


def _clear(conn: Connection[Any]) -> None:
    """Empty the tables; without statistics, as in a new database."""
    conn.execute("truncate pgagent.pga_job restart identity cascade")
    conn.execute("checkpoint")


def _settle(conn: Connection[Any]) -> None:
    conn.execute("vacuum analyze")
    conn.execute("checkpoint")


def _time_seconds(conn: Connection[Any], *statements: str) -> float:
    began = time.perf_counter()
    with conn.transaction():
        for statement in statements:
            conn.execute(statement)
    return time.perf_counter() - began


def _figure(name: str, ours: list[float], theirs: list[float]) -> Figure:
    return Figure(name, ours, theirs, Aim(statistics.median(theirs)) if theirs else None)
