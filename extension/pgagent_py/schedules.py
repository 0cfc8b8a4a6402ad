"""Next runs of stored schedules: reads them through SPI, computes them with ``recurrence``. Only reads.

Instants come and go as whole seconds since 1970-01-01 UTC, which depend on no setting of the session.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import lru_cache, partial
from heapq import merge
from typing import Any, NamedTuple

from . import encoding, errors, explain, recurrence
from .spi import Pause, Plpy, execute

# The columns of Stored. A last run in the near future means that the clock was put back: the same time must not run
# twice. How near is Vixie cron's answer; later than that, the clock is taken to have been wrong when the job ran.
_COLUMNS = {
    "jscid": "s.jscid",
    "jobid": "s.jscjobid",
    "zone_name": "coalesce(s.jsctimezone, t.timezone)",
    "start": "date_part('epoch', date_trunc('second', s.jscstart))",
    "end": "date_part('epoch', date_trunc('second', s.jscend))",
    "fields": "s.jscminutes::text || '|' || s.jschours::text || '|' || s.jscweekdays::text || '|'"
    " || s.jscmonthdays::text || '|' || s.jscmonths::text",
    "interval_seconds": "date_part('epoch', s.jscinterval)::int8",
    "last": "date_part('epoch', date_trunc('second', j.joblastrun))",
    "is_excepted": "exists (select from pgagent.pga_exception x where x.jexscid = s.jscid)",
    "calendar": "s.jsccalendar",
}
_TABLES = """
  from pgagent.pga_schedule s
  join pgagent.pga_job j on j.jobid = s.jscjobid
 cross join pgagent._shared_settings t
"""
_SELECTED = ", ".join(f'{expression} as "{name}"' for name, expression in _COLUMNS.items())
_GATHERED = ", ".join(f'array_agg({expression}) as "{name}"' for name, expression in _COLUMNS.items())
BY_ID = f"select {_SELECTED} {_TABLES} where s.jscid = $1"
# One row of arrays: their elements reach Python faster than rows do.
OF_JOBS = f"select {_GATHERED} {_TABLES} where s.jscjobid = any ($1) and s.jscenabled"
# As bytes: in SQL_ASCII a name may be no text for Python.
NAME = """
select convert_to(s.jscname, getdatabaseencoding()) as name, getdatabaseencoding() as encoding
  from pgagent.pga_schedule s where s.jscid = $1
"""
CLOCK_PUT_BACK_SECONDS = 3 * 3600
# One row of numbers per schedule, because each value costs time. 24:00, seconds and infinity meet no scheduled time.
EXCEPTIONS = """
select e.jexscid,
       array_agg(e.minute) filter (where e.jexdate is null and e.minute is not null) as times,
       array_agg(e.day) filter (where e.jextime is null and e.day is not null) as days,
       array_agg(e.day::int8 * 1440 + e.minute) filter (where e.day is not null and e.minute is not null) as moments
  from (select x.jexscid, x.jexdate, x.jextime,
               case when isfinite(x.jexdate) then x.jexdate - '1970-01-01'::date end as day,
               case when date_trunc('minute', x.jextime::interval) = x.jextime::interval and x.jextime < '24:00'
                    then (date_part('epoch', x.jextime) / 60)::int4 end as minute
          from pgagent.pga_exception x
         where x.jexscid = any ($1)) e
 group by e.jexscid
"""
EXCEPTION_ROWS = """
select to_char(x.jexdate, 'YYYY-MM-DD') as day, x.jextime::text as time
  from pgagent.pga_exception x
 where x.jexscid = $1 and (x.jexdate is null or x.jexdate between '0001-01-01' and '9999-12-31')
"""
HOLIDAYS = """
select h.holcalid, array_agg(h.holdate - '1970-01-01'::date) as days
  from pgagent.pga_holiday h
 where h.holcalid = any ($1)
 group by h.holcalid
