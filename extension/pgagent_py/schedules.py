"""Next runs of stored schedules: reads them through SPI, computes them with ``recurrence``. Only reads.

Instants come and go as whole seconds since 1970-01-01 UTC, which depend on no setting of the session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, tzinfo
from functools import lru_cache, partial
from heapq import merge
from typing import Any

from . import errors, explain, recurrence
from .spi import Plpy, execute

_COLUMNS = """
       s.jscid, s.jscjobid, s.jscname, coalesce(s.jsctimezone, t.timezone) as timezone,
       date_part('epoch', date_trunc('second', s.jscstart)) as starts,
       date_part('epoch', date_trunc('second', s.jscend)) as ends,
       s.jscminutes::text, s.jschours::text, s.jscweekdays::text, s.jscmonthdays::text, s.jscmonths::text,
       date_part('epoch', s.jscinterval)::int8 as interval
"""
# A last run in the near future means that the clock was put back: the same time must not run twice. How near is Vixie
# cron's answer; later than that, the clock is taken to have been wrong when the job ran.
OF_JOBS = f"""
select {_COLUMNS},
       date_part('epoch', date_trunc('second', j.joblastrun)) as last
  from pgagent.pga_schedule s
  join pgagent.pga_job j on j.jobid = s.jscjobid
 cross join pgagent.settings t
 where s.jscjobid = any ($1) and s.jscenabled
"""
CLOCK_PUT_BACK_SECONDS = 3 * 3600
BY_ID = f"select {_COLUMNS}, s.jscenabled from pgagent.pga_schedule s cross join pgagent.settings t where s.jscid = $1"
EXCEPTIONS = "select jexscid, jexdate::text, jextime::text from pgagent.pga_exception where jexscid = any ($1)"
# When the jobs will run next, whatever their schedules say: null for disabled ones.
NEXT_RUNS = """
select j.jobid,
       date_part('epoch', case when j.jobagentid is null then j.jobnextrun else j.jobrequested end) as next,
       date_part('epoch', date_trunc('second', now())) as now
  from pgagent.pga_job j
 where j.jobid = any ($1) and j.jobenabled and (j.jobnextrun is not null or j.jobagentid is not null)
