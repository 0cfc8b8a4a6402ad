"""Next runs of stored schedules: reads them through SPI, computes them with ``recurrence``. Only reads.

Instants come and go as whole seconds since 1970-01-01 UTC, which depend on no setting of the session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any

from . import errors, recurrence
from .spi import Plpy, execute

_COLUMNS = """
       s.jscid, s.jscjobid,
       date_part('epoch', date_trunc('second', s.jscstart)) as starts,
       date_part('epoch', date_trunc('second', s.jscend)) as ends,
       s.jscminutes::text, s.jschours::text, s.jscweekdays::text, s.jscmonthdays::text, s.jscmonths::text
"""
# A last run in the near future means that the clock was put back: the same time must not run twice. How near is Vixie
# cron's answer; later than that, the clock is taken to have been wrong when the job ran.
OF_JOBS = f"""
select {_COLUMNS},
       date_part('epoch', date_trunc('second', j.joblastrun)) as last
  from pgagent.pga_schedule s
  join pgagent.pga_job j on j.jobid = s.jscjobid
 where s.jscjobid = any ($1) and s.jscenabled
"""
CLOCK_PUT_BACK_SECONDS = 3 * 3600
BY_ID = f"select {_COLUMNS} from pgagent.pga_schedule s where s.jscid = $1"
EXCEPTIONS = "select jexscid, jexdate::text, jextime::text from pgagent.pga_exception where jexscid = any ($1)"
ZONE = "select timezone from pgagent.settings"

_ARRAY_NAMES = ("jscminutes", "jschours", "jscweekdays", "jscmonthdays", "jscmonths")
_ELEMENTS = {"t": True, "f": False, "NULL": None}
LONGEST_ARRAY = 60
Exceptions = dict[int, list[tuple[str | None, str | None]]]


def next_runs_of_jobs(plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int], after: float) -> list[float | None]:
    """For each job, in the order given, the earliest next run over its enabled schedules, None for none."""
    rows = list(execute(plpy, plans, OF_JOBS, ["int4[]"], [jobids]))
    exceptions = _read_exceptions(plpy, plans, [row["jscid"] for row in rows])
    earliest: dict[int, float] = {}
    zone = _installation_zone(plpy, plans) if rows else None
    if zone is not None:
        for row in rows:
            last = row["last"]
            later = last if last is not None and after < last <= after + CLOCK_PUT_BACK_SECONDS else after
            run = _compute(row, exceptions.get(row["jscid"], ()), zone, later)
            if run is not None and run < earliest.get(row["jscjobid"], float("inf")):
                earliest[row["jscjobid"]] = run
    return [earliest.get(jobid) for jobid in jobids]


def next_run_of_schedule(plpy: Plpy, plans: dict[str, Any], schedule: int, after: float | None) -> float | None:
    """The next run of one schedule, enabled or not. Errors: 42704 if there is no such schedule."""
    rows = execute(plpy, plans, BY_ID, ["int4"], [schedule])
    if not len(rows):
        errors.fail(
            plpy,
            errors.UNDEFINED_OBJECT,
            f"schedule {schedule} does not exist",
            hint="SELECT jscid, jscname FROM pgagent.pga_schedule lists the schedules.",
        )
    zone = _installation_zone(plpy, plans)
    if after is None or zone is None:
        return None
    exceptions = _read_exceptions(plpy, plans, [schedule])
    return _compute(rows[0], exceptions.get(schedule, ()), zone, after)


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
    minutes, hours, weekdays, monthdays, months = (_read_array(text) for text in arrays)
    parsed = recurrence.parse(minutes, hours, weekdays, monthdays, months, exceptions.get(schedule or 0, ()))
    return recurrence.next_run(parsed, zone, after=after, start=starts, end=ends)


def _compute(
    row: dict[str, Any], exceptions: Iterable[tuple[str | None, str | None]], zone: tzinfo, after: float
) -> float | None:
    minutes, hours, weekdays, monthdays, months = (_read_array(row[name]) for name in _ARRAY_NAMES)
    parsed = recurrence.parse(minutes, hours, weekdays, monthdays, months, exceptions)
    return recurrence.next_run(parsed, zone, after=after, start=row["starts"], end=row["ends"])


@lru_cache(maxsize=4096)
def _read_array(text: str | None) -> tuple[bool | None, ...]:
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


def _installation_zone(plpy: Plpy, plans: dict[str, Any]) -> tzinfo | None:
    return _load_zone(plpy, execute(plpy, plans, ZONE, [], [])[0]["timezone"])


def _load_zone(plpy: Plpy, name: str) -> tzinfo | None:
    """The zone; None, with a warning, if it is unknown: the end of a run must not fail for that."""
    try:
        return recurrence.zone(name)
    except recurrence.UnknownZone:
        plpy.warning(
            f'time zone "{name}" is unknown to the server\'s Python: no next run is computed',
            sqlstate=errors.INVALID_PARAMETER_VALUE,
            hint="Install the system's tzdata, or name another zone: UPDATE pgagent.settings SET timezone = ...",
        )
        return None
