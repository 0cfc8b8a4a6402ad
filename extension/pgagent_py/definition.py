"""Jobs as a document: what pgagent.export_jobs writes and pgagent.apply_jobs reads. Pure.

A document is what json.loads() gives. What has its default is left out when it is written; what is left out has its
default when it is read. An owner or a start that is left out is None: it stays as it is, or is the server's to choose.

What only a server can judge (intervals, instants, time zones, names of roles and classes) is put as a Question to a
function, which gives the server's own spelling of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from typing import Any

from . import cron

VERSION = 1
ROOT = "document"
"""The path of the whole document, in messages."""
MOST_ID_BYTES = 63
ON_ERROR = {"f": "fail", "s": "succeed", "i": "ignore"}
DEFAULT_CLASS = "Miscellaneous"
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LAST_DAY = "last"
# The words for the elements of each array of a schedule.
WORDS: dict[str, tuple[int | str, ...]] = {
    "minutes": tuple(range(60)),
    "hours": tuple(range(24)),
    "weekdays": WEEKDAYS,
    "monthdays": (*range(1, 32), LAST_DAY),
    "months": tuple(range(1, 13)),
}
EVERY_MINUTE = cron.Fields(*((False,) * len(words) for words in WORDS.values()))


# ---- Values ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Holiday:
    """A date of a calendar."""

    date: str
    name: str = ""
    id: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Calendar:
    """A named calendar. ``path``: where it stands in its document; ``id``: its row. So with the others."""

    name: str
    description: str = ""
    owner: str | None = None
    dates: tuple[Holiday, ...] = ()
    id: int | None = field(default=None, compare=False)
    path: str = field(default="", compare=False)
    is_own: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """A step. ``database`` is empty in batch steps and beside ``connection``."""

    name: str
    sql: str | None = None
    batch: str | None = None
    database: str = ""
    connection: str = ""
    description: str = ""
    enabled: bool = True
    on_error: str = "fail"
    timeout: str | None = None
    retries: int = 0
    retry_delay: str = "00:00:01"
    retry_factor: float = 2
    retry_max_delay: str = "00:05:00"
    retry_jitter: float = 0.1
    retry_sqlstates: tuple[str, ...] | None = None
    id: int | None = field(default=None, compare=False)
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ScheduleException:
    """A date, a time of day, or one time of one date."""

    date: str | None
    time: str | None
    id: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return " ".join(part for part in (self.date, self.time) if part is not None)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule. ``times``: the five arrays as the table has them, not normalised."""

    name: str
    times: cron.Fields = EVERY_MINUTE
    every: str | None = None
    start: str | None = None
    end: str | None = None
    timezone: str | None = None
    enabled: bool = True
    description: str = ""
    calendar: str | None = None
    exceptions: tuple[ScheduleException, ...] = ()
    id: int | None = field(default=None, compare=False)
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Job:
    """A job with its steps, in the order in which they run, and its schedules.

    ``is_own``: whoever asks has the rights of its owner.
    """

    name: str
    owner: str | None = None
    job_class: str = DEFAULT_CLASS
    description: str = ""
    host: str = ""
    enabled: bool = True
    timeout: str | None = None
    start_deadline: str | None = None
    max_failures: int | None = None
    locks: tuple[str, ...] | None = None
    priority: int = 0
    steps: tuple[Step, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    id: int | None = field(default=None, compare=False)
    path: str = field(default="", compare=False)
    is_own: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """Calendars and jobs; None: the document says nothing of them."""

    calendars: tuple[Calendar, ...] | None = None
    jobs: tuple[Job, ...] | None = None


KEYS = {"job_class": "class"}
"""The keys of attributes whose names Python has taken."""


def key_of(attribute: str) -> str:
    """The document's name of an attribute."""
    return KEYS.get(attribute, attribute)


# ---- From values to a document -----------------------------------------------------------------------------


def write(document: Document, database: str) -> dict[str, Any]:
    """The document as json.dumps() takes it; ``database``: where steps run that do not say where."""
    return {
        "version": VERSION,
        "calendars": [_write_calendar(calendar) for calendar in document.calendars or ()],
        "jobs": [_write_job(job, database) for job in document.jobs or ()],
    }


def _write_calendar(calendar: Calendar) -> dict[str, Any]:
    written = _write_attributes(calendar, but={"dates"})
    if calendar.dates:
        written["dates"] = [
            {"date": holiday.date, "name": holiday.name} if holiday.name else holiday.date for holiday in calendar.dates
        ]
    return written


def _write_job(job: Job, database: str) -> dict[str, Any]:
    written = _write_attributes(job, but={"steps", "schedules"})
    if job.steps:
        written["steps"] = [_write_step(step, database) for step in job.steps]
    if job.schedules:
        written["schedules"] = [_write_schedule(schedule) for schedule in job.schedules]
    return written


def _write_step(step: Step, database: str) -> dict[str, Any]:
    return _write_attributes(step, but={"database"} if step.database == database else ())


def _write_schedule(schedule: Schedule) -> dict[str, Any]:
    written = _write_attributes(schedule, but={"times", "exceptions"})
    if schedule.times != EVERY_MINUTE or schedule.every is None:
        written.update(write_times(schedule.times))
    if schedule.exceptions:
        written["exceptions"] = [str(exception) for exception in schedule.exceptions]
    return written


def _write_attributes(value: Any, *, but: Collection[str]) -> dict[str, Any]:
    """What has not its default, except these attributes, and what is no part of a document."""
    written: dict[str, Any] = {}
    for attribute in fields(value):
        found = getattr(value, attribute.name)
        if attribute.compare and attribute.name not in but and found != attribute.default:
            written[key_of(attribute.name)] = _write_value(found)
    return written


def _write_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def write_times(times: cron.Fields) -> dict[str, Any]:
    """As crontab where that says exactly these arrays, else a list for each array that restricts something."""
    text = cron.format(times)
    if text is not None and cron.parse(text) == times:
        return {"cron": text}
    return {key: listed for key, listed in list_times(times).items() if listed}


def list_times(times: cron.Fields) -> dict[str, list[int | str]]:
    """The elements that are true, of each array."""
    arrays = (times.minutes, times.hours, times.weekdays, times.monthdays, times.months)
    return {
        key: [word for word, flag in zip(words, array, strict=True) if flag]
        for (key, words), array in zip(WORDS.items(), arrays, strict=True)
    }


def set_times(arrays: Sequence[Sequence[bool | None]]) -> cron.Fields:
    """The fields of arrays, in the order of the table: NULL and missing elements are false."""
    sizes = (len(words) for words in WORDS.values())
    return cron.Fields(
        *(tuple(position < len(array) and array[position] is True for position in range(size))
          for array, size in zip(arrays, sizes, strict=True))
    )  # fmt: skip


# ---- From a document to values: what it is made of -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a document, and where."""

    path: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        """A line of the error's detail; commands that know the file look for its beginning."""
        return f"at {self.path}: {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True)
class Question:
    """What the server is asked: whether it takes a text as this kind, and how it spells it.

    Kinds: timeout, start_deadline, delay, every (intervals), instant, local instant, zone, role, class, calendar.
    ``zone``: in which a local instant is read; None: the one of the settings.
    """

    kind: str
    text: str
    zone: str | None = None


class Refused(ValueError):
    """An answer: the server does not take it. The text says why."""


Judge = Callable[[Question], str]
"""Answers a question, or raises Refused."""

_KINDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}
_MISSING = object()