"""
CALENDAR_OF = "select s.jsccalendar as calid from pgagent.pga_schedule s where s.jscid = $1"
# The name as bytes: see NAME.
CALENDAR = """
select convert_to(c.calname, getdatabaseencoding()) as name, getdatabaseencoding() as encoding,
       array(select to_char(h.holdate, 'YYYY-MM-DD') from pgagent.pga_holiday h where h.holcalid = c.calid) as days
  from pgagent.pga_calendar c
 where c.calid = $1
"""
# When the jobs will run next, whatever their schedules say: null for disabled ones.
NEXT_RUNS = """
select j.jobid,
       date_part('epoch', case when j.jobagentid is null then j.jobnextrun else j.jobrequested end) as next,
       date_part('epoch', date_trunc('second', now())) as now
  from pgagent.pga_job j
 where j.jobid = any ($1) and j.jobenabled and (j.jobnextrun is not null or j.jobagentid is not null)
"""
KNOWN_JOBS = "select j.jobid from pgagent.pga_job j where j.jobid = any ($1)"

_ELEMENTS = {"t": True, "f": False, "NULL": None}
LONGEST_ARRAY = 60
MOST_WARNINGS = 10
MINUTE_SECONDS = 60
NO_EXCEPTIONS = recurrence.Exceptions()
Upcoming = tuple[float, int, int | None]


class Stored(NamedTuple):
    """A schedule as the tables have it. ``fields``: the five arrays in the server's text form, joined."""

    jscid: int
    jobid: int
    zone_name: str
    start: float
    end: float | None
    fields: str
    interval_seconds: int | None
    last: float | None
    is_excepted: bool
    calendar: int | None


@dataclass(frozen=True, slots=True)
class Absences:
    """What is taken away from schedules: exceptions of a schedule, days of a calendar."""

    exceptions: dict[int, recurrence.Exceptions]
    holidays: dict[int, frozenset[int]]

    def of(self, schedule: int | None, calendar: int | None) -> recurrence.Exceptions:
        """What is taken away from one schedule."""
        exceptions = self.exceptions.get(schedule or 0, NO_EXCEPTIONS)
        days = self.holidays.get(calendar or 0)
        if days is None:
            return exceptions
        return replace(exceptions, days=exceptions.days | days if exceptions.days else days)


NO_ABSENCES = Absences({}, {})


def next_runs_of_jobs(
    plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int], after: float, changed: Collection[int]
) -> list[float | None]:
    """For each job, in the order given, the earliest next run over its enabled schedules, None for none.

    Warns of those among the ``changed`` schedules that never run.
    """
    found, absences = _read_schedules(plpy, plans, jobids)
    earliest: dict[int, float] = {}
    idle = []
    pause = Pause(plpy)
    for stored in found:
        pause.take()
        last = stored.last
        later = last if last is not None and after < last <= after + CLOCK_PUT_BACK_SECONDS else after
        run = _next_run(plpy, stored, absences, later)
        if run is None:
            idle.append(stored)
        elif run < earliest.get(stored.jobid, math.inf):
            earliest[stored.jobid] = run
    if changed and idle:
        _warn(plpy, plans, [stored for stored in idle if stored.jscid in set(changed)], after)
    return [earliest.get(jobid) for jobid in jobids]


def next_run_of_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int, after: float | None) -> float | None:
    """The next run of one schedule, enabled or not. Errors: 42704 if there is no such schedule."""
    stored, absences = _read_schedule(plpy, plans, schedule)
    return None if after is None else _next_run(plpy, stored, absences, after)


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
    """The next run by the arrays given, with the exceptions and the calendar of a stored schedule."""
    zone = _load_zone(plpy, zone_name)
    if starts is None or zone is None:
        return None
    rows = () if schedule is None else execute(plpy, plans, CALENDAR_OF, ["int4"], [schedule])
    calendar = rows[0]["calid"] if len(rows) else None
    absences = _read_absences(plpy, plans, [] if schedule is None else [schedule], [calendar])
    fields = _parse_fields("|".join(text or "{}" for text in arrays), None)
    parsed = recurrence.without(fields, absences.of(schedule, calendar))
    return recurrence.next_run(parsed, zone, after=after, start=starts, end=ends)


