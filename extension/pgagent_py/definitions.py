"""Bodies of pgagent.export_jobs and pgagent.apply_jobs: reads the tables, and makes them equal to a document.

Every statement is about all things of a kind at once, and has the rights of the caller. Intervals and instants are
texts, written in the settings that the functions pin.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from . import comparison, definition, errors
from .comparison import Changes, Part, Plan, Row
from .definition import Calendar, Document, Holiday, Job, Problem, Question, Schedule, ScheduleException, Step
from .schedules import read_array
from .spi import Pause, Plpy, execute

MOST_DIGITS = 18
NOT_WRITTEN = {"dates", "steps", "schedules", "exceptions", "times", "path", "is_own"}
WORDS_OF_ERROR = {word: letter for letter, word in definition.ON_ERROR.items()}
T = TypeVar("T")

# ---- Statements that read ------------------------------------------------------------------------------------

DATABASE = "select current_database() as name"
MISSING = """
select n.name from unnest($1::text[]) n (name)
 where n.name is null or not exists (select from pgagent.pga_job j where j.jobname = n.name)
 order by n.name nulls first limit 1
"""
# A role that is gone has no members; its jobs are the superusers' alone.
_IS_MEMBER = """
coalesce((select pg_has_role(r.oid, 'usage') from pg_roles r where r.rolname = {owner}),
         (select r.rolsuper from pg_roles r where r.rolname = current_user))
"""
CALENDARS = f"""
select c.calid as id, c.calname as name, c.caldesc as description, c.calowner as owner,
       {_IS_MEMBER.format(owner="c.calowner")}
       or has_function_privilege('pgagent.is_administrator()', 'execute') as is_own
  from pgagent.pga_calendar c
 order by c.calname collate "C"
"""
HOLIDAYS = """
select h.holid as id, h.holcalid as parent, h.holdate::text as date, h.holname as name
  from pgagent.pga_holiday h
 order by h.holcalid, h.holdate
"""
JOBS = f"""
select j.jobid as id, j.jobname as name, j.jobowner as owner, c.jclname as job_class, j.jobdesc as description,
       j.jobhostagent as host, j.jobenabled as enabled, j.jobtimeout::text as timeout,
       j.jobstartdeadline::text as start_deadline, j.jobmaxfailures as max_failures,
       case when j.joblocks is not null then array(select l from unnest(j.joblocks) l where l is not null) end as locks,
       j.jobpriority as priority, {_IS_MEMBER.format(owner="j.jobowner")} as is_own
  from pgagent.pga_job j
  join pgagent.pga_jobclass c on c.jclid = j.jobjclid
 where $1::text[] is null or j.jobname = any ($1)
 order by j.jobname collate "C", j.jobid
"""
# In the order in which they run.
STEPS = """
select s.jstid as id, s.jstjobid as parent, s.jstname as name,
       case s.jstkind when 's' then s.jstcode end as sql, case s.jstkind when 'b' then s.jstcode end as batch,
       s.jstdbname as database, s.jstconnstr as connection, s.jstdesc as description, s.jstenabled as enabled,
       s.jstonerror as on_error, s.jsttimeout::text as timeout, s.jstretries as retries,
       s.jstretrydelay::text as retry_delay, s.jstretryfactor as retry_factor,
       s.jstretrymaxdelay::text as retry_max_delay, s.jstretryjitter as retry_jitter,
       s.jstretrysqlstates as retry_sqlstates
  from pgagent.pga_jobstep s
 where s.jstjobid = any ($1)
 order by s.jstname, s.jstid
"""
SCHEDULES = """
select s.jscid as id, s.jscjobid as parent, s.jscname as name, s.jscdesc as description, s.jscenabled as enabled,
       to_json(s.jscstart) #>> '{}' as start, to_json(s.jscend) #>> '{}' as end, s.jsctimezone as timezone,
       s.jscinterval::text as every, c.calname as calendar,
       array[s.jscminutes::text, s.jschours::text, s.jscweekdays::text, s.jscmonthdays::text, s.jscmonths::text]
       as times
  from pgagent.pga_schedule s
  left join pgagent.pga_calendar c on c.calid = s.jsccalendar
 where s.jscjobid = any ($1)
 order by s.jscname collate "C", s.jscid
"""
# An exception with neither means nothing (docs/schedule.md), and has no form in a document.
EXCEPTIONS = """
select x.jexid as id, x.jexscid as parent, x.jexdate::text as date, x.jextime::text as time
  from pgagent.pga_exception x
 where x.jexscid = any ($1) and (x.jexdate is not null or x.jextime is not null)
 order by x.jexscid, x.jexdate, x.jextime