def _name_kind(value: object) -> str:
    if value is None:
        return "null"
    return _KINDS.get(type(value), "an object")


def _show(text: str) -> str:
    """A text of the document within a message: in quotes, in one line, and not too long."""
    return json.dumps(text if len(text) <= 40 else f"{text[:40]}...", ensure_ascii=False)


def _nearest(word: str, words: Collection[str]) -> str:
    near = get_close_matches(word.lower(), words, 1)
    return f', do you mean "{near[0]}"?' if near else ""


def extend_path(path: str, key: str) -> str:
    """The path of a member of an object."""
    member = f".{key}" if re.fullmatch(r"\w+", key, re.ASCII) else f"[{json.dumps(key)}]"
    return member.removeprefix(".") if path == ROOT else path + member


class _Node:
    """An object of a document while it is read: what is wrong is noted, and read as if it were left out."""

    def __init__(
        self,
        value: object,
        path: str,
        keys: Collection[str],
        problems: list[Problem],
        judge: Judge,
        plain_key: str = "",
    ) -> None:
        """Read an object; a mere text is one with this key alone."""
        self.path = path
        self._is_plain = bool(plain_key) and isinstance(value, str)
        value = {plain_key: value} if self._is_plain else value
        self._problems = problems
        self._judge = judge
        self._members: dict[str, Any] = {}
        if not isinstance(value, dict):
            self.refuse(f"must be an object, not {_name_kind(value)}")
            self.is_object = False
            return
        self.is_object = True
        for key, member in value.items():
            if key not in keys:
                self.refuse(
                    f"unknown key {_show(key)}{_nearest(key, keys)}", key, hint=f"Keys here: {', '.join(keys)}."
                )
            elif member is not None:
                self._members[key] = member

    def refuse(self, text: str, key: str = "", *, hint: str = "") -> None:
        """Note that something is wrong with this object, or with one of its members."""
        path = extend_path(self.path, key) if key and not self._is_plain else self.path
        self._problems.append(Problem(path, text, hint))

    def has(self, key: str) -> bool:
        """Whether a member is there and not null."""
        return key in self._members

    def name(self, key: str = "name") -> str:
        """A text that must be there."""
        if self.is_object and not self.has(key):
            self.refuse(f'"{key}" is missing')
        return self.text(key) or ""

    def text(self, key: str) -> str | None:
        """A text; None: left out."""
        found: str | None = self._take(key, str)
        return found

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        found = self._take(key, bool)
        return default if found is None else bool(found)

    def whole(self, key: str, low: int, high: int) -> int | None:
        """A whole number between bounds that count."""
        found: int | None = self._take(key, int)
        return found if found is None or self._is_between(key, found, low, high) else None

    def number(self, key: str, low: int, high: int, default: float) -> float:
        """A number between bounds that count."""
        found = self._members.get(key, _MISSING)
        found = found if type(found) is int else self._take(key, float)
        return default if found is None or not self._is_between(key, found, low, high) else float(found)

    def word(self, key: str, words: Collection[str], default: str) -> str:
        """One of these words."""
        found = self.text(key)
        if found is not None and found not in words:
            self.refuse(f"{_show(found)} is none of {', '.join(words)}", key)
        return found if found is not None and found in words else default

    def judged(self, key: str, kind: str, zone: str | None = None) -> str | None:
        """A text that the server has to judge, as the server spells it."""
        found = self.text(key)
        return None if found is None else self.ask(key, Question(kind, found, zone))

    def ask(self, key: str, question: Question) -> str | None:
        """The answer of the server; None: refused."""
        try:
            return self._judge(question)
        except Refused as refusal:
            self.refuse(str(refusal), key)
            return None

    def names(self, key: str) -> tuple[str, ...] | None:
        """A list of texts; None: left out."""
        if not self.has(key):
            return None
        return tuple(item for _, item in self.items(key, str))

    def items(self, key: str, kind: type | None = None) -> Iterator[tuple[str, Any]]:
        """The members of a list with their paths; of this kind."""
        listed: list[Any] = self._take(key, list) or []
        for position, item in enumerate(listed):
            path = f"{extend_path(self.path, key)}[{position}]"
            if kind is None or type(item) is kind:
                yield path, item
            else:
                self.refuse_at(path, f"must be {_KINDS[kind]}, not {_name_kind(item)}")

    def refuse_at(self, path: str, text: str) -> None:
        """Note that something is wrong below this object."""
        self._problems.append(Problem(path, text))

    def children(self, key: str, keys: Collection[str], plain_key: str = "") -> Iterator[_Node]:
        """The objects of a list."""
        for path, item in self.items(key):
            yield _Node(item, path, keys, self._problems, self._judge, plain_key)

    def _take(self, key: str, kind: type) -> Any:
        found = self._members.get(key)
        if found is None or type(found) is kind:
            return found
        is_fraction = kind is int and isinstance(found, float)
        self.refuse(f"must be {_KINDS[kind]}" + ("" if is_fraction else f", not {_name_kind(found)}"), key)
        return None

    def _is_between(self, key: str, number: float, low: int, high: int) -> bool:
        if low <= number <= high:
            return True
        self.refuse(f"must be between {low} and {high}", key)
        return False


