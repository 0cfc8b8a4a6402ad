from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgagent_py import cron, definition
from pgagent_py.definition import (
    EVERY_MINUTE,
    Calendar,
    Document,
    Holiday,
    Job,
    Question,
    Refused,
    Schedule,
    ScheduleException,
    Step,
)

HERE = "here"


def believe(question: Question) -> str:
    """A server that takes everything as it is."""
    return question.text


def read(document: object, judge: definition.Judge = believe) -> Document:
    found, problems = definition.read(document, HERE, judge)
    assert list(map(str, problems)) == []
    return found


def problems_of(document: object, judge: definition.Judge = believe) -> list[str]:
    return [str(problem) for problem in definition.read(document, HERE, judge)[1]]


def a_job(**members: Any) -> dict[str, Any]:
    return {"jobs": [{"name": "job", **members}]}


def a_step(**members: Any) -> dict[str, Any]:
    return a_job(steps=[{"name": "01", **members}])


def a_schedule(**members: Any) -> dict[str, Any]:
    return a_job(schedules=[{"name": "schedule", **members}])


def schedule_of(**members: Any) -> Schedule:
    (job,) = read(a_schedule(**members)).jobs or ()
    return job.schedules[0]


def step_of(**members: Any) -> Step:
    (job,) = read(a_step(**members)).jobs or ()
    return job.steps[0]


# ---- What is left out --------------------------------------------------------------------------------------


def test_what_is_left_out_has_its_default() -> None:
    assert read(a_job()).jobs == (Job("job"),)
    assert read({"calendars": [{"name": "c"}]}).calendars == (Calendar("c"),)
    assert step_of(sql="select 1") == Step("01", sql="select 1", database=HERE)
    assert schedule_of(every="5 min") == Schedule("schedule", every="5 min")


def test_a_section_that_is_left_out_is_not_an_empty_one() -> None:
    assert read({}) == Document(None, None)
    assert read({"jobs": [], "calendars": []}) == Document((), ())


def test_null_is_left_out() -> None:
    members = dict.fromkeys(("owner", "class", "description", "timeout", "locks", "steps", "schedules"))
    assert read(a_job(**members)) == read(a_job())
    assert step_of(sql="x", batch=None, retries=None, enabled=None, retry_jitter=None) == step_of(sql="x")


def test_a_step_runs_here_unless_it_says_where() -> None:
    assert step_of(sql="x").database == HERE
    assert step_of(sql="x", database="").database == HERE
    assert step_of(sql="x", database="there").database == "there"
    assert step_of(sql="x", connection="host=there").database == ""
    assert step_of(batch="x").database == ""


def test_export_leaves_out_what_has_its_default() -> None:
    job = Job("job", owner="me", steps=(Step("01", sql="select 1", database=HERE), Step("02", batch="true")))
    job = replace(job, schedules=(Schedule("s", every="00:05:00"), Schedule("t")))
    assert definition.write(Document((), (job,)), HERE) == {
        "version": 1,
        "calendars": [],
        "jobs": [
            {
                "name": "job",
                "owner": "me",
                "steps": [{"name": "01", "sql": "select 1"}, {"name": "02", "batch": "true"}],
                "schedules": [{"name": "s", "every": "00:05:00"}, {"name": "t", "cron": "* * * * *"}],
            }
        ],
    }


# ---- Round trip --------------------------------------------------------------------------------------------


def bits_of(size: int, number: int) -> list[bool]:
    return [number >> position & 1 == 1 for position in range(size)]


