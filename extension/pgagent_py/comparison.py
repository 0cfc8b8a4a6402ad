"""What has to be done to make the jobs of a database equal to a document. Pure.

What belongs together has the same name; among equal names, steps go by their order, in which they run, and other things
by what they say, then by their order. What the document leaves to the database (None in AS_IS) is no difference.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

from .definition import (
    Calendar,
    Document,
    Holiday,
    Job,
    Schedule,
    ScheduleException,
    Step,
    key_of,
    list_times,
    write_times,
)

AS_IS = {"owner", "start"}
SETS = {"locks", "retry_sqlstates"}
PARTS = {"name", "dates", "steps", "schedules", "exceptions"}

Thing = Calendar | Holiday | Job | Step | Schedule
T = TypeVar("T", bound=Thing)
V = TypeVar("V")

Row = tuple[str, str, "str | None", str, "str | None", "str | None", "str | None"]
"""A difference, as apply_jobs returns it: action, object, job, name, attribute, was, becomes."""
Change = tuple[str, "str | None", "str | None"]
"""An attribute by the document's name, and its values."""


@dataclass(frozen=True, slots=True)
class Part(Generic[V]):
    """A step or schedule and its job, an exception and its schedule, a holiday and its calendar."""

    parent: Any
    value: V
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Changes(Generic[V]):
    """What is to be done to things of one kind; altered ones before and after, the latter with their id."""

    dropped: list[V] = field(default_factory=list)
    altered: list[tuple[V, V]] = field(default_factory=list)
    created: list[V] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done."""

    calendars: Changes[Calendar] = field(default_factory=Changes)
    holidays: Changes[Part[Holiday]] = field(default_factory=Changes)
    jobs: Changes[Job] = field(default_factory=Changes)
    steps: Changes[Part[Step]] = field(default_factory=Changes)
    schedules: Changes[Part[Schedule]] = field(default_factory=Changes)
    exceptions: Changes[Part[ScheduleException]] = field(default_factory=Changes)
    # The rows of what stays, by the path in the document: what is created below it needs them.
    ids: dict[str, int] = field(default_factory=dict)


def compare(current: Document, wanted: Document, *, prune: bool) -> Plan:
    """The way from what there is to a document. ``prune``: what it does not name is dropped, else it stays."""
    plan = Plan()
    if wanted.calendars is not None:
        left = _compare_calendars(plan, current.calendars or (), wanted.calendars)
        jobs = current.jobs if wanted.jobs is None else wanted.jobs
        named = {schedule.calendar for job in jobs or () for schedule in job.schedules}
        dropped = [calendar for calendar in left if calendar.is_own and calendar.name not in named]
        plan.calendars.dropped.extend(dropped if prune else ())
    if wanted.jobs is not None:
        unnamed = _compare_jobs(plan, current.jobs or (), wanted.jobs)
        plan.jobs.dropped.extend(unnamed if prune else ())
    return plan


# ---- Which things belong together --------------------------------------------------------------------------


def _pair(
    current: Sequence[T], wanted: Sequence[T], *tests: Callable[[T, T], bool]
) -> tuple[list[tuple[T, T]], list[T], list[T]]:
    """Those of equal names, what is left of the current ones and what is left of the wanted ones, each in order.

    Of several with a name those belong together for whom the first test holds, then the next; then by their order.
    """
    groups: dict[str, list[T]] = defaultdict(list)
    for thing in current:
        groups[_identity(thing)].append(thing)
    rivals: dict[str, list[T]] = defaultdict(list)
    for thing in wanted:
        rivals[_identity(thing)].append(thing)
    partners: dict[int, T] = {}
    for name, rival in rivals.items():
        _match(groups[name], rival, (*tests, _is_any), partners)
    pairs = [(partners[position], thing) for position, thing in _by_identity(wanted) if position in partners]
    created = [thing for position, thing in _by_identity(wanted) if position not in partners]
    return pairs, [thing for group in groups.values() for thing in group], created


def _by_identity(things: Sequence[T]) -> Iterator[tuple[int, T]]:
    return ((id(thing), thing) for thing in things)


def _match(group: list[T], rivals: list[T], tests: Sequence[Callable[[T, T], bool]], partners: dict[int, T]) -> None:
    """Finds partners in the group, and takes them out of it."""
    if len(group) == len(rivals) == 1:
        tests = [_is_any]
    for test in tests:
        for rival in rivals:
            if id(rival) in partners:
                continue
            found = next((position for position, thing in enumerate(group) if test(thing, rival)), None)
            if found is not None:
                partners[id(rival)] = group.pop(found)


def _identity(thing: Thing) -> str:
    return thing.date if isinstance(thing, Holiday) else thing.name


def _is_any(_old: object, _new: object) -> bool:
    return True


def _is_equal_job(old: Job, new: Job) -> bool:
    plan = Plan()
    _compare_job(plan, old, new)
    return next(list_differences(plan), None) is None


def _is_equal_schedule(old: Schedule, new: Schedule) -> bool:
    return not find_changes(old, new) and set(old.exceptions) == set(new.exceptions)


def _has_owner(old: Job, new: Job) -> bool:
    return old.owner == new.owner


# ---- What differs ------------------------------------------------------------------------------------------


def _compare_calendars(plan: Plan, current: Sequence[Calendar], wanted: Sequence[Calendar]) -> list[Calendar]:
    """Notes what is to be done; returns the calendars that are not named."""
    pairs, left, created = _pair(current, wanted)
    for old, new in pairs:
        _compare_calendar(plan, old, replace(new, id=old.id, is_own=old.is_own))
    for calendar in created:
        plan.calendars.created.append(calendar)
        plan.holidays.created.extend(Part(calendar, day) for day in calendar.dates)
    return left


def _compare_calendar(plan: Plan, old: Calendar, new: Calendar) -> None:
    _note_id(plan, new)
    if find_changes(old, new):
        plan.calendars.altered.append((old, new))
    pairs, gone, added = _pair(old.dates, new.dates)
    plan.holidays.dropped.extend(Part(new, day) for day in gone)
    for before, after in pairs:
        if before != after:
            plan.holidays.altered.append((Part(new, before), Part(new, replace(after, id=before.id))))
    plan.holidays.created.extend(Part(new, day) for day in added)


def _note_id(plan: Plan, stays: Calendar | Job | Schedule) -> None:
    if stays.id is not None:
        plan.ids[stays.path] = stays.id


def _compare_jobs(plan: Plan, current: Sequence[Job], wanted: Sequence[Job]) -> list[Job]:
    """Notes what is to be done; returns the jobs that are not named."""
    pairs, left, created = _pair(current, wanted, _is_equal_job, _has_owner)
    for old, new in pairs:
        _compare_job(plan, old, new)
    for job in created:
        plan.jobs.created.append(job)
        plan.steps.created.extend(Part(job, step, job.name) for step in job.steps)
        _create_schedules(plan, job, job.schedules)
    return left


def _create_schedules(plan: Plan, job: Job, schedules: Sequence[Schedule]) -> None:
    for schedule in schedules:
        plan.schedules.created.append(Part(job, schedule, job.name))
        plan.exceptions.created.extend(Part(schedule, exception, job.name) for exception in schedule.exceptions)


def _compare_job(plan: Plan, old: Job, new: Job) -> None:
    job = replace(new, id=old.id, is_own=old.is_own)
    _note_id(plan, job)
    if find_changes(old, job):
        plan.jobs.altered.append((old, job))
    steps, gone, added = _pair(old.steps, job.steps)
    plan.steps.dropped.extend(Part(job, step, job.name) for step in gone)
    for before, after in steps:
        if find_changes(before, after):
            plan.steps.altered.append((Part(job, before, job.name), Part(job, replace(after, id=before.id), job.name)))
    plan.steps.created.extend(Part(job, step, job.name) for step in added)
    pairs, absent, more = _pair(old.schedules, job.schedules, _is_equal_schedule)
    plan.schedules.dropped.extend(Part(job, schedule, job.name) for schedule in absent)
    for earlier, later in pairs:
        _compare_schedule(plan, job, earlier, replace(later, id=earlier.id))
    _create_schedules(plan, job, more)


def _compare_schedule(plan: Plan, job: Job, old: Schedule, new: Schedule) -> None:
    _note_id(plan, new)
    if find_changes(old, new):
        plan.schedules.altered.append((Part(job, old, job.name), Part(job, new, job.name)))
    before, after = set(old.exceptions), set(new.exceptions)
    plan.exceptions.dropped.extend(Part(old, gone, job.name) for gone in old.exceptions if gone not in after)
    plan.exceptions.created.extend(Part(new, more, job.name) for more in new.exceptions if more not in before)


def find_changes(old: Thing, new: Thing) -> list[Change]:
    """The attributes that differ, in the order of the document; parts have changes of their own."""
    changes: list[Change] = []
    for attribute in fields(old):
        name = attribute.name
        if not attribute.compare or name in PARTS:
            continue
        was, becomes = getattr(old, name), getattr(new, name)
        if was == becomes or (name in AS_IS and becomes is None) or _is_equal_set(name, was, becomes):
            continue
        if isinstance(old, Schedule) and isinstance(new, Schedule) and name == "times":
            changes.extend(_find_changed_times(old, new))
        else:
            changes.append((key_of(name), _show(name, was), _show(name, becomes)))
    return changes


def _is_equal_set(name: str, was: Any, becomes: Any) -> bool:
    return name in SETS and was is not None and becomes is not None and set(was) == set(becomes)


def _find_changed_times(old: Schedule, new: Schedule) -> Iterator[Change]:
    was, becomes = write_times(old.times).get("cron"), write_times(new.times).get("cron")
    if was is not None and becomes is not None:
        yield "cron", was, becomes
        return
    before, after = list_times(old.times), list_times(new.times)
    for key, listed in before.items():
        if listed != after[key]:
            yield key, _show(key, listed), _show(key, after[key])


_PASSWORD = re.compile(
    r"""(?P<before>\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'|(?:[^\s\\&]|\\.)*)|(?P<user>://[^/?#@:]*:)[^/?#]*@""",
    re.IGNORECASE | re.DOTALL,
)