# ---- From a document to values -------------------------------------------------------------------------------


def _keys(kind: Any, *more: str, but: Collection[str] = ()) -> tuple[str, ...]:
    names = (key_of(a.name) for a in fields(kind) if a.compare and a.name not in but)
    return (*names, *more)


_DOCUMENT_KEYS = ("version", "calendars", "jobs")
_CALENDAR_KEYS = _keys(Calendar)
_HOLIDAY_KEYS = _keys(Holiday)
_JOB_KEYS = _keys(Job)
_STEP_KEYS = _keys(Step)
_STEP = Step("")
_SCHEDULE_KEYS = _keys(Schedule, "cron", *WORDS, but={"times"})


def read(value: object, database: str, judge: Judge) -> tuple[Document, list[Problem]]:
    """The values of a document and all that is wrong with it; ``database``: where steps run that do not say where."""
    problems: list[Problem] = []
    root = _Node(value, ROOT, _DOCUMENT_KEYS, problems, judge)
    version = root.whole("version", 1, 1_000_000)
    if version not in {None, VERSION}:
        root.refuse(f"version {version} is unknown", "version", hint=f"This is version {VERSION}.")
    calendars = tuple(_read_calendar(node) for node in root.children("calendars", _CALENDAR_KEYS))
    _refuse_equal_names(root, calendars)
    known = {calendar.name for calendar in calendars}
    jobs = tuple(_read_job(node, database, known) for node in root.children("jobs", _JOB_KEYS))
    document = Document(calendars if root.has("calendars") else None, jobs if root.has("jobs") else None)
    # A member that is looked at twice is wrong once.
    return document, list(dict.fromkeys(problems))