TEXTS = st.text('aB1 \n"\\.:\u00df\U0001f642', max_size=5)
OPTIONAL = st.none() | TEXTS.filter(bool)
ARRAYS = st.tuples(
    *(st.integers(0, 2 ** len(words) - 1).map(partial(bits_of, len(words))) for words in definition.WORDS.values())
)
CRONS = st.sampled_from(["* * * * *", "*/15 9-17 * * 1-5", "0 0 1,L * *"]).map(cron.parse)
DATES = st.dates().map(lambda day: day.isoformat()) | st.sampled_from(["infinity", "0044-03-15 BC", "12026-02-28"])
TIMES = st.sampled_from(["00:00", "12:30", "12:30:15", "23:59:59.5", "24:00"])
EXCEPTIONS = st.lists(
    st.builds(ScheduleException, DATES, st.none() | TIMES) | st.builds(ScheduleException, st.none(), TIMES), unique=True
)
STEPS = st.builds(
    Step,
    name=TEXTS,
    sql=TEXTS,
    database=st.sampled_from([HERE, "there"]),
    description=TEXTS,
    enabled=st.booleans(),
    on_error=st.sampled_from(["fail", "succeed", "ignore"]),
    timeout=OPTIONAL,
    retries=st.integers(0, 1000),
    retry_delay=TEXTS.filter(bool),
    retry_factor=st.floats(1, 100),
    retry_jitter=st.floats(0, 1),
    retry_sqlstates=st.none() | st.just(("40001", "08*")),
    id=st.none(),
    path=st.just(""),
) | st.builds(Step, name=TEXTS, batch=TEXTS, id=st.none(), path=st.just(""))
SCHEDULES = st.builds(
    Schedule,
    name=TEXTS,
    times=ARRAYS.map(definition.set_times) | CRONS,
    every=OPTIONAL,
    start=st.none() | st.sampled_from(["2026-01-01T00:00:00+00:00", "infinity", "0044-03-15T00:00:00+00:00 BC"]),
    end=st.none() | st.just("2026-01-01T00:00:00.123456+00:00"),
    timezone=OPTIONAL,
    enabled=st.booleans(),
    description=TEXTS,
    calendar=OPTIONAL,
    exceptions=EXCEPTIONS.map(tuple),
    id=st.none(),
    path=st.just(""),
)
JOBS = st.builds(
    Job,
    name=TEXTS,
    owner=OPTIONAL,
    job_class=TEXTS.filter(bool),
    description=TEXTS,
    host=TEXTS,
    enabled=st.booleans(),
    timeout=OPTIONAL,
    start_deadline=OPTIONAL,
    max_failures=st.none() | st.integers(1, 1000),
    locks=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    priority=st.integers(0, 1000),
    steps=st.lists(STEPS, max_size=2).map(tuple),
    schedules=st.lists(SCHEDULES, max_size=2).map(tuple),
    id=st.none(),
    path=st.just(""),
    is_own=st.just(True),
)
HOLIDAYS = st.lists(st.builds(Holiday, DATES, TEXTS, st.none()), unique_by=lambda day: day.date).map(tuple)
CALENDARS = st.builds(Calendar, TEXTS, TEXTS, OPTIONAL, HOLIDAYS, id=st.none(), path=st.just(""), is_own=st.just(True))
DOCUMENTS = st.builds(
    Document,
    st.lists(CALENDARS, max_size=2, unique_by=lambda calendar: calendar.name).map(tuple),
    st.lists(JOBS, max_size=2).map(tuple),
)


@settings(max_examples=50)
@given(DOCUMENTS)
def test_what_is_written_is_read(document: Document) -> None:
    text = json.dumps(definition.write(document, HERE))
    assert read(json.loads(text)) == document


@given(ARRAYS)
def test_any_arrays_are_written(arrays: Sequence[Sequence[bool]]) -> None:
    times = definition.set_times(arrays)
    written = definition.write_times(times)
    assert schedule_of(every="1 h", **written).times == times


def test_arrays_that_crontab_cannot_say_are_lists() -> None:
    times = replace(cron.parse("0 0 * * 1"), monthdays=cron.parse("0 0 1,L * *").monthdays)
    assert definition.write_times(times) == {
        "minutes": [0],
        "hours": [0],
        "weekdays": ["mon"],
        "monthdays": [1, "last"],
    }
    all_hours = replace(EVERY_MINUTE, hours=(True,) * 24)
    assert definition.write_times(all_hours) == {"hours": list(range(24))}


