"""What the next run of a schedule costs: one call, and one of many computed at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, Error, errors

from benchmarks.bench import Bench
from benchmarks.report import Aim, Figure, Result

JOBS = 1000
# pgAgent's function keeps the id of an exception in an int2 and fails beyond it.
EXCEPTION_ROWS = 30_000
PATIENCE = "5 s"
LIMIT_US = 1000.0
LIMIT_WITH_EXCEPTIONS_US = 10_000.0
SLOWER_AT_MOST = 1.5


@dataclass(frozen=True, slots=True)
class Pattern:
    """A schedule in pgAgent's arrays, how many of its days are excepted, whether each job has its own time of day."""

    name: str
    minutes: list[bool] = field(default_factory=lambda: flags(60))
    hours: list[bool] = field(default_factory=lambda: flags(24))
    weekdays: list[bool] = field(default_factory=lambda: flags(7))
    monthdays: list[bool] = field(default_factory=lambda: flags(32))
    months: list[bool] = field(default_factory=lambda: flags(12))
    exceptions: int = 0
    varies: bool = False

    @property
    def jobs(self) -> int:
        """How many jobs get such a schedule each."""
        return min(JOBS, EXCEPTION_ROWS // self.exceptions) if self.exceptions else JOBS

    @property
    def limit_us(self) -> float:
        """What a call may cost, whatever pgAgent's costs."""
        return LIMIT_WITH_EXCEPTIONS_US if self.exceptions else LIMIT_US


def flags(size: int, *chosen: int) -> list[bool]:
    """Return an array with some elements true, counted from 0."""
    return [number in chosen for number in range(size)]


_HALF_PAST, _TWO = flags(60, 30), flags(24, 2)
_WEEKDAYS = flags(7, 1, 2, 3, 4, 5)
PATTERNS = (
    Pattern("every minute"),
    Pattern("weekdays 02:30", _HALF_PAST, _TWO, _WEEKDAYS),
    Pattern("weekdays, each at its own time", _HALF_PAST, _TWO, _WEEKDAYS, varies=True),
    Pattern("1 January 02:30", _HALF_PAST, _TWO, monthdays=flags(32, 0), months=flags(12, 0)),
    Pattern("last day 02:30", _HALF_PAST, _TWO, monthdays=flags(32, 31)),
    Pattern("29 February on a Monday", _HALF_PAST, _TWO, flags(7, 1), flags(32, 28), flags(12, 1)),
    Pattern("31 April", _HALF_PAST, _TWO, monthdays=flags(32, 30), months=flags(12, 3)),
    Pattern("daily 02:30, 500 exceptions", _HALF_PAST, _TWO, exceptions=500),
    Pattern("daily 02:30, 10,000 exceptions", _HALF_PAST, _TWO, exceptions=10_000),
)

_FILL = (
    "set session_replication_role = replica",  # pgAgent cannot even save some of these
    "truncate pgagent.pga_job restart identity cascade",
    "insert into pgagent.pga_job (jobjclid, jobname) select 1, 'job ' || n from generate_series(1, %(jobs)s) n",
    """
    insert into pgagent.pga_schedule (
           jscjobid, jscname, jscstart, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
    select jobid, 'schedule', date_trunc('day', now()),
           case when %(varies)s then array(select m = jobid %% 60 from generate_series(0, 59) m) else %(minutes)s end,
           case when %(varies)s then array(select h = jobid / 60 from generate_series(0, 23) h) else %(hours)s end,
           %(weekdays)s, %(monthdays)s, %(months)s
      from pgagent.pga_job
     order by jobid
    """,
    """
    insert into pgagent.pga_exception (jexscid, jexdate)
    select jscid, current_date + n from pgagent.pga_schedule, generate_series(0, %(exceptions)s - 1) n
    """,
    "reset session_replication_role",
    "vacuum analyze",
)
_OURS_SINGLE = "select count(pgagent.next_run(jscid, now() + jscid * interval '1 s')) from pgagent.pga_schedule"
_OURS_AT_ONCE = """
select cardinality(pgagent._next_run_epochs(
           array(select jobid from pgagent.pga_job), pgagent._epoch(clock_timestamp())))
"""
_THEIR_CALL = """
pgagent.pga_next_schedule(jscid, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
"""
_THEIRS = f"select count({_THEIR_CALL}) from pgagent.pga_schedule"
_THEIR_FIRST = f"select {_THEIR_CALL} from pgagent.pga_schedule where jscid = 1"


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds per schedule, one value per repetition."""

    single: list[float] = field(default_factory=list)
    at_once: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)


def measure(bench: Bench) -> Result:
    """Microseconds per schedule inside the server, in warm sessions, in turns."""
    result = Result("us per next run, computed in the server; at once: one call for all jobs")
    with bench.database("next_run") as ours:
        if bench.rival is None:
            _measure_all(bench, ours, None, result)
        else:
            with bench.database("next_run_pgagent", of_rival=True) as theirs:
                _measure_all(bench, ours, theirs, result)
    counts = ", ".join(f"{one.jobs} ({one.exceptions:,} exceptions each)" for one in PATTERNS if one.exceptions)
    result.notes.insert(0, f"jobs with a schedule each: {JOBS:,}; {counts}")
    return result


def _measure_all(bench: Bench, ours: Connection[Any], theirs: Connection[Any] | None, result: Result) -> None:
    for pattern in PATTERNS:
        _fill(ours, pattern)
        fault = None
        if theirs is not None:
            _fill(theirs, pattern)
            fault = _find_fault(theirs)
            if fault is not None:
                result.notes.append(f"pgAgent, {pattern.name}: {fault}")
        rival = theirs if fault is None else None
        result.figures += _figures(pattern, _take_turns(ours, rival, pattern.jobs, bench.choose(11, 3)))


def _fill(conn: Connection[Any], pattern: Pattern) -> None:
    values = {name: getattr(pattern, name) for name in Pattern.__slots__} | {"jobs": pattern.jobs}
    for statement in _FILL:
        conn.execute(statement, values if "%(" in statement else None)


def _find_fault(theirs: Connection[Any]) -> str | None:
    """Call pgAgent's function once; say what happened if it gave no answer in time."""
    theirs.execute(f"set statement_timeout = '{PATIENCE}'")
    try:
        theirs.execute(_THEIR_FIRST)
    except errors.QueryCanceled:
        return f"no answer after {PATIENCE}"
    except Error as error:
        return f"error: {error.diag.message_primary}"
    finally:
        theirs.execute("reset statement_timeout")
    return None


def _take_turns(ours: Connection[Any], theirs: Connection[Any] | None, jobs: int, turns: int) -> Times:
    times = Times()
    for turn in range(turns + 1):
        single = _time_us(ours, _OURS_SINGLE, jobs)
        at_once = _time_us(ours, _OURS_AT_ONCE, jobs)
        rival = _time_us(theirs, _THEIRS, jobs) if theirs is not None else None
        if turn == 0:  # plans and caches
            continue
        times.single.append(single)
        times.at_once.append(at_once)
        times.theirs.extend(_present(rival))
    return times


def _time_us(conn: Connection[Any], statement: str, jobs: int) -> float:
    began = time.perf_counter()
    conn.execute(statement)
    return (time.perf_counter() - began) * 1e6 / jobs


def _present(value: float | None) -> Iterable[float]:
    return () if value is None else (value,)


def _figures(pattern: Pattern, times: Times) -> list[Figure]:
    single_us = at_once_us = pattern.limit_us
    if times.theirs:
        median_us = statistics.median(times.theirs)
        single_us, at_once_us = min(SLOWER_AT_MOST * median_us, single_us), median_us
    return [
        Figure(f"{pattern.name}: one call", times.single, times.theirs, Aim(single_us)),
        Figure(f"{pattern.name}: at once", times.at_once, times.theirs, Aim(at_once_us)),
    ]