def _show(name: str, value: Any) -> str | None:
    """A value as text; a connection string without its password."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _PASSWORD.sub(_hide, text) if name == "connection" else text


def _hide(found: re.Match[str]) -> str:
    return f"{found['before']}***" if found["before"] else f"{found['user']}***@"


# ---- Rows --------------------------------------------------------------------------------------------------


def list_differences(plan: Plan) -> Iterator[Row]:
    """A row for each thing that is created or dropped, and for each attribute that is altered, in the order in which
    it is done. What belongs to a thing that is dropped goes with it.
    """
    yield from _list_calendars(plan)
    yield from (("drop", "job", job.name, job.name, None, None, None) for job in plan.jobs.dropped)
    yield from _list_dropped("step", plan.steps)
    yield from _list_dropped("schedule", plan.schedules)
    yield from (("create", "job", job.name, job.name, None, None, None) for job in plan.jobs.created)
    for old, new in plan.jobs.altered:
        yield from (("alter", "job", new.name, new.name, *change) for change in find_changes(old, new))
    yield from _list_kept("step", plan.steps)
    yield from _list_kept("schedule", plan.schedules)
    for part in plan.exceptions.dropped:
        yield "drop", "exception", part.job, part.parent.name, None, str(part.value), None
    for part in plan.exceptions.created:
        yield "create", "exception", part.job, part.parent.name, None, None, str(part.value)
    yield from (("drop", "calendar", None, calendar.name, None, None, None) for calendar in plan.calendars.dropped)


def _list_calendars(plan: Plan) -> Iterator[Row]:
    for calendar in plan.calendars.created:
        yield "create", "calendar", None, calendar.name, None, None, None
    for old, new in plan.calendars.altered:
        yield from (("alter", "calendar", None, new.name, *change) for change in find_changes(old, new))
    for part in plan.holidays.dropped:
        yield "drop", "holiday", None, part.parent.name, None, _show_holiday(part), None
    for before, after in plan.holidays.altered:
        yield "alter", "holiday", None, after.parent.name, "name", _show_holiday(before), _show_holiday(after)
    for part in plan.holidays.created:
        yield "create", "holiday", None, part.parent.name, None, None, _show_holiday(part)


def _show_holiday(part: Part[Holiday]) -> str:
    return f"{part.value.date} {part.value.name}".rstrip()


def _list_dropped(kind: str, changes: Changes[Part[Any]]) -> Iterator[Row]:
    return (("drop", kind, part.job, part.value.name, None, None, None) for part in changes.dropped)


def _list_kept(kind: str, changes: Changes[Part[Any]]) -> Iterator[Row]:
    for old, new in changes.altered:
        for change in find_changes(old.value, new.value):
            yield "alter", kind, new.job, new.value.name, *change
    for part in changes.created:
        yield "create", kind, part.job, part.value.name, None, None, None