def test_missing_elements_are_false() -> None:
    assert definition.set_times([(), (None, True), (), (), ()]) == replace(
        EVERY_MINUTE, hours=(False, True) + (False,) * 22
    )


# ---- Places ------------------------------------------------------------------------------------------------


def test_every_thing_knows_its_place() -> None:
    document = read(
        {"calendars": [{"name": "c"}], "jobs": [{"name": "a"}, {"name": "b", "steps": [], "schedules": []}]}
    )
    assert [calendar.path for calendar in document.calendars or ()] == ["calendars[0]"]
    assert [job.path for job in document.jobs or ()] == ["jobs[0]", "jobs[1]"]
    assert step_of(sql="x").path == "jobs[0].steps[0]"
    assert schedule_of(cron="@daily").path == "jobs[0].schedules[0]"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "at document: must be an object, not a list"),
        (None, "at document: must be an object, not null"),
        ({"version": 2}, "at version: version 2 is unknown"),
        ({"version": "1"}, "at version: must be a whole number, not a string"),
        ({"jobz": []}, 'at jobz: unknown key "jobz", do you mean "jobs"?'),
        ({"a.b\n": 1}, r'at ["a.b\n"]: unknown key "a.b\n"'),
        ({"jobs": {}}, "at jobs: must be a list, not an object"),
        ({"jobs": [7]}, "at jobs[0]: must be an object, not a whole number"),
        ({"jobs": [{}]}, 'at jobs[0]: "name" is missing'),
        ({"jobs": [{"name": 7}]}, "at jobs[0].name: must be a string, not a whole number"),
        (a_job(nam="x"), 'at jobs[0].nam: unknown key "nam", do you mean "name"?'),
        (a_job(enabled="yes"), "at jobs[0].enabled: must be true or false, not a string"),
        (a_job(enabled=1), "at jobs[0].enabled: must be true or false, not a whole number"),
        (a_job(priority=True), "at jobs[0].priority: must be a whole number, not true or false"),
        (a_job(priority=1.5), "at jobs[0].priority: must be a whole number"),
        (a_job(priority=1001), "at jobs[0].priority: must be between 0 and 1000"),
        (a_job(max_failures=0), "at jobs[0].max_failures: must be between 1 and 1000"),
        (a_job(timeout=60), "at jobs[0].timeout: must be a string, not a whole number"),
        (a_job(locks="disk"), "at jobs[0].locks: must be a list, not a string"),
        (a_job(locks=["disk", None]), "at jobs[0].locks[1]: must be a string, not null"),
        (a_step(), 'at jobs[0].steps[0]: "sql" or "batch" is missing'),
        (a_step(sql="x", batch="y"), "at jobs[0].steps[0].batch: a step has sql or batch, not both"),
        (a_step(sql=["x"]), "at jobs[0].steps[0].sql: must be a string, not a list"),
        (a_step(sqll="x", sql="y"), 'at jobs[0].steps[0].sqll: unknown key "sqll", do you mean "sql"?'),
        (
            a_step(sql="x", database="d", connection="c"),
            "at jobs[0].steps[0].connection: a step has a database or a connection, not both",
        ),
        (
            a_step(batch="x", database="d"),
            "at jobs[0].steps[0].database: a batch step has no database and no connection",
        ),
        (a_step(sql="x", database="d" * 64), "at jobs[0].steps[0].database: must not be longer than 63 bytes"),
        (a_step(sql="x", on_error="f"), 'at jobs[0].steps[0].on_error: "f" is none of fail, succeed, ignore'),
        (a_step(sql="x", retry_factor=0.5), "at jobs[0].steps[0].retry_factor: must be between 1 and 100"),
        (a_step(sql="x", retry_jitter="1"), "at jobs[0].steps[0].retry_jitter: must be a number, not a string"),
        (
            a_step(sql="x", retry_sqlstates=[]),
            "at jobs[0].steps[0].retry_sqlstates: is empty: leave it out to retry after every failure",
        ),
        (
            a_step(sql="x", retry_sqlstates=["40001", "4000"]),
            'at jobs[0].steps[0].retry_sqlstates[1]: "4000" is no SQLSTATE, such as 40001, and no class, such as 08*',
        ),
        (a_schedule(), 'at jobs[0].schedules[0]: "cron" is missing'),
        (
            a_schedule(cron="61 * * * *"),
            "at jobs[0].schedules[0].cron: minute 61 is out of range (at character 1 of the text)",
        ),
        (
            a_schedule(cron="* * * * *", hours=[1]),
            "at jobs[0].schedules[0].hours: a schedule has cron or hours, not both",
        ),
        (a_schedule(hours=[24]), "at jobs[0].schedules[0].hours[0]: 24 is none of 0 to 23"),
        (a_schedule(hours=[True]), "at jobs[0].schedules[0].hours[0]: true is none of 0 to 23"),
        (a_schedule(hours=[{}]), "at jobs[0].schedules[0].hours[0]: {} is none of 0 to 23"),
        (
            a_schedule(weekdays=["monday"]),
            'at jobs[0].schedules[0].weekdays[0]: "monday" is none of sun, mon, tue, wed, thu, fri, sat',
        ),
        (a_schedule(monthdays=["l"]), 'at jobs[0].schedules[0].monthdays[0]: "l" is none of 1 to 31, last'),
        (a_schedule(cron="@daily", start="soon"), 'at jobs[0].schedules[0].start: "soon" is no date and time'),
        (
            a_schedule(cron="@daily", exceptions=[1]),
            "at jobs[0].schedules[0].exceptions[0]: must be a string, not a whole number",
        ),
        (
            a_schedule(cron="@daily", exceptions=["12:00", "12:00:00"]),
            "at jobs[0].schedules[0].exceptions[1]: 12:00 is there a second time",
        ),
        (
            {"calendars": [{"name": "c", "dates": ["2026-12-25", "2026-12-25"]}]},
            "at calendars[0].dates[1]: 2026-12-25 is there a second time",
        ),
        (
            {"calendars": [{"name": "c", "dates": ["x", {"date": "y"}]}]},
            'at calendars[0].dates[0]: "x" is no date, such as 2026-12-31',
        ),
        ({"calendars": [{"name": "c", "dates": [{}]}]}, 'at calendars[0].dates[0]: "date" is missing'),
        ({"calendars": [{"name": "c"}, {"name": "c"}]}, 'at calendars[1].name: a second calendar "c"'),
    ],
)
def test_problem_says_where(document: object, problem: str) -> None:
    assert problem in problems_of(document)


