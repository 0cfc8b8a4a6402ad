from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgagent_py import comparison, cron
from pgagent_py.comparison import Row
from pgagent_py.definition import Calendar, Document, Holiday, Job, Schedule, ScheduleException, Step

NOON = ScheduleException(None, "12:00")
MIDNIGHT = ScheduleException(None, "00:00")


def differences(
    current: tuple[Job, ...],
    wanted: tuple[Job, ...],
    *,
    prune: bool = False,
) -> list[Row]:
    plan = comparison.compare(Document((), current), Document((), wanted), prune=prune)
    return list(comparison.list_differences(plan))


def calendar_differences(
    current: tuple[Calendar, ...], wanted: tuple[Calendar, ...], *, prune: bool = False
) -> list[Row]:
    plan = comparison.compare(Document(current, ()), Document(wanted, ()), prune=prune)
    return list(comparison.list_differences(plan))


def test_each_changed_attribute_is_a_row() -> None:
    old = Job("job", owner="me", description="a", locks=("x",), id=1)
    new = Job("job", description="b", locks=("x", "y"), job_class="Data Import", enabled=False)
    assert differences((old,), (new,)) == [
        ("alter", "job", "job", "job", "class", "Miscellaneous", "Data Import"),
        ("alter", "job", "job", "job", "description", "a", "b"),
        ("alter", "job", "job", "job", "enabled", "true", "false"),
        ("alter", "job", "job", "job", "locks", '["x"]', '["x", "y"]'),
    ]


def test_an_owner_and_a_start_that_are_left_out_stay() -> None:
    old = Job("job", owner="me", schedules=(Schedule("s", start="2026-01-01T00:00:00+00:00", id=2),), id=1)
    new = Job("job", schedules=(Schedule("s"),))
    assert differences((old,), (new,)) == []
    assert differences((old,), (replace(new, owner="you"),)) == [("alter", "job", "job", "job", "owner", "me", "you")]


def test_order_of_what_is_a_set_does_not_matter() -> None:
    steps = (Step("1", sql="x", retry_sqlstates=("40001", "08*"), id=1),)
    old = Job("job", locks=("a", "b"), steps=steps, schedules=(Schedule("s", exceptions=(NOON, MIDNIGHT), id=1),), id=1)
    new = Job(
        "job",
        locks=("b", "a"),
        steps=(Step("1", sql="x", retry_sqlstates=("08*", "40001")),),
        schedules=(Schedule("s", exceptions=(MIDNIGHT, NOON)),),
    )
    assert differences((old,), (new,)) == []


def test_what_is_new_comes_with_its_parts() -> None:
    job = Job("job", steps=(Step("1", sql="x"),), schedules=(Schedule("s", exceptions=(NOON,)),))
    assert differences((), (job,)) == [
        ("create", "job", "job", "job", None, None, None),
        ("create", "step", "job", "1", None, None, None),
        ("create", "schedule", "job", "s", None, None, None),
        ("create", "exception", "job", "s", None, None, "12:00"),
    ]


def test_unnamed_jobs_stay_unless_pruned() -> None:
    current = (Job("a", id=1, steps=(Step("1", id=1, sql="x"),)), Job("b", id=2))
    assert differences(current, (Job("b"),)) == []
    assert differences(current, (Job("b"),), prune=True) == [("drop", "job", "a", "a", None, None, None)]


def test_a_section_that_is_left_out_prunes_nothing() -> None:
    current = Document((Calendar("c", id=1),), (Job("a", id=1),))
    assert list(comparison.list_differences(comparison.compare(current, Document(), prune=True))) == []


def test_parts_of_a_named_job_become_those_of_the_document() -> None:
    old = Job(
        "job",
        steps=(Step("1", sql="x", id=1), Step("2", sql="x", id=2)),
        schedules=(Schedule("s", exceptions=(NOON,), id=1), Schedule("t", id=2)),
        id=1,
    )
    new = Job(
        "job", steps=(Step("2", batch="x"), Step("3", sql="x")), schedules=(Schedule("s", exceptions=(MIDNIGHT,)),)
    )
    assert differences((old,), (new,)) == [
        ("drop", "step", "job", "1", None, None, None),
        ("drop", "schedule", "job", "t", None, None, None),
        ("alter", "step", "job", "2", "sql", "x", None),
        ("alter", "step", "job", "2", "batch", None, "x"),
        ("create", "step", "job", "3", None, None, None),
        ("drop", "exception", "job", "s", None, "12:00", None),
        ("create", "exception", "job", "s", None, None, "00:00"),
    ]