def upcoming_runs(
    plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int], after: float | None, until: float, count: int
) -> Iterator[Upcoming]:
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
    of_jobs: list[tuple[int, Iterable[tuple[float, int | None]]]]
    if after is None:
        asked = execute(plpy, plans, NEXT_RUNS, ["int4[]"], [jobids])
        of_jobs = [
            (row["jobid"], _from_now_on(row["next"], row["now"], streams.get(row["jobid"], []))) for row in asked
        ]
    else:
        of_jobs = [(jobid, merge(*(stream(after) for stream in each))) for jobid, each in streams.items()]
    # One at a time, so that the server keeps them and may be interrupted.
    return ((run, jobid, jscid) for jobid, runs in of_jobs for run, jscid in _first_runs(runs, until, count))


def explain_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int, after: float | None) -> str | None:
    """A stored schedule in words, with its next run or why there is none. Errors: 42704: there is no such schedule."""
    stored, absences = _read_schedule(plpy, plans, schedule)
    if after is None:
        return None
    definition = _define(plpy, plans, stored)
    words = explain.describe(definition, after=after)
    reason = explain.why_never(definition, after=after)
    if reason is not None:
        return f"{words}; never runs: {reason}"
    run = _next_run(plpy, stored, absences, after) or after
    return f"{words}; next run {datetime.fromtimestamp(run, recurrence.zone(stored.zone_name)).isoformat(' ')}"


def describe_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int, after: float) -> str | None:
    """A stored schedule in words, without its next run; None if there is no such schedule.

    It is asked for in queries over many rows: one that is deleted meanwhile is no error.
    """
    definition = _find_definition(plpy, plans, schedule)
    return None if definition is None else explain.describe(definition, after=after)


def why_never(plpy: Plpy, plans: dict[str, Any], schedule: int, after: float) -> str | None:
    """Why a stored schedule has no run later than ``after``; None if it has one, or does not exist."""
    definition = _find_definition(plpy, plans, schedule)
    return None if definition is None else explain.why_never(definition, after=after)


def is_known_zone(name: str) -> bool:
    """Whether schedules can be read in a time zone of this name."""
    try:
        recurrence.zone(name)
    except recurrence.UnknownZone:
        return False
    return True


Stream = Callable[[float], Iterator[tuple[float, int]]]


def _run_streams(plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int]) -> dict[int, list[Stream]]:
    """For each job, what gives the runs of each of its enabled schedules later than an instant."""
    found, absences = _read_schedules(plpy, plans, jobids)
    streams: dict[int, list[Stream]] = defaultdict(list)
    for stored in found:
        zone = _load_zone(plpy, stored.zone_name)
        if zone is not None:
            streams[stored.jobid].append(partial(_runs, stored, _parse(stored, absences), zone))
    return streams


def _runs(stored: Stored, parsed: recurrence.Schedule, zone: tzinfo, after: float) -> Iterator[tuple[float, int]]:
    run: float | None = after
    while run is not None:
        run = recurrence.next_run(parsed, zone, after=run, start=stored.start, end=stored.end)
        if run is not None:
            yield run, stored.jscid


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


def _warn(plpy: Plpy, plans: dict[str, Any], found: Sequence[Stored], after: float) -> None:
    """Says of schedules that they never run, and why; of very many, only of the first."""
    pause = Pause(plpy)
    for stored in found[:MOST_WARNINGS]:
        pause.take()
        row = execute(plpy, plans, NAME, ["int4"], [stored.jscid])[0]
        coding = encoding.find(row["encoding"])
        reason = explain.why_never(_define(plpy, plans, stored), after=after)
        plpy.warning(
            coding.show(f'schedule "{coding.read_output(row["name"])}" of job {stored.jobid} never runs: {reason}'),
            sqlstate=errors.WARNING,
            hint=f"SELECT pgagent.explain_schedule({stored.jscid}) shows what it says.",
        )
    if len(found) > MOST_WARNINGS:
        plpy.warning(f"{len(found) - MOST_WARNINGS} more schedules never run", sqlstate=errors.WARNING)