def _refuse_equal_names(root: _Node, calendars: Sequence[Calendar]) -> None:
    seen: set[str] = set()
    for calendar in calendars:
        if calendar.name in seen:
            root.refuse_at(extend_path(calendar.path, "name"), f"a second calendar {_show(calendar.name)}")
        seen.add(calendar.name)


def _read_calendar(node: _Node) -> Calendar:
    return Calendar(
        name=node.name(),
        description=node.text("description") or "",
        owner=node.judged("owner", "role"),
        dates=tuple(_read_holidays(node)),
        path=node.path,
    )


def _read_holidays(node: _Node) -> Iterator[Holiday]:
    seen: set[str] = set()
    for child in node.children("dates", _HOLIDAY_KEYS, plain_key="date"):
        text = child.name("date")
        if child.text("date") is None:
            continue
        try:
            day = read_date(text)
        except ValueError as error:
            child.refuse(str(error), "date")
            continue
        if day in seen:
            child.refuse(f"{day} is there a second time", "date")
        else:
            seen.add(day)
            yield Holiday(day, child.text("name") or "")


def _read_job(node: _Node, database: str, calendars: Collection[str]) -> Job:
    return Job(
        name=node.name(),
        owner=node.judged("owner", "role"),
        job_class=node.judged("class", "class") or node.ask("", Question("class", DEFAULT_CLASS)) or "",
        description=node.text("description") or "",
        host=node.text("host") or "",
        enabled=node.flag("enabled", True),
        timeout=node.judged("timeout", "timeout"),
        start_deadline=node.judged("start_deadline", "start_deadline"),
        max_failures=node.whole("max_failures", 1, 1000),
        locks=node.names("locks"),
        priority=node.whole("priority", 0, 1000) or 0,
        steps=tuple(_read_step(child, database) for child in node.children("steps", _STEP_KEYS)),
        schedules=tuple(_read_schedule(child, calendars) for child in node.children("schedules", _SCHEDULE_KEYS)),
        path=node.path,
    )