"""
JUDGE = """
select q.ordinal, r.answer, r.problem
  from jsonb_to_recordset($1::jsonb) q (ordinal int4, kind text, value text, zone text)
 cross join lateral pgagent._judge_value(q.kind, q.value, q.zone) r
"""
# A superuser has the rights of everybody, and may mean nobody's job but his own.
FOREIGNERS = """
select j.jobid as id, j.jobowner as owner
  from pgagent.pga_job j
  join pg_roles r on r.rolname = current_user and r.rolsuper
 where j.jobid = any ($1) and j.jobowner <> current_user
"""
MEMBERSHIPS = "select r.rolname as name from pg_roles r where r.rolname = any ($1) and pg_has_role(r.oid, 'usage')"

# ---- Statements that write -----------------------------------------------------------------------------------

# One document after the other: two that are applied at once would create a job twice.
TAKE_TURN = "select pg_advisory_xact_lock('pgagent.pga_job'::regclass::oid::int4, 0)"
_CALENDAR = "jsonb_to_recordset($1::jsonb) x (id int4, ordinal int4, name text, description text, owner name)"
_HOLIDAY = "jsonb_to_recordset($1::jsonb) x (id int4, parent int4, date date, name text)"
_JOB = """
jsonb_to_recordset($1::jsonb) x (
    id int4, ordinal int4, name text, owner name, class text, description text, host text, enabled bool,
    timeout interval, start_deadline interval, max_failures int4, locks text[], priority int4)
  join pgagent.pga_jobclass c on c.jclname = x.class
"""
_STEP = """
jsonb_to_recordset($1::jsonb) x (
    id int4, parent int4, ordinal int4, name text, sql text, batch text, database name, connection text,
    description text, enabled bool, on_error text, timeout interval, retries int4, retry_delay interval,
    retry_factor float8, retry_max_delay interval, retry_jitter float8, retry_sqlstates text[])
"""
_SCHEDULE = """
jsonb_to_recordset($1::jsonb) x (
    id int4, parent int4, ordinal int4, name text, description text, enabled bool, start timestamptz, "end" timestamptz,
    timezone text, every interval, calendar text, minutes bool[], hours bool[], weekdays bool[], monthdays bool[],
    months bool[])
  left join pgagent.pga_calendar c on c.calname = x.calendar
"""
INSERT_CALENDARS = f"""
insert into pgagent.pga_calendar (calname, caldesc, calowner)
select x.name, x.description, coalesce(x.owner, current_user) from {_CALENDAR} order by x.ordinal
returning calid as id
"""
UPDATE_CALENDARS = f"""
update pgagent.pga_calendar c
   set caldesc = x.description, calowner = coalesce(x.owner, c.calowner)
  from {_CALENDAR}
 where c.calid = x.id
returning c.calid as id
"""
INSERT_HOLIDAYS = f"""
insert into pgagent.pga_holiday (holcalid, holdate, holname)
select x.parent, x.date, x.name from {_HOLIDAY}
returning holid as id
"""
UPDATE_HOLIDAYS = f"""
update pgagent.pga_holiday h set holname = x.name from {_HOLIDAY} where h.holid = x.id returning h.holid as id
"""
INSERT_JOBS = f"""
insert into pgagent.pga_job
    (jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobstartdeadline, jobtimeout, jobmaxfailures, joblocks,
     jobpriority, jobowner)
select c.jclid, x.name, x.description, x.host, x.enabled, x.start_deadline, x.timeout, x.max_failures, x.locks,
       x.priority, coalesce(x.owner, current_user)
  from {_JOB}
 order by x.ordinal
returning jobid as id
"""
UPDATE_JOBS = f"""
update pgagent.pga_job j
   set jobjclid = c.jclid, jobname = x.name, jobdesc = x.description, jobhostagent = x.host, jobenabled = x.enabled,
       jobstartdeadline = x.start_deadline, jobtimeout = x.timeout, jobmaxfailures = x.max_failures, joblocks = x.locks,
       jobpriority = x.priority, jobowner = coalesce(x.owner, j.jobowner), jobchanged = now()
  from {_JOB}
 where j.jobid = x.id
returning j.jobid as id
"""
INSERT_STEPS = f"""
insert into pgagent.pga_jobstep
    (jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstconnstr, jstdbname, jstonerror, jsttimeout,
     jstretries, jstretrydelay, jstretryfactor, jstretrymaxdelay, jstretryjitter, jstretrysqlstates)