def test_all_problems_are_found_at_once() -> None:
    found = problems_of({"version": 2, "jobs": [{"nme": "x"}, {"name": "y", "steps": [{"name": "1", "sql": 1}]}]})
    assert [line.partition(":")[0] for line in found] == [
        "at version",
        "at jobs[0].nme",
        "at jobs[0]",
        "at jobs[1].steps[0].sql",
    ]


def test_a_date_is_wrong_once() -> None:
    for date, problem in {5: "must be an object, not a whole number", "": '"" is no date, such as 2026-12-31'}.items():
        document = {"calendars": [{"name": "c", "dates": [date]}]}
        assert problems_of(document) == [f"at calendars[0].dates[0]: {problem}"]
    document = {"calendars": [{"name": "c", "dates": [{"date": 5}, {"name": "x"}]}]}
    assert problems_of(document) == [
        "at calendars[0].dates[0].date: must be a string, not a whole number",
        'at calendars[0].dates[1]: "date" is missing',
    ]


def test_a_problem_is_one_line() -> None:
    assert str(definition.Problem("jobs[0]", "it is\nwrong")) == "at jobs[0]: it is wrong"
    assert all("\n" not in line for line in problems_of(a_job(**{"a\nb": 1}, locks=["x\n", 3])))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["jobs", "calendars", "name", "steps", "schedules", "sql", "dates", "date", "cron"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_document_is_read_or_refused(document: object) -> None:
    found, problems = definition.read(document, HERE, believe)
    assert problems or definition.read(definition.write(found, HERE), HERE, believe)[0].jobs == (found.jobs or ())


# ---- What the server judges --------------------------------------------------------------------------------


def test_the_server_spells_what_it_judges() -> None:
    asked: list[Question] = []

    def judge(question: Question) -> str:
        asked.append(question)
        return f"<{question.text}>"

    document = a_schedule(cron="@daily", start="2026-01-01", end="2026-01-01 12:00Z", timezone="mars", calendar="c")
    document["jobs"][0].update(owner="me", timeout="1 h", start_deadline="1 day")
    (job,) = read(document, judge).jobs or ()
    assert asked == [
        Question("role", "me"),
        Question("class", "Miscellaneous"),
        Question("timeout", "1 h"),
        Question("start_deadline", "1 day"),
        Question("zone", "mars"),
        Question("local instant", "2026-01-01", "<mars>"),
        Question("instant", "2026-01-01 12:00Z"),
        Question("calendar", "c"),
    ]
    assert (job.owner, job.timeout, job.start_deadline) == ("<me>", "<1 h>", "<1 day>")
    assert job.schedules[0].start == "<2026-01-01>"


def test_a_calendar_of_the_document_is_known() -> None:
    def judge(question: Question) -> str:
        if question.kind == "calendar":
            raise Refused("unknown")
        return question.text

    document = a_schedule(cron="@daily", calendar="c")
    assert problems_of(document, judge) == ["at jobs[0].schedules[0].calendar: unknown"]
    assert problems_of({**document, "calendars": [{"name": "c"}]}, judge) == []


def test_what_the_server_refuses_is_a_problem() -> None:
    def judge(question: Question) -> str:
        raise Refused(f"not {question.text}")

    document = a_step(sql="x", timeout="a", retry_delay="b", retry_max_delay="c")
    assert problems_of(document, judge) == [
        "at jobs[0]: not Miscellaneous",
        "at jobs[0].steps[0].timeout: not a",
        "at jobs[0].steps[0].retry_delay: not b",
        "at jobs[0].steps[0].retry_max_delay: not c",
    ]


# ---- Dates and times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "day", "time"),
    [
        ("2026-12-24", "2026-12-24", None),
        ("12:00", None, "12:00"),
        ("9:05", None, "09:05"),
        ("12:00:00", None, "12:00"),
        ("12:00:00.000", None, "12:00"),
        ("12:00:00.120", None, "12:00:00.12"),
        ("24:00", None, "24:00"),
        ("2026-12-31 12:00", "2026-12-31", "12:00"),
        ("0044-03-15 BC", "0044-03-15 BC", None),
        ("0044-03-15 BC 12:00:30", "0044-03-15 BC", "12:00:30"),
        ("infinity", "infinity", None),
        ("-infinity 00:00", "-infinity", "00:00"),
        ("2024-02-29", "2024-02-29", None),
        ("0001-02-29 BC", "0001-02-29 BC", None),
        ("5874897-12-31", "5874897-12-31", None),
    ],
)
def test_exception_is_read(text: str, day: str | None, time: str | None) -> None:
    assert definition.read_exception(text) == ScheduleException(day, time)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "x", "2026-02-29", "2026-13-01", "2026-00-01", "26-01-01", "0000-01-01", "5874898-01-01",
        "4714-01-01 BC", "24:00:01", "25:00", "12:60", "12:00:60", "12", "12:0", "12:00 2026-12-31",
        "2026-12-31  12:00", "2026-12-31T12:00", "\u0661\u0662:00", "24.12.2026", "2026-12-31\n",
    ],
)  # fmt: skip
def test_no_exception(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no |does not exist"):
        definition.read_exception(text)