@pytest.mark.parametrize(
    ("was", "becomes", "rows"),
    [
        ("0 * * * *", "*/5 1 * * *", [("cron", "0 * * * *", "*/5 1 * * *")]),
        ("0 * * * *", None, [("minutes", "[0]", "[]"), ("hours", "[]", str(list(range(24))))]),
    ],
)
def test_times_are_shown_as_crontab_where_it_can_say_them(
    was: str, becomes: str | None, rows: list[tuple[str, str, str]]
) -> None:
    odd = replace(cron.parse("* * * * *"), hours=(True,) * 24)
    old = Schedule("s", times=cron.parse(was))
    new = Schedule("s", times=odd if becomes is None else cron.parse(becomes))
    assert comparison.find_changes(old, new) == rows


def test_equal_names_of_steps_go_by_their_order() -> None:
    old = Job("job", steps=(Step("1", sql="a", id=1), Step("1", sql="b", id=2)), id=1)
    new = Job("job", steps=(Step("1", sql="b"), Step("1", sql="a")))
    assert differences((old,), (new,)) == [
        ("alter", "step", "job", "1", "sql", "a", "b"),
        ("alter", "step", "job", "1", "sql", "b", "a"),
    ]


def test_equal_names_of_jobs_go_by_what_they_say_then_by_owner() -> None:
    current = (
        Job("job", owner="me", priority=1, id=1),
        Job("job", owner="you", priority=2, id=2),
        Job("job", owner="me", priority=3, id=3),
    )
    wanted = (
        Job("job", owner="me", priority=3),
        Job("job", owner="you", priority=4),
        Job("job", owner="me", priority=1),
        Job("job", owner="you"),
    )
    plan = comparison.compare(Document((), current), Document((), wanted), prune=False)
    assert [(old.id, new.priority) for old, new in plan.jobs.altered] == [(2, 4)]
    assert len(plan.jobs.created) == 1


@given(st.permutations([Job("job", priority=priority, schedules=(Schedule("s"),)) for priority in range(5)]))
def test_the_order_of_a_document_does_not_matter(wanted: list[Job]) -> None:
    current = tuple(replace(job, id=number) for number, job in enumerate(sorted(wanted, key=lambda job: job.priority)))
    assert differences(current, tuple(wanted)) == []


def test_holidays_are_known_by_their_date() -> None:
    old = Calendar("c", dates=(Holiday("2026-12-25", "", 1), Holiday("2026-12-26", "x", 2)), id=1)
    new = Calendar("c", description="d", dates=(Holiday("2027-01-01", "y"), Holiday("2026-12-26", "z")))
    assert calendar_differences((old,), (new, Calendar("e", dates=(Holiday("2026-12-25"),)))) == [
        ("create", "calendar", None, "e", None, None, None),
        ("alter", "calendar", None, "c", "description", "", "d"),
        ("drop", "holiday", None, "c", None, "2026-12-25", None),
        ("alter", "holiday", None, "c", "name", "2026-12-26 x", "2026-12-26 z"),
        ("create", "holiday", None, "c", None, None, "2027-01-01 y"),
        ("create", "holiday", None, "e", None, None, "2026-12-25"),
    ]


def test_calendars_that_are_used_or_others_own_are_not_pruned() -> None:
    calendars = (Calendar("used", id=1), Calendar("theirs", id=2, is_own=False), Calendar("mine", id=3))
    job = Job("job", schedules=(Schedule("s", calendar="used"),))
    for wanted in (Document((), (job,)), Document((), None)):
        plan = comparison.compare(Document(calendars, (job,)), wanted, prune=True)
        assert [calendar.name for calendar in plan.calendars.dropped] == ["mine"]


@pytest.mark.parametrize(
    ("connection", "shown"),
    [
        ("host=a password=secret user=b", "host=a password=*** user=b"),
        ("host=a password = 'se cr\\'et' user=b", "host=a password = *** user=b"),
        ("password=se\\ cret", "password=***"),
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=secret&x=y", "postgresql://host/db?user=me&password=***&x=y"),
        ("host=a passfile=/x", "host=a passfile=/x"),
    ],
)
def test_passwords_are_not_shown(connection: str, shown: str) -> None:
    old, new = Step("1", sql="x", connection="host=b"), Step("1", sql="x", connection=connection)
    assert comparison.find_changes(old, new) == [("connection", "host=b", shown)]
    assert comparison.find_changes(new, old) == [("connection", shown, "host=b")]