select x.parent, x.name, x.description, x.enabled, case when x.sql is null then 'b' else 's' end,
       coalesce(x.sql, x.batch), x.connection, x.database, x.on_error, x.timeout, x.retries, x.retry_delay,
       x.retry_factor, x.retry_max_delay, x.retry_jitter, x.retry_sqlstates
  from {_STEP}
 order by x.ordinal
returning jstid as id
"""
UPDATE_STEPS = f"""
update pgagent.pga_jobstep s
   set jstdesc = x.description, jstenabled = x.enabled, jstkind = case when x.sql is null then 'b' else 's' end,
       jstcode = coalesce(x.sql, x.batch), jstconnstr = x.connection, jstdbname = x.database, jstonerror = x.on_error,
       jsttimeout = x.timeout, jstretries = x.retries, jstretrydelay = x.retry_delay, jstretryfactor = x.retry_factor,
       jstretrymaxdelay = x.retry_max_delay, jstretryjitter = x.retry_jitter, jstretrysqlstates = x.retry_sqlstates
  from {_STEP}
 where s.jstid = x.id
returning s.jstid as id
"""
INSERT_SCHEDULES = f"""
insert into pgagent.pga_schedule
    (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays,
     jscmonths, jsctimezone, jscinterval, jsccalendar)
select x.parent, x.name, x.description, x.enabled, coalesce(x.start, now()), x."end", x.minutes, x.hours, x.weekdays,
       x.monthdays, x.months, x.timezone, x.every, c.calid
  from {_SCHEDULE}
 where x.calendar is null or c.calid is not null
 order by x.ordinal
returning jscid as id
"""
UPDATE_SCHEDULES = f"""
update pgagent.pga_schedule s
   set jscdesc = x.description, jscenabled = x.enabled, jscstart = coalesce(x.start, s.jscstart), jscend = x."end",
       jscminutes = x.minutes, jschours = x.hours, jscweekdays = x.weekdays, jscmonthdays = x.monthdays,
       jscmonths = x.months, jsctimezone = x.timezone, jscinterval = x.every, jsccalendar = c.calid
  from {_SCHEDULE}
 where s.jscid = x.id and (x.calendar is null or c.calid is not null)