def _read_step(node: _Node, database: str) -> Step:
    sql, batch = node.text("sql"), node.text("batch")
    _check_code(node)
    connection = node.text("connection") or ""
    return Step(
        name=node.name(),
        sql=sql,
        batch=batch,
        database=_read_database(node, "" if batch is not None or connection else database),
        connection=connection,
        description=node.text("description") or "",
        enabled=node.flag("enabled", True),
        on_error=node.word("on_error", tuple(ON_ERROR.values()), _STEP.on_error),
        timeout=node.judged("timeout", "timeout"),
        retries=node.whole("retries", 0, 1000) or 0,
        retry_delay=node.judged("retry_delay", "delay") or _STEP.retry_delay,
        retry_factor=node.number("retry_factor", 1, 100, _STEP.retry_factor),
        retry_max_delay=node.judged("retry_max_delay", "delay") or _STEP.retry_max_delay,
        retry_jitter=node.number("retry_jitter", 0, 1, _STEP.retry_jitter),
        retry_sqlstates=_read_sqlstates(node),
        path=node.path,
    )


def _check_code(node: _Node) -> None:
    """A step is an SQL step or a batch step; where an SQL step runs, it says once."""
    if not node.is_object:
        return
    if node.has("sql") and node.has("batch"):
        node.refuse("a step has sql or batch, not both", "batch", hint="Give the job another step.")
    elif not node.has("sql") and not node.has("batch"):
        node.refuse('"sql" or "batch" is missing')
    elsewhere = [key for key in ("database", "connection") if node.text(key)]
    if node.has("batch") and elsewhere:
        node.refuse("a batch step has no database and no connection", elsewhere[0])
    elif len(elsewhere) == 2:
        node.refuse("a step has a database or a connection, not both", "connection")


def _read_database(node: _Node, default: str) -> str:
    found = node.text("database") or default
    if len(found.encode()) > MOST_ID_BYTES:
        node.refuse(f"must not be longer than {MOST_ID_BYTES} bytes", "database")
    return found


def _read_sqlstates(node: _Node) -> tuple[str, ...] | None:
    found = node.names("retry_sqlstates")
    if found is None:
        return None
    if not found:
        node.refuse("is empty: leave it out to retry after every failure", "retry_sqlstates")
    for path, item in node.items("retry_sqlstates"):
        if isinstance(item, str) and not re.fullmatch(r"[0-9A-Z]{2}([0-9A-Z]{3}|\*)", item):
            node.refuse_at(path, f"{_show(item)} is no SQLSTATE, such as 40001, and no class, such as 08*")
    return found


def _read_schedule(node: _Node, calendars: Collection[str]) -> Schedule:
    zone = node.judged("timezone", "zone")
    return Schedule(
        name=node.name(),
        times=_read_times(node),
        every=node.judged("every", "every"),
        start=_read_instant(node, "start", zone),
        end=_read_instant(node, "end", zone),
        timezone=zone,
        enabled=node.flag("enabled", True),
        description=node.text("description") or "",
        calendar=_read_reference(node, calendars),
        exceptions=tuple(_read_exceptions(node)),
        path=node.path,
    )


def _read_reference(node: _Node, calendars: Collection[str]) -> str | None:
    """The name of a calendar, which the document or the database has."""
    name = node.text("calendar")
    return name if name is None or name in calendars else node.ask("calendar", Question("calendar", name))


def _read_times(node: _Node) -> cron.Fields:
    lists = [key for key in WORDS if node.has(key)]
    if node.has("cron") and lists:
        node.refuse(f"a schedule has cron or {lists[0]}, not both", lists[0])
    elif node.is_object and not node.has("cron") and not lists and not node.has("every"):
        node.refuse('"cron" is missing', hint='Every minute is cron "* * * * *"; an interval is every.')
    text = node.text("cron")
    if text is None:
        return cron.Fields(*(_read_flags(node, key, words) for key, words in WORDS.items()))
    try:
        return cron.parse(text)
    except cron.CronError as error:
        node.refuse(f"{error} (at character {error.position + 1} of the text)", "cron", hint=error.hint)
        return EVERY_MINUTE