def _read_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int) -> tuple[Stored, Absences]:
    rows = execute(plpy, plans, BY_ID, ["int4"], [schedule])
    if not len(rows):
        errors.fail_without_schedule(plpy, schedule)
    stored = Stored(**rows[0])
    return stored, _read_absences(plpy, plans, [schedule] if stored.is_excepted else [], [stored.calendar])


def _read_schedules(plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int]) -> tuple[list[Stored], Absences]:
    """The enabled schedules of jobs."""
    columns = execute(plpy, plans, OF_JOBS, ["int4[]"], [jobids])[0]
    values = zip(*[columns[name] or () for name in Stored._fields], strict=True)
    found = [Stored._make(value) for value in values]
    excepted = [stored.jscid for stored in found if stored.is_excepted]
    return found, _read_absences(plpy, plans, excepted, columns["calendar"] or ())


def _next_run(plpy: Plpy, stored: Stored, absences: Absences, after: float) -> float | None:
    zone = _load_zone(plpy, stored.zone_name)
    if zone is None:
        return None
    parsed = _parse(stored, absences)
    return recurrence.next_run(parsed, zone, after=after, start=stored.start, end=stored.end)


def _parse(stored: Stored, absences: Absences) -> recurrence.Schedule:
    fields = _parse_fields(stored.fields, stored.interval_seconds)
    if not stored.is_excepted and stored.calendar is None:
        return fields
    return recurrence.without(fields, absences.of(stored.jscid, stored.calendar))


@lru_cache(maxsize=2048)
def _parse_fields(fields: str, interval_seconds: int | None) -> recurrence.Schedule:
    minutes, hours, weekdays, monthdays, months = map(read_array, fields.split("|"))
    return recurrence.parse(minutes, hours, weekdays, monthdays, months, (), interval_seconds)


def _find_definition(plpy: Plpy, plans: dict[str, Any], schedule: int) -> explain.Definition | None:
    rows = execute(plpy, plans, BY_ID, ["int4"], [schedule])
    return _define(plpy, plans, Stored(**rows[0])) if len(rows) else None


def _define(plpy: Plpy, plans: dict[str, Any], stored: Stored) -> explain.Definition:
    minutes, hours, weekdays, monthdays, months = map(read_array, stored.fields.split("|"))
    exceptions = execute(plpy, plans, EXCEPTION_ROWS, ["int4"], [stored.jscid])
    calendar, holidays = _read_calendar(plpy, plans, stored.calendar)
    return explain.Definition(
        minutes=minutes,
        hours=hours,
        weekdays=weekdays,
        monthdays=monthdays,
        months=months,
        exceptions=tuple((exception["day"], exception["time"]) for exception in exceptions),
        zone_name=stored.zone_name,
        start=stored.start,
        end=stored.end,
        interval_seconds=stored.interval_seconds,
        calendar=calendar,
        holidays=holidays,
    )


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


def _read_absences(
    plpy: Plpy, plans: dict[str, Any], schedules: Sequence[int], calendars: Sequence[int | None]
) -> Absences:
    named = {calendar for calendar in calendars if calendar is not None}
    if not schedules and not named:
        return NO_ABSENCES
    exceptions = execute(plpy, plans, EXCEPTIONS, ["int4[]"], [schedules]) if schedules else ()
    holidays = execute(plpy, plans, HOLIDAYS, ["int4[]"], [list(named)]) if named else ()
    return Absences(
        exceptions={
            row["jexscid"]: recurrence.Exceptions(
                frozenset(row["times"] or ()), frozenset(row["days"] or ()), frozenset(row["moments"] or ())
            )
            for row in exceptions
        },
        holidays={row["holcalid"]: frozenset(row["days"]) for row in holidays},
    )


def _read_calendar(plpy: Plpy, plans: dict[str, Any], calendar: int | None) -> tuple[str | None, tuple[str, ...]]:
    """Name and dates of a calendar, as an explanation shows them."""
    if calendar is None:
        return None, ()
    row = execute(plpy, plans, CALENDAR, ["int4"], [calendar])[0]
    coding = encoding.find(row["encoding"])
    return coding.show(coding.read_output(row["name"])), tuple(row["days"])


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