returning s.jscid as id
"""
INSERT_EXCEPTIONS = """
insert into pgagent.pga_exception (jexscid, jexdate, jextime)
select x.parent, x.date, x.time from jsonb_to_recordset($1::jsonb) x (parent int4, date date, time time)
returning jexid as id
"""
_DELETE = "delete from pgagent.{table} t where t.{column} = any ($1) returning t.{column} as id"
DELETE_CALENDARS = _DELETE.format(table="pga_calendar", column="calid")
DELETE_HOLIDAYS = _DELETE.format(table="pga_holiday", column="holid")
DELETE_JOBS = _DELETE.format(table="pga_job", column="jobid")
DELETE_STEPS = _DELETE.format(table="pga_jobstep", column="jstid")
DELETE_SCHEDULES = _DELETE.format(table="pga_schedule", column="jscid")
DELETE_EXCEPTIONS = _DELETE.format(table="pga_exception", column="jexid")


# ---- The functions of SQL ------------------------------------------------------------------------------------


def export_jobs(plpy: Plpy, plans: dict[str, Any], names: list[str] | None) -> str:
    """The document of all visible jobs and calendars, or of the jobs of these names and the calendars they use.

    Errors: 42704 if there is no visible job of a name; 22004 if a name is null.
    """
    for row in execute(plpy, plans, MISSING, ["text[]"], [names]):
        _refuse_name(plpy, row["name"])
    database = execute(plpy, plans, DATABASE, [], [])[0]["name"]
    found = _read_current(plpy, plans, names)
    if names is not None:
        used = {schedule.calendar for job in found.jobs or () for schedule in job.schedules}
        kept = tuple(calendar for calendar in found.calendars or () if calendar.name in used)
        found = Document(kept, found.jobs)
    return json.dumps(definition.write(found, database), ensure_ascii=False)


def _refuse_name(plpy: Plpy, name: str | None) -> None:
    if name is None:
        errors.fail(plpy, errors.NULL_VALUE_NOT_ALLOWED, "names of jobs must not be null")
    hint = "SELECT jobname FROM pgagent.pga_job lists the jobs."
    errors.fail(plpy, errors.UNDEFINED_OBJECT, f'job "{name}" does not exist', hint=hint)


def apply_jobs(
    plpy: Plpy, plans: dict[str, Any], definitions: str | None, dry_run: bool | None, prune: bool | None
) -> Iterator[Row]:
    """Makes the database equal to a document, or only says what would be done. The rows: see comparison.Row.

    Errors: 22023 with a line of detail for each problem of the document; 22004 if an argument is null; 42501 if the
    caller lacks a right; 40001 if somebody else changed the same things meanwhile.
    """
    for name, value in {"definitions": definitions, "dry_run": dry_run, "prune": prune}.items():
        if value is None:
            errors.fail(plpy, errors.NULL_VALUE_NOT_ALLOWED, f"{name} must not be null")
    if not dry_run:
        execute(plpy, plans, TAKE_TURN, [], [])
    wanted = _read_document(plpy, plans, definitions or "")
    current = _read_current(plpy, plans, None if prune else [job.name for job in wanted.jobs or ()])
    plan = comparison.compare(current, wanted, prune=bool(prune))
    _refuse_without_rights(plpy, plans, plan)
    if not dry_run:
        _Work(plpy, plans, plan).carry_out()
    return comparison.list_differences(plan)


# ---- The document --------------------------------------------------------------------------------------------


def _read_document(plpy: Plpy, plans: dict[str, Any], text: str) -> Document:
    """Reads until the server has answered everything: an answer may lead to another question."""
    database = execute(plpy, plans, DATABASE, [], [])[0]["name"]
    loaded = _load(plpy, text)
    server = _Server(plpy, plans)
    while True:
        document, problems = definition.read(loaded, database, server.judge)
        if server.has_answered():
            _refuse(plpy, errors.INVALID_PARAMETER_VALUE, problems)
            return document


class _Server:
    """What the server says to the questions of a document; asked about all of them at once."""

    def __init__(self, plpy: Plpy, plans: dict[str, Any]) -> None:
        self._plpy = plpy
        self._plans = plans
        self._pause = Pause(plpy)
        self._answers: dict[Question, tuple[str | None, str | None]] = {}
        self._open: dict[Question, None] = {}

    def judge(self, question: Question) -> str:
        """The answer; the text as it is where it has not been asked yet."""
        self._pause.take()
        if question not in self._answers:
            self._open[question] = None
            return question.text
        answer, problem = self._answers[question]
        if answer is None:
            raise definition.Refused(problem)
        return answer

    def has_answered(self) -> bool:
        """Whether every question had its answer; those that had none have it now."""
        questions = list(self._open)
        if not questions:
            return True
        asked = [
            {"ordinal": ordinal, "kind": question.kind, "value": question.text, "zone": question.zone}
            for ordinal, question in enumerate(questions)
        ]
        rows = execute(self._plpy, self._plans, JUDGE, ["text"], [json.dumps(asked, ensure_ascii=False)])
        self._answers.update({questions[row["ordinal"]]: (row["answer"], row["problem"]) for row in rows})
        self._open.clear()
        return False


def _load(plpy: Plpy, text: str) -> object:
    try:
        return json.loads(text, parse_int=_read_number)
    except RecursionError:
        _refuse(plpy, errors.INVALID_PARAMETER_VALUE, [Problem(definition.ROOT, "is nested too deeply")])
        return None


def _read_number(digits: str) -> float:
    """A whole number; a longer one than a document can need is only a large one, or int() would take long over it."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def _refuse(plpy: Plpy, sqlstate: str, problems: Sequence[Problem]) -> None:
    """Fails if there is a problem: the message has the first one, the detail a line for each."""
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        errors.fail(
            plpy,
            sqlstate,
            f"invalid definition {first}{more}",
            detail="\n".join(map(str, problems)),
            hint=first.hint,
        )


def _refuse_without_rights(plpy: Plpy, plans: dict[str, Any], plan: Plan) -> None:
    """Row-level security would let changes of what is not one's own come to nothing without a word."""
    written: list[Calendar | Job] = [*plan.calendars.created, *plan.jobs.created, *(new for _, new in _altered(plan))]
    owners = {value.owner for value in written if value.owner is not None}
    usable = {row["name"] for row in execute(plpy, plans, MEMBERSHIPS, ["name[]"], [sorted(owners)])}
    _refuse(plpy, errors.INSUFFICIENT_PRIVILEGE, list(_list_missing_rights(plan, usable)))
    _refuse(plpy, errors.INSUFFICIENT_PRIVILEGE, _find_foreign_steps(plpy, plans, plan))