def _read_flags(node: _Node, key: str, words: Sequence[int | str]) -> tuple[bool, ...]:
    listed = set()
    for path, item in node.items(key):
        # True is 1 for Python.
        if type(item) in {int, str} and item in words:
            listed.add(item)
        else:
            shown = _show(item) if isinstance(item, str) else json.dumps(item)[:40]
            node.refuse_at(path, f"{shown} is none of {_name_words(words)}")
    return tuple(word in listed for word in words)


def _name_words(words: Sequence[int | str]) -> str:
    numbers = [word for word in words if isinstance(word, int)]
    named = [word for word in words if isinstance(word, str)]
    return ", ".join([*([f"{numbers[0]} to {numbers[-1]}"] if numbers else []), *named])


_INSTANT = re.compile(
    r"-?infinity|\d{4,6}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?( ?(?P<offset>Z|[+-]\d\d(:?\d\d){0,2}))?)?( BC)?",
    re.ASCII,
)


def _read_instant(node: _Node, key: str, zone: str | None) -> str | None:
    text = node.text(key)
    if text is None:
        return None
    found = _INSTANT.fullmatch(text)
    if found is None:
        node.refuse(f"{_show(text)} is no date and time", key, hint="Write, for example, 2026-01-31T12:00:00+00:00.")
        return None
    return node.ask(
        key, Question("local instant", text, zone) if found["offset"] is None else Question("instant", text)
    )


def _read_exceptions(node: _Node) -> Iterator[ScheduleException]:
    seen: set[ScheduleException] = set()
    for path, item in node.items("exceptions", str):
        try:
            found = read_exception(item)
        except ValueError as error:
            node.refuse_at(path, str(error))
            continue
        if found in seen:
            node.refuse_at(path, f"{found} is there a second time")
        else:
            seen.add(found)
            yield found


def read_exception(text: str) -> ScheduleException:
    """A date, a time, or both with a blank between them. Raises ValueError."""
    day, blank, time = text.rpartition(" ")
    if not blank:
        return ScheduleException(None, read_time(text)) if ":" in text else ScheduleException(read_date(text), None)
    if time == "BC":
        return ScheduleException(read_date(text), None)
    return ScheduleException(read_date(day), read_time(time))


_DATE = re.compile(r"(?P<year>\d{4,7})-(?P<month>\d\d)-(?P<day>\d\d)(?P<era> BC)?", re.ASCII)
_LAST_YEAR = 5874897
_FIRST_YEAR_BC = 4714


def read_date(text: str) -> str:
    """A date as the server writes it, also infinity, of any year that the server knows. Raises ValueError."""
    if text in {"infinity", "-infinity"}:
        return text
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"{_show(text)} is no date, such as 2026-12-31")
    year = int(found["year"])
    is_within = 0 < year < _FIRST_YEAR_BC if found["era"] else 0 < year <= _LAST_YEAR
    try:
        # The calendar repeats after 400 years; 1 BC is year 0.
        date((1 - year if found["era"] else year) % 400 + 400, int(found["month"]), int(found["day"]))
    except ValueError:
        is_within = False
    if not is_within:
        raise ValueError(f"{_show(text)} does not exist")
    return f"{year:04}-{found['month']}-{found['day']}{found['era'] or ''}"


_TIME = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(:(?P<second>\d\d)(?P<fraction>\.\d{1,6})?)?", re.ASCII)


def read_time(text: str) -> str:
    """A time of day as the server writes it, but without seconds that are zero. Raises ValueError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{_show(text)} is no time of day, such as 12:30")
    second, fraction = found["second"] or "00", (found["fraction"] or "").rstrip("0").rstrip(".")
    written = (
        f"{int(found['hour']):02}:{found['minute']}" + (f":{second}" if int(second) or fraction else "") + fraction
    )
    if (int(found["hour"]) > 23 or int(found["minute"]) > 59 or int(second) > 59) and written != "24:00":
        raise ValueError(f"{_show(text)} does not exist")
    return written