"""
KNOWN_JOBS = "select j.jobid from pgagent.pga_job j where j.jobid = any ($1)"
SET_ZONE = "select set_config('TimeZone', $1, true) as name"

_ARRAY_NAMES = ("jscminutes", "jschours", "jscweekdays", "jscmonthdays", "jscmonths")
_ELEMENTS = {"t": True, "f": False, "NULL": None}
LONGEST_ARRAY = 60
MOST_WARNINGS = 10
MINUTE_SECONDS = 60
NO_EXCEPTIONS: Sequence[tuple[str | None, str | None]] = ()
Exceptions = dict[int, list[tuple[str | None, str | None]]]
Upcoming = tuple[float, int, int | None]


def next_runs_of_jobs(
    plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int], after: float, changed: Collection[int]
) -> list[float | None]:
    """For each job, in the order given, the earliest next run over its enabled schedules, None for none.

    Warns of those among the ``changed`` schedules that never run.
    """
    rows = execute(plpy, plans, OF_JOBS, ["int4[]"], [jobids])
    exceptions = _read_exceptions(plpy, plans, [row["jscid"] for row in rows])
    earliest: dict[int, float] = {}
    idle = []
    for row in rows:
        last = row["last"]
        later = last if last is not None and after < last <= after + CLOCK_PUT_BACK_SECONDS else after
        run = _next_run(plpy, row, exceptions, later)
        if run is None:
            idle.append(row)
        elif run < earliest.get(row["jscjobid"], float("inf")):
            earliest[row["jscjobid"]] = run
    if changed and idle:
        _warn(plpy, [row for row in idle if row["jscid"] in set(changed)], exceptions, after)
    return [earliest.get(jobid) for jobid in jobids]


def next_run_of_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int, after: float | None) -> float | None:
    """The next run of one schedule, enabled or not. Errors: 42704 if there is no such schedule."""
    row, exceptions = _read_schedule(plpy, plans, schedule)
    return None if after is None else _next_run(plpy, row, exceptions, after)


def next_run_of_arrays(
    plpy: Plpy,
    plans: dict[str, Any],
    schedule: int | None,
    starts: float | None,
    ends: float | None,
    arrays: Sequence[str | None],
    zone_name: str,
    after: float,
) -> float | None:
    """The next run by the arrays given, with the exceptions of a stored schedule."""
    zone = _load_zone(plpy, zone_name)
    if starts is None or zone is None:
        return None
    exceptions = _read_exceptions(plpy, plans, [schedule]) if schedule is not None else {}
    minutes, hours, weekdays, monthdays, months = (read_array(text) for text in arrays)
    parsed = recurrence.parse(minutes, hours, weekdays, monthdays, months, exceptions.get(schedule or 0, ()))
    return recurrence.next_run(parsed, zone, after=after, start=starts, end=ends)


def upcoming_runs(
    plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int], after: float | None, until: float, count: int
) -> list[Upcoming]:
    """The runs of each job: instant, job, schedule; at most ``count`` of a job, in order, none later than ``until``.

    ``after`` None: what is to come, beginning with the time that the job itself has; the schedule of that is None if
    it was asked for. Otherwise what the enabled schedules say. Errors: 42704 if there is no such job, for one job.
    """
    if len(jobids) == 1 and not len(execute(plpy, plans, KNOWN_JOBS, ["int4[]"], [jobids])):
        errors.fail(
            plpy,
            errors.UNDEFINED_OBJECT,
            f"job {jobids[0]} does not exist",
            hint="SELECT jobid, jobname FROM pgagent.pga_job lists the jobs.",
        )
    streams = _run_streams(plpy, plans, jobids)
    found: list[Upcoming] = []
    if after is None:
        for row in execute(plpy, plans, NEXT_RUNS, ["int4[]"], [jobids]):
            runs = _from_now_on(row["next"], row["now"], streams.get(row["jobid"], []))
            found += [(run, row["jobid"], jscid) for run, jscid in _first_runs(runs, until, count)]
    else:
        for jobid, of_job in streams.items():
            runs = merge(*(stream(after) for stream in of_job))
            found += [(run, jobid, jscid) for run, jscid in _first_runs(runs, until, count)]
    return found


def explain_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int, after: float | None) -> str | None:
    """A stored schedule in words, with its next run or why there is none. Errors: 42704: there is no such schedule."""
    row, exceptions = _read_schedule(plpy, plans, schedule)
    if after is None:
        return None
    definition = _define(row, exceptions)
    words = explain.describe(definition, after=after)
    reason = explain.why_never(definition, after=after)
    if reason is not None:
        return f"{words}; never runs: {reason}"
    run = _next_run(plpy, row, exceptions, after) or after
    return f"{words}; next run {datetime.fromtimestamp(run, recurrence.zone(row['timezone'])).isoformat(' ')}"


def name_zone(plpy: Plpy, names: dict[str, Any], name: str | None) -> str | None:
    """The time zone as SET TimeZone would keep it. Errors: 22023: the server or its Python does not know it.

    Runs in a function that sets TimeZone itself, so that what is set here does not last. ``names``: known ones.
    """
    if name is None or name in names:
        return names.get(name or "")
    known = ""
    with suppress(plpy.SPIError):
        known = plpy.execute(plpy.prepare(SET_ZONE, ["text"]), [name])[0]["name"]
    try:
        recurrence.zone(known)
    except recurrence.UnknownZone:
        errors.fail(
            plpy,
            errors.INVALID_PARAMETER_VALUE,
            f'time zone "{name}" not recognized',
            detail=f'The server knows it as "{known}", its Python does not.' if known else "",
            hint="SELECT name FROM pg_timezone_names lists the names.",
        )
    names[name] = known
    return known


Stream = Callable[[float], Iterator[tuple[float, int]]]


def _run_streams(plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int]) -> dict[int, list[Stream]]:
    """For each job, what gives the runs of each of its enabled schedules later than an instant."""
    rows = execute(plpy, plans, OF_JOBS, ["int4[]"], [jobids])
    exceptions = _read_exceptions(plpy, plans, [row["jscid"] for row in rows])
    streams: dict[int, list[Stream]] = defaultdict(list)
    for row in rows:
        zone = _load_zone(plpy, row["timezone"])
        if zone is not None:
            streams[row["jscjobid"]].append(partial(_runs, row, _parse(row, exceptions), zone))
    return streams


def _runs(row: dict[str, Any], parsed: recurrence.Schedule, zone: tzinfo, after: float) -> Iterator[tuple[float, int]]:
    run: float | None = after
    while run is not None:
        run = recurrence.next_run(parsed, zone, after=run, start=row["starts"], end=row["ends"])
        if run is not None:
            yield run, row["jscid"]


def _from_now_on(asked: float | None, now: float, streams: Iterable[Stream]) -> Iterator[tuple[float, int | None]]:
    """The run that the job has before it, and those that its schedules have after that."""
    begin = now if asked is None else max(asked, now)
    runs = merge(*(stream(begin - MINUTE_SECONDS) for stream in streams))
    later = ((run, jscid) for run, jscid in runs if run > begin or (run == begin == asked))
    first = next(later, None)
    if asked is not None and (first is None or first[0] != asked):
        yield asked, None
    if first is not None:
        yield first
    yield from later


def _first_runs(
    runs: Iterable[tuple[float, int | None]], until: float, count: int
) -> Iterator[tuple[float, int | None]]:
    """The first ones, of which those at the same instant are one."""
    last = None
    for run, jscid in runs:
        if run > until or count <= 0:
            return
        if run != last:
            last = run
            count -= 1
            yield run, jscid


def _warn(plpy: Plpy, rows: Sequence[dict[str, Any]], exceptions: Exceptions, after: float) -> None:
    """Says of schedules that they never run, and why; of very many, only of the first."""
    for row in rows[:MOST_WARNINGS]:
        reason = explain.why_never(_define(row, exceptions), after=after)
        plpy.warning(
            f'schedule "{row["jscname"]}" of job {row["jscjobid"]} never runs: {reason}',
            sqlstate=errors.WARNING,
            hint=f"SELECT pgagent.explain_schedule({row['jscid']}) shows what it says.",
        )
    if len(rows) > MOST_WARNINGS:
        plpy.warning(f"{len(rows) - MOST_WARNINGS} more schedules never run", sqlstate=errors.WARNING)


def _read_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int) -> tuple[dict[str, Any], Exceptions]:
    rows = execute(plpy, plans, BY_ID, ["int4"], [schedule])
    if not len(rows):
        errors.fail(
            plpy,
            errors.UNDEFINED_OBJECT,
            f"schedule {schedule} does not exist",
            hint="SELECT jscid, jscname FROM pgagent.pga_schedule lists the schedules.",
        )
    return rows[0], _read_exceptions(plpy, plans, [schedule])


def _next_run(plpy: Plpy, row: dict[str, Any], exceptions: Exceptions, after: float) -> float | None:
    zone = _load_zone(plpy, row["timezone"])
    if zone is None:
        return None
    parsed = _parse(row, exceptions)
    return recurrence.next_run(parsed, zone, after=after, start=row["starts"], end=row["ends"])


def _parse(row: dict[str, Any], exceptions: Exceptions) -> recurrence.Schedule:
    minutes, hours, weekdays, monthdays, months = (read_array(row[name]) for name in _ARRAY_NAMES)
    rows = exceptions.get(row["jscid"], NO_EXCEPTIONS)
    return recurrence.parse(minutes, hours, weekdays, monthdays, months, rows, row["interval"])


def _define(row: dict[str, Any], exceptions: Exceptions) -> explain.Definition:
    minutes, hours, weekdays, monthdays, months = (read_array(row[name]) for name in _ARRAY_NAMES)
    return explain.Definition(
        minutes=minutes,
        hours=hours,
        weekdays=weekdays,
        monthdays=monthdays,
        months=months,
        exceptions=tuple(exceptions.get(row["jscid"], NO_EXCEPTIONS)),
        zone_name=row["timezone"],
        start=row["starts"],
        end=row["ends"],
        interval_seconds=row["interval"],
    )


@lru_cache(maxsize=4096)
def read_array(text: str | None) -> tuple[bool | None, ...]:
    """A bool[] in the server's text form, from subscript 1 on; NULL or more dimensions: there are no such elements."""
    bounds, _, elements = (text or "{}").rpartition("=")
    if elements == "{}" or elements.startswith("{{"):
        return ()
    first = int(bounds[1:].partition(":")[0]) if bounds else 1
    if first > LONGEST_ARRAY:
        return ()
    flags = tuple(_ELEMENTS[element] for element in elements[1:-1].split(","))
    return (None,) * (first - 1) + flags[max(0, 1 - first) :]


def _read_exceptions(plpy: Plpy, plans: dict[str, Any], schedules: Sequence[int]) -> Exceptions:
    found: Exceptions = defaultdict(list)
    if schedules:
        for row in execute(plpy, plans, EXCEPTIONS, ["int4[]"], [schedules]):
            found[row["jexscid"]].append((row["jexdate"], row["jextime"]))
    return found


def _load_zone(plpy: Plpy, name: str) -> tzinfo | None:
    """The zone; None, with a warning, if it is unknown: the end of a run must not fail for that."""
    try:
        return recurrence.zone(name)
    except recurrence.UnknownZone:
        plpy.warning(
            f'time zone "{name}" is unknown to the server\'s Python: no next run is computed',
            sqlstate=errors.INVALID_PARAMETER_VALUE,
            hint="Install the system's tzdata, or name another zone: in pgagent.settings, or in the schedule's row.",
        )
        return None