def _find_foreign_steps(plpy: Plpy, plans: dict[str, Any], plan: Plan) -> list[Problem]:
    """Steps that a superuser would hand to whoever has made a job of that name: they see them, passwords included."""
    stay = {part.parent.id: part.parent for part in _parts(plan.steps) if part.parent.owner is None}
    stay.pop(None, None)
    rows = execute(plpy, plans, FOREIGNERS, ["int4[]"], [list(stay)]) if stay else ()
    found = [(stay[row["id"]], row["owner"]) for row in rows]
    hint = "Say in the document whose it shall be."
    return [
        Problem(definition.extend_path(job.path, "owner"), f'job "{job.name}" belongs to role "{owner}"', hint)
        for job, owner in found
    ]


def _altered(plan: Plan) -> list[tuple[Calendar | Job, Calendar | Job]]:
    return [*plan.calendars.altered, *plan.jobs.altered]


def _list_missing_rights(plan: Plan, usable: Collection[str]) -> Iterator[Problem]:
    created: list[Calendar | Job] = [*plan.calendars.created, *plan.jobs.created]
    for new in created:
        if new.owner is not None and new.owner not in usable:
            text = f'"{new.name}" cannot be given to role "{new.owner}"'
            yield Problem(definition.extend_path(new.path, "owner"), text, "A member of that role can do it.")
    for old, new in _altered(plan):
        if new.owner not in {None, old.owner} and not (old.is_own and new.owner in usable):
            text = f'the owner of "{new.name}" cannot be changed from "{old.owner}" to "{new.owner}"'
            yield Problem(definition.extend_path(new.path, "owner"), text, "A member of both roles can do it.")
    for path, text in dict.fromkeys(_list_foreign(plan)):
        yield Problem(path, text)


def _list_foreign(plan: Plan) -> Iterator[tuple[str, str]]:
    """Paths of what only others may change, and what it is."""
    calendars = [new for _, new in plan.calendars.altered]
    calendars += [part.parent for part in _parts(plan.holidays)]
    for calendar in calendars:
        if not calendar.is_own:
            yield calendar.path, f'calendar "{calendar.name}" can be changed by its owner and administrators only'
    for part in _parts(plan.steps):
        if not part.parent.is_own:
            yield part.parent.path, f'the steps of job "{part.job}" can be changed by its owner only'


def _parts(changes: Changes[Part[Any]]) -> list[Part[Any]]:
    return [*changes.dropped, *(new for _, new in changes.altered), *changes.created]


# ---- What there is -------------------------------------------------------------------------------------------


def _read_current(plpy: Plpy, plans: dict[str, Any], names: Sequence[str] | None) -> Document:
    """All visible calendars, and the visible jobs of these names; None: all."""
    days = _group(execute(plpy, plans, HOLIDAYS, [], []), Holiday)
    calendars = [Calendar(**row, dates=tuple(days[row["id"]])) for row in execute(plpy, plans, CALENDARS, [], [])]
    found = [_read_lists(row, "locks") for row in execute(plpy, plans, JOBS, ["text[]"], [names])]
    jobids = [row["id"] for row in found]
    steps = _group(map(_read_step, execute(plpy, plans, STEPS, ["int4[]"], [jobids])), Step)
    schedules = _read_schedules(plpy, plans, jobids)
    jobs = [Job(**row, steps=tuple(steps[row["id"]]), schedules=tuple(schedules[row["id"]])) for row in found]
    return Document(tuple(calendars), tuple(jobs))


def _group(rows: Iterable[dict[str, Any]], make: Callable[..., T]) -> dict[int, list[T]]:
    """A value of each row, by the id of what it belongs to."""
    groups: dict[int, list[T]] = defaultdict(list)
    for row in rows:
        parent = row.pop("parent")
        groups[parent].append(make(**row))
    return groups


def _read_lists(row: dict[str, Any], key: str) -> dict[str, Any]:
    """A row whose array of texts is a tuple."""
    return {**row, key: None if row[key] is None else tuple(row[key])}


def _read_step(row: dict[str, Any]) -> dict[str, Any]:
    return _read_lists({**row, "on_error": definition.ON_ERROR[row["on_error"]]}, "retry_sqlstates")


def _read_schedules(plpy: Plpy, plans: dict[str, Any], jobids: Sequence[int]) -> dict[int, list[Schedule]]:
    rows = [dict(row) for row in execute(plpy, plans, SCHEDULES, ["int4[]"], [jobids])]
    found = map(_read_exception, execute(plpy, plans, EXCEPTIONS, ["int4[]"], [[row["id"] for row in rows]]))
    exceptions = _group(found, ScheduleException)
    pause = Pause(plpy)
    for row in rows:
        pause.take()
        row["times"] = definition.set_times([read_array(array) for array in row["times"]])
        row["exceptions"] = tuple(exceptions[row["id"]])
    return _group(rows, Schedule)


def _read_exception(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "time": None if row["time"] is None else definition.read_time(row["time"])}


# ---- Work ----------------------------------------------------------------------------------------------------


class _Work:
    """What is done for a plan, in the order of comparison.list_differences."""

    def __init__(self, plpy: Plpy, plans: dict[str, Any], plan: Plan) -> None:
        self._plpy = plpy
        self._plans = plans
        self._plan = plan
        self._ids = dict(plan.ids)

    def carry_out(self) -> None:
        """Does it all. Errors: what the tables refuse; 40001."""
        plan = self._plan
        self._create(INSERT_CALENDARS, plan.calendars.created)
        self._alter(UPDATE_CALENDARS, [new for _, new in plan.calendars.altered])
        self._drop(DELETE_HOLIDAYS, [part.value for part in plan.holidays.dropped])
        self._alter(UPDATE_HOLIDAYS, [new.value for _, new in plan.holidays.altered])
        self._create_parts(INSERT_HOLIDAYS, plan.holidays.created)
        self._drop(DELETE_JOBS, plan.jobs.dropped)
        self._drop(DELETE_STEPS, [part.value for part in plan.steps.dropped])
        self._drop(DELETE_SCHEDULES, [part.value for part in plan.schedules.dropped])
        self._create(INSERT_JOBS, plan.jobs.created)
        self._alter(UPDATE_JOBS, [new for _, new in plan.jobs.altered])
        self._alter(UPDATE_STEPS, [new.value for _, new in plan.steps.altered])
        self._create_parts(INSERT_STEPS, plan.steps.created)
        self._alter(UPDATE_SCHEDULES, [new.value for _, new in plan.schedules.altered])
        self._create_parts(INSERT_SCHEDULES, plan.schedules.created)
        self._drop(DELETE_EXCEPTIONS, [part.value for part in plan.exceptions.dropped])
        self._create_parts(INSERT_EXCEPTIONS, plan.exceptions.created)
        self._drop(DELETE_CALENDARS, plan.calendars.dropped)

    def _create(self, statement: str, values: Sequence[Any]) -> None:
        self._write(statement, values, [_record(value) for value in values])

    def _create_parts(self, statement: str, parts: Sequence[Part[Any]]) -> None:
        records = [{**_record(part.value), "parent": self._ids[part.parent.path]} for part in parts]
        self._write(statement, [part.value for part in parts], records)

    def _alter(self, statement: str, values: Sequence[Any]) -> None:
        self._write(statement, [], [_record(value) for value in values])

    def _write(self, statement: str, created: Sequence[Any], records: Sequence[dict[str, Any]]) -> None:
        if not records:
            return
        numbered = [{**record, "ordinal": ordinal} for ordinal, record in enumerate(records)]
        rows = execute(self._plpy, self._plans, statement, ["text"], [json.dumps(numbered, ensure_ascii=False)])
        self._expect(len(rows), len(records))
        for value, row in zip(created, rows, strict=False):
            if isinstance(value, (Calendar, Job, Schedule)):
                self._ids[value.path] = row["id"]

    def _drop(self, statement: str, values: Sequence[Any]) -> None:
        if values:
            ids = [value.id for value in values]
            self._expect(len(execute(self._plpy, self._plans, statement, ["int4[]"], [ids])), len(ids))

    def _expect(self, touched: int, expected: int) -> None:
        if touched != expected:
            errors.fail(
                self._plpy,
                errors.SERIALIZATION_FAILURE,
                "could not apply the definitions of jobs: somebody else has changed the same things",
                hint="Nothing was changed. Try again.",
            )


def _record(value: Any) -> dict[str, Any]:
    """A value as the statements read it."""
    record = {
        definition.key_of(attribute.name): getattr(value, attribute.name)
        for attribute in fields(value)
        if attribute.name not in NOT_WRITTEN
    }
    if isinstance(value, Step):
        record["on_error"] = WORDS_OF_ERROR[value.on_error]
    if isinstance(value, Schedule):
        record.update({key: getattr(value.times, key) for key in definition.WORDS})
    return record
