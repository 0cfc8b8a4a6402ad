"""Jobs as documents: what is exported, what applying a document does, to whom it is allowed, what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import add_exception, add_job, add_schedule, make_due, run_due, runs, sql_step, value
from harness.people import People
from pgagent_py import definition

Session = Connection[TupleRow]
Row = tuple[Any, ...]

pytestmark = pytest.mark.shared_database

ROOT = Path(__file__).resolve().parents[2]

INVALID = "22023"
DENIED = "42501"

FULL: dict[str, Any] = {
    "version": 1,
    "calendars": [
        {
            "name": "German holidays",
            "description": "of all states",
            "owner": "postgres",
            "dates": ["2026-12-25", {"date": "2026-12-26", "name": "Boxing Day"}],
        }
    ],
    "jobs": [
        {
            "name": "nightly vacuum",
            "owner": "postgres",
            "class": "Routine Maintenance",
            "description": "keeps tables small",
            "host": "db1",
            "enabled": False,
            "timeout": "01:00:00",
            "start_deadline": "1 day",
            "max_failures": 3,
            "locks": ["disk"],
            "priority": 7,
            "steps": [
                {
                    "name": "01",
                    "sql": "vacuum analyze",
                    "database": "elsewhere",
                    "description": "all tables",
                    "enabled": False,
                    "on_error": "ignore",
                    "timeout": "00:30:00",
                    "retries": 2,
                    "retry_delay": "00:00:05",
                    "retry_factor": 1.5,
                    "retry_max_delay": "00:01:00",
                    "retry_jitter": 0,
                    "retry_sqlstates": ["40001", "08*"],
                },
                {"name": "02", "batch": "#!/bin/sh\ntrue"},
                {"name": "03", "sql": "select 1", "connection": "host=there dbname=x"},
            ],
            "schedules": [
                {
                    "name": "both kinds of days",
                    "minutes": [30],
                    "hours": [2],
                    "weekdays": ["mon"],
                    "monthdays": [1, "last"],
                    "start": "2026-01-01T00:00:00+00:00",
                },
                {
                    "name": "weekdays",
                    "cron": "30 2 * * 1-5",
                    "every": "00:05:00",
                    "start": "2026-01-01T00:00:00+00:00",
                    "end": "2027-01-01T00:00:00.5+00:00",
                    "timezone": "Europe/Berlin",
                    "enabled": False,
                    "description": "not at the weekend",
                    "calendar": "German holidays",
                    "exceptions": ["2026-12-24", "2026-12-31 12:00", "12:00"],
                },
            ],
        }
    ],
}


def export(conn: Session, *names: str) -> Any:
    return value(conn, "select pgagent.export_jobs(%s)", list(names) or None)


def apply(conn: Session, document: object, **flags: bool) -> list[Row]:
    named = "".join(f", {name} => {flag}" for name, flag in flags.items())
    return conn.execute(f"select * from pgagent.apply_jobs(%s{named})", (json.dumps(document),)).fetchall()


def refusal(conn: Session, statement: str, *parameters: object) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        conn.execute(statement, parameters)
    return caught.value


def refused(conn: Session, document: object) -> psycopg.Error:
    return refusal(conn, "select * from pgagent.apply_jobs(%s)", json.dumps(document))


def a_job(name: str = "job", **members: Any) -> dict[str, Any]:
    return {"jobs": [{"name": name, **members}]}


def ids(conn: Session) -> list[Row]:
    """All rows of definitions: their ids and names."""
    return conn.execute(
        "select 'job', jobid, jobname from pgagent.pga_job"
        " union all select 'step', jstid, jstname from pgagent.pga_jobstep"
        " union all select 'schedule', jscid, jscname from pgagent.pga_schedule"
        " union all select 'exception', jexid, '' from pgagent.pga_exception order by 1, 2"
    ).fetchall()


# ---- There and back ----------------------------------------------------------------------------------------


def test_a_document_comes_back_as_it_was(connection: Session) -> None:
    apply(connection, FULL)
    assert export(connection) == FULL
    assert apply(connection, export(connection), prune=True) == []


def test_the_document_of_the_documentation(connection: Session) -> None:
    text = (ROOT / "docs" / "jobs-as-files.md").read_text()
    (document,) = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert len(apply(connection, document)) == 10
    assert apply(connection, document) == []
    kinds: tuple[Any, ...] = (definition.Calendar, definition.Job, definition.Step, definition.Schedule)
    keys = {definition.key_of(attribute.name) for kind in kinds for attribute in fields(kind) if attribute.compare}
    assert {key for key in keys - {"name", "times", "steps", "schedules"} if f"`{key}`" not in text} == set()


def test_what_has_its_default_is_left_out(connection: Session) -> None:
    jobid = add_job(connection, "job", sql_step("select 1", name="01"), klass=5)
    connection.execute("update pgagent.pga_job set jobnextrun = null")
    add_schedule(connection, jobid, name="daily", hours=[3], minutes=[0])
    assert export(connection) == {
        "version": 1,
        "calendars": [],
        "jobs": [
            {
                "name": "job",
                "owner": "postgres",
                "steps": [{"name": "01", "sql": "select 1"}],
                "schedules": [{"name": "daily", "cron": "0 3 * * *", "start": "2020-01-01T00:00:00+00:00"}],
            }
        ],
    }


def test_what_is_left_out_has_the_default_of_the_tables(connection: Session) -> None:
    """A new row differs in nothing from one for which a client gives what it must."""
    apply(connection, a_job(steps=[{"name": "s", "sql": "x"}], schedules=[{"name": "s", "cron": "* * * * *"}]))
    jobid = add_job(connection, "job", klass=5)
    connection.execute(
        "insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)"
        " values (%s, 's', 's', 'x', current_database())",
        (jobid,),
    )
    connection.execute("insert into pgagent.pga_schedule (jscjobid, jscname) values (%s, 's')", (jobid,))
    for table, state in {
        "pga_job": "'{jobid, jobcreated, jobchanged, jobnextrun}'",
        "pga_jobstep": "'{jstid, jstjobid}'",
        "pga_schedule": "'{jscid, jscjobid, jscstart}'",
    }.items():
        found = connection.execute(f"select to_jsonb(t) - {state}::text[] from pgagent.{table} t").fetchall()
        assert len(found) == 2
        assert found[0] == found[1], table
    assert value(connection, "select bool_and(jscstart > now() - interval '1 min') from pgagent.pga_schedule")


def test_the_settings_of_a_session_do_not_matter(connection: Session) -> None:
    apply(connection, FULL)
    connection.execute("set timezone = 'Asia/Tokyo'")
    connection.execute("set datestyle = 'German'")
    connection.execute("set intervalstyle = 'iso_8601'")
    assert export(connection) == FULL
    assert apply(connection, FULL) == []


def test_instants_without_an_offset_are_in_the_zone_of_the_schedule(connection: Session) -> None:
    connection.execute("update pgagent.settings set timezone = 'Asia/Tokyo'")
    schedules = [
        {"name": "1", "cron": "@daily", "start": "2026-01-01", "timezone": "europe/berlin"},
        {"name": "2", "cron": "@daily", "start": "2026-01-01 00:00"},
        {"name": "3", "cron": "@daily", "start": "2026-01-01T00:00:00Z", "end": "infinity"},
    ]
    try:
        apply(connection, a_job(schedules=schedules))
        (job,) = export(connection)["jobs"]
    finally:
        connection.execute("update pgagent.settings set timezone = default")
    assert [schedule["start"] for schedule in job["schedules"]] == [
        "2025-12-31T23:00:00+00:00",
        "2025-12-31T15:00:00+00:00",
        "2026-01-01T00:00:00+00:00",
    ]
    assert (job["schedules"][0]["timezone"], job["schedules"][2]["end"]) == ("Europe/Berlin", "infinity")


def test_jobs_are_chosen_by_name(connection: Session) -> None:
    apply(connection, {**FULL, "calendars": [*FULL["calendars"], {"name": "unused"}]})
    add_job(connection, "b")
    add_job(connection, "b")
    assert export(connection, "nightly vacuum") == FULL
    found = export(connection, "b")
    assert [job["name"] for job in found["jobs"]] == ["b", "b"]
    assert found["calendars"] == []
    error = refusal(connection, "select pgagent.export_jobs('{b, nothing}')")
    assert error.sqlstate == "42704"
    assert 'job "nothing" does not exist' in (error.diag.message_primary or "")
    assert error.diag.message_hint
    assert refusal(connection, "select pgagent.export_jobs('{b, null}')").sqlstate == "22004"
    assert value(connection, "select pgagent.export_jobs('{}')") == {"version": 1, "jobs": [], "calendars": []}


def test_what_means_nothing_is_no_part_of_a_document(connection: Session) -> None:
    """An exception with neither date nor time, NULL in arrays."""
    jscid = add_schedule(connection, add_job(connection, "job"), hours=[3], minutes=[0])
    add_exception(connection, jscid)
    connection.execute("update pgagent.pga_schedule set jschours[1] = null")
    connection.execute("update pgagent.pga_job set joblocks = '{a, null}'")
    document = export(connection)
    assert document["jobs"][0]["locks"] == ["a"]
    assert "exceptions" not in document["jobs"][0]["schedules"][0]
    assert apply(connection, document) == []
    assert value(connection, "select count(*) from pgagent.pga_exception") == 1


# ---- 500 generated jobs --------------------------------------------------------------------------------------

EXAMPLES, JOBS_EACH = 25, 20

FILL = """
    set session_replication_role = replica;
    insert into pgagent.pga_calendar select (jsonb_populate_record(null::pgagent.pga_calendar, r)).*
      from jsonb_array_elements(%(pga_calendar)s) r;
    insert into pgagent.pga_holiday select (jsonb_populate_record(null::pgagent.pga_holiday, r)).*
      from jsonb_array_elements(%(pga_holiday)s) r;
    insert into pgagent.pga_job select (jsonb_populate_record(null::pgagent.pga_job, r)).*
      from jsonb_array_elements(%(pga_job)s) r;
    insert into pgagent.pga_jobstep select (jsonb_populate_record(null::pgagent.pga_jobstep, r)).*
      from jsonb_array_elements(%(pga_jobstep)s) r;
    insert into pgagent.pga_schedule select (jsonb_populate_record(null::pgagent.pga_schedule, r)).*
      from jsonb_array_elements(%(pga_schedule)s) r;
    insert into pgagent.pga_exception select (jsonb_populate_record(null::pgagent.pga_exception, r)).*
      from jsonb_array_elements(%(pga_exception)s) r;
    set session_replication_role = origin
"""
# Every column but ids and what the engine keeps; steps in the order in which they run, the rest sorted.
TABLES = """
    select to_jsonb(j) - '{jobid, jobjclid, jobcreated, jobchanged, jobnextrun, joblastrun, jobrequested}'::text[],
           c.jclname,
           array(select to_jsonb(s) - '{jstid, jstjobid}'::text[] from pgagent.pga_jobstep s where s.jstjobid = j.jobid
                  order by s.jstname, s.jstid),
           array(select to_jsonb(s) - '{jscid, jscjobid, jsccalendar}'::text[]
                        || jsonb_build_object(
                               'calendar', (select to_jsonb(c) - 'calid' from pgagent.pga_calendar c
                                             where c.calid = s.jsccalendar),
                               'holidays', array(select array[h.holdate::text, h.holname] from pgagent.pga_holiday h
                                                  where h.holcalid = s.jsccalendar order by 1),
                               'exceptions', array(select array[x.jexdate::text, x.jextime::text]
                                                     from pgagent.pga_exception x where x.jexscid = s.jscid order by 1))
                   from pgagent.pga_schedule s where s.jscjobid = j.jobid order by 1)
      from pgagent.pga_job j
      join pgagent.pga_jobclass c on c.jclid = j.jobjclid
     order by 1, 2, 3, 4
"""

NAMES = st.sampled_from(
    ["", "a", "a", "b", "Nightly vacuum", "\u00fcber \U0001f642", "x.y[0]", 'it\'s "quoted"\n', "c" * 70]
)
TEXTS = st.sampled_from(["", "select 1", "\\", "#!/bin/sh\necho $1 && exit 1\n", "\u00e9\t'$$"])
DURATIONS = st.none() | st.sampled_from(
    ["00:00:01", "1 day", "24:00:00", "1 mon 2 days 00:00:00.5", "100 days", "90 min"]
)
INSTANTS = st.sampled_from(
    ["2020-01-01 00:00+00", "2026-03-29 02:30:15.123456+02", "infinity", "-infinity", "0044-03-15 12:00+00 BC"]
)
DATES = st.none() | st.sampled_from(
    ["2026-12-24", "2028-02-29", "infinity", "-infinity", "0044-03-15 BC", "12026-01-01"]
)
TIMES = st.sampled_from(["12:00", "00:00", "24:00", "23:59:59.999999", "08:15:30"])


def array_of(size: int) -> st.SearchStrategy[list[bool]]:
    """None, one, some or all."""
    some = st.integers(0, 2**size - 1).map(lambda bits: [bits >> i & 1 == 1 for i in range(size)])
    one = st.integers(0, size - 1).map(lambda chosen: [i == chosen for i in range(size)])
    return st.just([False] * size) | st.just([False] * size) | one | some | st.just([True] * size)


KINDS = st.sampled_from(
    [
        {"jstkind": "b", "jstconnstr": "", "jstdbname": ""},
        {"jstkind": "s", "jstconnstr": "", "jstdbname": "HERE"},
        {"jstkind": "s", "jstconnstr": "", "jstdbname": "else where"},
        {"jstkind": "s", "jstconnstr": "host=x password='a b'", "jstdbname": ""},
    ]
)
RETRY_COLUMNS = (
    "jstretries", "jstretrydelay", "jstretryfactor", "jstretrymaxdelay", "jstretryjitter", "jstretrysqlstates",
)  # fmt: skip
RETRIES = st.sampled_from(
    [
        (0, "00:00:01", 2, "00:05:00", 0.1, None),
        (1, "0 s", 1, "00:05:00", 0, ["40001"]),
        (1000, "30 days", 100, "1 day", 1, ["08*", "40P01", "08*"]),
        (3, "0.25 s", 1.0000000000000002, "0 s", 1 / 3, None),
    ]
)
STEPS = st.fixed_dictionaries(
    {
        "jstname": NAMES,
        "jstdesc": TEXTS,
        "jstenabled": st.booleans(),
        "jstcode": TEXTS,
        "jstonerror": st.sampled_from("fsi"),
        "jsttimeout": DURATIONS,
        "kind": KINDS,
        "retries": RETRIES,
    }
)
SCHEDULES = st.fixed_dictionaries(
    {
        "jscname": NAMES,
        "jscdesc": TEXTS,
        "jscenabled": st.booleans(),
        "jscstart": INSTANTS,
        "jscend": st.none() | INSTANTS,
        "jscminutes": array_of(60),
        "jschours": array_of(24),
        "jscweekdays": array_of(7),
        "jscmonthdays": array_of(32),
        "jscmonths": array_of(12),
        "jsctimezone": st.sampled_from([None, "UTC", "Europe/Berlin", "<+05>-5"]),
        "jscinterval": st.sampled_from([None, "1 s", "36500 days", "2 days 03:04:05"]),
        "jsccalendar": st.sampled_from([None, 1, 2]),
        "exceptions": st.lists(
            st.tuples(DATES, st.none() | TIMES).filter(lambda pair: pair != (None, None)), max_size=3, unique=True
        ),
    }
)
JOBS = st.fixed_dictionaries(
    {
        "jobname": NAMES,
        "jobdesc": TEXTS,
        "jobhostagent": st.sampled_from(["", "db1"]),
        "jobenabled": st.booleans(),
        "jobjclid": st.integers(1, 5),
        "jobtimeout": DURATIONS,
        "jobstartdeadline": DURATIONS,
        "jobmaxfailures": st.sampled_from([None, 1, 1000]),
        "joblocks": st.sampled_from([None, [], ["disk"], ["b", "a", "b", ""]]),
        "jobpriority": st.sampled_from([0, 0, 1, 1000]),
        "jobowner": st.sampled_from(["postgres", "owner_of_files"]),
        "steps": st.lists(STEPS, max_size=3),
        "schedules": st.lists(SCHEDULES, max_size=2),
    }
)
CALENDARS = [
    {"calid": 1, "calname": "German holidays", "caldesc": "x", "calowner": "postgres"},
    {"calid": 2, "calname": "empty", "caldesc": "", "calowner": "owner_of_files"},
]
HOLIDAYS = [
    {"holid": 1, "holcalid": 1, "holdate": "2026-12-25", "holname": ""},
    {"holid": 2, "holcalid": 1, "holdate": "9999-12-31", "holname": "the last day"},
]


def rows_of(jobs: list[dict[str, Any]], database: str) -> dict[str, str]:
    """The rows of each table for generated jobs, as JSON."""
    tables: dict[str, list[dict[str, Any]]] = {
        "pga_calendar": CALENDARS, "pga_holiday": HOLIDAYS,
        "pga_job": [], "pga_jobstep": [], "pga_schedule": [], "pga_exception": [],
    }  # fmt: skip

    def add(table: str, key: str, row: dict[str, Any]) -> int:
        tables[table].append({**row, key: len(tables[table]) + 1})
        return len(tables[table])

    for job in jobs:
        state = {"jobcreated": "2020-01-01", "jobchanged": "2020-01-01", "jobfailures": 0}
        jobid = add("pga_job", "jobid", {**job, **state})
        for step in job["steps"]:
            row = {**step, **step["kind"], **dict(zip(RETRY_COLUMNS, step["retries"], strict=True))}
            dbname = row["jstdbname"].replace("HERE", database)
            add("pga_jobstep", "jstid", {**row, "jstjobid": jobid, "jstdbname": dbname})
        for schedule in job["schedules"]:
            jscid = add("pga_schedule", "jscid", {**schedule, "jscjobid": jobid})
            for day, time in schedule["exceptions"]:
                add("pga_exception", "jexid", {"jexscid": jscid, "jexdate": day, "jextime": time})
    return {table: json.dumps(rows) for table, rows in tables.items()}


def shuffled(document: dict[str, Any], order: Callable[[list[Any]], list[Any]]) -> dict[str, Any]:
    """The same definitions in another order. Steps of one name run in the order in which they stand."""
    jobs = []
    for job in order(document["jobs"]):
        steps, names = job.get("steps", []), {step["name"] for step in job.get("steps", [])}
        schedules = [
            {**schedule, "exceptions": order(schedule.get("exceptions", []))} for schedule in job.get("schedules", [])
        ]
        steps = order(steps) if len(names) == len(steps) else steps
        jobs.append({**job, "steps": steps, "schedules": order(schedules), "locks": job.get("locks")})
    return {**document, "jobs": jobs, "calendars": order(document["calendars"])}


@pytest.fixture
def other_owner(connection: Session) -> Any:
    connection.execute("create role owner_of_files; grant pg_execute_server_program to owner_of_files")
    yield
    connection.execute("delete from pgagent.pga_job; delete from pgagent.pga_calendar; drop role owner_of_files")


@pytest.mark.usefixtures("other_owner")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large,
                           HealthCheck.large_base_example],
)  # fmt: skip
@given(st.lists(JOBS, min_size=JOBS_EACH, max_size=JOBS_EACH), st.randoms(use_true_random=False))
def test_there_and_back(connection: Session, jobs: list[dict[str, Any]], random: Any) -> None:
    connection.execute("delete from pgagent.pga_job; delete from pgagent.pga_calendar; set client_min_messages = error")
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(FILL, rows_of(jobs, connection.info.dbname))
    before = connection.execute(TABLES).fetchall()
    assert len(before) == JOBS_EACH

    document = export(connection)
    assert apply(connection, shuffled(document, lambda things: random.sample(things, len(things))), prune=True) == []

    connection.execute("delete from pgagent.pga_job; delete from pgagent.pga_calendar")
    created = apply(connection, document)
    assert {action for action, *_ in created} == {"create"}
    assert connection.execute(TABLES).fetchall() == before
    assert export(connection) == document
    assert apply(connection, document, prune=True) == []


# ---- What applying does --------------------------------------------------------------------------------------


def test_ids_and_history_stay(connection: Session) -> None:
    document = a_job(
        steps=[{"name": "1", "sql": "select 1"}, {"name": "2", "sql": "select 2"}],
        schedules=[{"name": "s", "cron": "@daily", "exceptions": ["12:00"]}],
    )
    apply(connection, document)
    jobid = value(connection, "select jobid from pgagent.pga_job")
    make_due(connection, jobid)
    run_due(connection)
    before, start = ids(connection), value(connection, "select jscstart from pgagent.pga_schedule")
    (job,) = document["jobs"]
    job["description"] = "new"
    job["steps"][1]["sql"] = "select 3"
    job["schedules"][0].update(cron="@hourly", enabled=False)
    assert apply(connection, document) == [
        ("alter", "job", "job", "job", "description", "", "new"),
        ("alter", "step", "job", "2", "sql", "select 2", "select 3"),
        ("alter", "schedule", "job", "s", "cron", "0 0 * * *", "0 * * * *"),
        ("alter", "schedule", "job", "s", "enabled", "true", "false"),
    ]
    assert ids(connection) == before
    assert value(connection, "select jscstart from pgagent.pga_schedule") == start
    assert [run.status for run in runs(connection, jobid)] == ["s"]
    assert apply(connection, document) == []


def test_parts_become_those_of_the_document(connection: Session) -> None:
    apply(connection, FULL)
    (job,) = FULL["jobs"]
    changed = {
        **job,
        "steps": [{"name": "02", "sql": "select 2"}, {"name": "04", "batch": "true"}],
        "schedules": [{"name": "weekdays", "cron": "@daily", "exceptions": ["12:00", "2026-12-23"]}],
    }
    found = apply(connection, {"jobs": [changed]})
    assert {row[2] for row in found} == {"nightly vacuum"}
    assert [(*row[:2], *row[3:]) for row in found] == [
        ("drop", "step", "01", None, None, None),
        ("drop", "step", "03", None, None, None),
        ("drop", "schedule", "both kinds of days", None, None, None),
        ("alter", "step", "02", "sql", None, "select 2"),
        ("alter", "step", "02", "batch", "#!/bin/sh\ntrue", None),
        ("alter", "step", "02", "database", "", connection.info.dbname),
        ("create", "step", "04", None, None, None),
        ("alter", "schedule", "weekdays", "cron", "30 2 * * 1-5", "0 0 * * *"),
        ("alter", "schedule", "weekdays", "every", "00:05:00", None),
        ("alter", "schedule", "weekdays", "end", "2027-01-01T00:00:00.5+00:00", None),
        ("alter", "schedule", "weekdays", "timezone", "Europe/Berlin", None),
        ("alter", "schedule", "weekdays", "enabled", "false", "true"),
        ("alter", "schedule", "weekdays", "description", "not at the weekend", ""),
        ("alter", "schedule", "weekdays", "calendar", "German holidays", None),
        ("drop", "exception", "weekdays", None, "2026-12-24", None),
        ("drop", "exception", "weekdays", None, "2026-12-31 12:00", None),
        ("create", "exception", "weekdays", None, None, "2026-12-23"),
    ]  # fmt: skip
    assert apply(connection, {"jobs": [changed]}) == []
    assert export(connection)["calendars"] == FULL["calendars"]


def test_next_runs_are_computed(connection: Session) -> None:
    apply(connection, a_job(schedules=[{"name": "s", "cron": "@daily"}]))
    first = value(connection, "select jobnextrun from pgagent.pga_job")
    assert (first.hour, first.minute) == (0, 0)
    apply(connection, a_job(schedules=[{"name": "s", "cron": "30 12 * * *"}]))
    second = value(connection, "select jobnextrun from pgagent.pga_job")
    assert (second.hour, second.minute) == (12, 30)
    apply(connection, a_job(enabled=False, schedules=[{"name": "s", "cron": "30 12 * * *"}]))
    assert value(connection, "select jobnextrun from pgagent.pga_job") is None


def test_jobs_of_one_name(connection: Session) -> None:
    document = {"jobs": [{"name": "a", "priority": 1}, {"name": "a", "priority": 2}, {"name": "a", "priority": 3}]}
    apply(connection, document)
    before = ids(connection)
    document["jobs"].reverse()
    assert apply(connection, document) == []
    document["jobs"].pop(1)
    assert apply(connection, document) == []
    assert apply(connection, document, prune=True) == [("drop", "job", "a", "a", None, None, None)]
    assert [jobid for _, jobid, _ in ids(connection)] == [before[0][1], before[2][1]]


def test_steps_of_one_name_run_in_the_order_of_the_document(connection: Session) -> None:
    steps = [{"name": "a", "sql": f"select {number}"} for number in range(5)]
    apply(connection, a_job(steps=steps))
    assert export(connection)["jobs"][0]["steps"] == steps
    apply(connection, a_job(steps=steps[::-1]))
    assert export(connection)["jobs"][0]["steps"] == steps[::-1]


def test_prune(connection: Session) -> None:
    apply(connection, {**FULL, "calendars": [*FULL["calendars"], {"name": "unused"}]})
    add_job(connection, "other")
    nothing: dict[str, Any] = {"jobs": [], "calendars": []}
    assert apply(connection, nothing) == []
    assert apply(connection, {}, prune=True) == []
    assert apply(connection, FULL, prune=True) == [
        ("drop", "job", "other", "other", None, None, None),
        ("drop", "calendar", None, "unused", None, None, None),
    ]
    # A calendar that a schedule of the document uses is named by it.
    assert apply(connection, {**FULL, "calendars": []}, prune=True) == []
    assert apply(connection, nothing, prune=True) == [
        ("drop", "job", "nightly vacuum", "nightly vacuum", None, None, None),
        ("drop", "calendar", None, "German holidays", None, None, None),
    ]
    assert export(connection) == {"version": 1, **nothing}


def test_dry_run_changes_nothing(connection: Session) -> None:
    apply(connection, FULL)
    before, document = ids(connection), {**a_job("new", steps=[{"name": "1", "sql": "x"}]), "calendars": []}
    connection.execute("begin read only")
    try:
        rows = apply(connection, document, dry_run=True, prune=True)
    finally:
        connection.execute("rollback")
    assert ids(connection) == before
    assert rows == apply(connection, document, prune=True)
    assert [action for action, *_ in rows] == ["drop", "create", "create", "drop"]


def test_calendars_are_made_equal(connection: Session) -> None:
    apply(connection, FULL)
    known = connection.execute("select holdate, holid from pgagent.pga_holiday").fetchall()
    calendar = {"name": "German holidays", "dates": [{"date": "2026-12-25", "name": "Christmas"}, "2027-01-01"]}
    assert apply(connection, {"calendars": [calendar]}) == [
        ("alter", "calendar", None, "German holidays", "description", "of all states", ""),
        ("drop", "holiday", None, "German holidays", None, "2026-12-26 Boxing Day", None),
        ("alter", "holiday", None, "German holidays", "name", "2026-12-25", "2026-12-25 Christmas"),
        ("create", "holiday", None, "German holidays", None, None, "2027-01-01"),
    ]
    kept = connection.execute("select holdate, holid from pgagent.pga_holiday").fetchall()
    assert set(known) & set(kept) == {known[0]}
    assert apply(connection, {"calendars": [calendar]}) == []


def test_passwords_are_in_the_export_but_in_no_difference(connection: Session) -> None:
    def steps(password: str) -> list[dict[str, str]]:
        return [{"name": "1", "sql": "x", "connection": f"host=a password={password}"}]

    apply(connection, a_job(steps=steps("secret")))
    assert export(connection)["jobs"][0]["steps"] == steps("secret")
    assert apply(connection, a_job(steps=steps("other"))) == [
        ("alter", "step", "job", "1", "connection", "host=a password=***", "host=a password=***")
    ]
    assert export(connection)["jobs"][0]["steps"] == steps("other")


def test_a_running_job_is_altered(connection: Session) -> None:
    apply(connection, a_job(schedules=[{"name": "s", "cron": "@daily"}]))
    connection.execute(
        "insert into pgagent.pga_jobagent (jagpid, jagstation) values (pg_backend_pid(), 'x') on conflict do nothing"
    )
    connection.execute("update pgagent.pga_job set jobnextrun = now() - interval '1 min'")
    connection.execute("update pgagent.pga_job set jobagentid = pg_backend_pid()")
    try:
        apply(connection, a_job(description="new", schedules=[{"name": "s", "cron": "@hourly"}]))
        assert value(connection, "select jobagentid = pg_backend_pid() and jobdesc = 'new' from pgagent.pga_job")
    finally:
        connection.execute("delete from pgagent.pga_job; delete from pgagent.pga_jobagent")


# ---- Bad documents -------------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_said_at_once(connection: Session) -> None:
    document = {
        "versoin": 1,
        "jobs": [
            {"name": "a", "class": "Nix", "owner": "nobody_at_all", "timeout": "-1 s", "start_deadline": "soon"},
            {
                "name": "b",
                "steps": [{"name": "1", "sqll": "x"}, {"name": "2", "sql": "x", "retry_delay": "31 days"}],
                "schedules": [
                    {
                        "name": "s",
                        "cron": "61 * * * *",
                        "calendar": "none",
                        "timezone": "Mars/Base",
                        "start": "2026-02-30",
                    },
                    {"name": "t", "every": "1 month"},
                    {"name": "u", "every": "0.5 s", "end": "2026-01-01 00:00+99"},
                ],
            },
        ],
    }
    error = refused(connection, document)
    assert error.sqlstate == INVALID
    classes = "Routine Maintenance, Data Import, Data Export, Data Summarisation, Miscellaneous"
    assert (error.diag.message_detail or "").split("\n") == [
        'at versoin: unknown key "versoin", do you mean "version"?',
        'at jobs[0].owner: role "nobody_at_all" does not exist',
        f'at jobs[0].class: class "Nix" does not exist: there are {classes}',
        "at jobs[0].timeout: must be between 1 ms and 3660 days",
        'at jobs[0].start_deadline: invalid input syntax for type interval: "soon"',
        'at jobs[1].steps[0].sqll: unknown key "sqll", do you mean "sql"?',
        'at jobs[1].steps[0]: "sql" or "batch" is missing',
        "at jobs[1].steps[1].retry_delay: must be between 0 s and 30 days",
        'at jobs[1].schedules[0].timezone: time zone "Mars/Base" not recognized',
        "at jobs[1].schedules[0].cron: minute 61 is out of range (at character 1 of the text)",
        'at jobs[1].schedules[0].start: date/time field value out of range: "2026-02-30"',
        'at jobs[1].schedules[0].calendar: calendar "none" does not exist',
        "at jobs[1].schedules[1].every: must be whole seconds, without months",
        "at jobs[1].schedules[2].every: must be between 1 s and 36500 days",
        'at jobs[1].schedules[2].end: time zone displacement out of range: "2026-01-01 00:00+99"',
    ]
    assert 'invalid definition at versoin: unknown key "versoin"' in (error.diag.message_primary or "")
    assert "(and 14 more)" in (error.diag.message_primary or "")
    assert error.diag.message_hint == "Keys here: version, calendars, jobs."
    assert value(connection, "select count(*) from pgagent.pga_job") == 0


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("null", "at document: must be an object, not null"),
        ("[]", "at document: must be an object, not a list"),
        ('{"version": 2}', "at version: version 2 is unknown"),
        ('{"jobs": [{"name": "a", "priority": 1e5000}]}', "at jobs[0].priority: must be a whole number"),
        (f"{'[' * 3000}{']' * 3000}", "at document: is nested too deeply"),
        ('{"jobs": [{"name": "a", "steps": [{"name": "1", "sql": 7}]}]}',
         "at jobs[0].steps[0].sql: must be a string, not a whole number"),
    ],
)  # fmt: skip
def test_what_is_no_definition_is_refused(connection: Session, text: str, detail: str) -> None:
    for flag in ("false", "true"):
        error = refusal(connection, f"select * from pgagent.apply_jobs(%s, dry_run => {flag})", text)
        assert (error.sqlstate, error.diag.message_detail) == (INVALID, detail)


@pytest.mark.parametrize("arguments", ["null", "'{}', null", "'{}', false, null"])
def test_null_is_refused(connection: Session, arguments: str) -> None:
    assert refusal(connection, f"select * from pgagent.apply_jobs({arguments})").sqlstate == "22004"


def test_an_owner_who_is_gone_may_stay(connection: Session) -> None:
    add_job(connection, "job")
    connection.execute("update pgagent.pga_job set jobenabled = false")
    connection.execute("set session_replication_role = replica")
    connection.execute("update pgagent.pga_job set jobowner = 'gone'")
    connection.execute("set session_replication_role = origin")
    document = export(connection)
    assert apply(connection, document) == []
    document["jobs"].append({"name": "new", "owner": "gone"})
    error = refused(connection, document)
    assert (error.sqlstate, error.diag.message_detail) == (
        DENIED,
        'at jobs[1].owner: "new" cannot be given to role "gone"',
    )


def test_what_the_tables_refuse_changes_nothing(connection: Session) -> None:
    """Somebody else drops a class meanwhile, for instance."""
    connection.execute("alter table pgagent.pga_jobstep add constraint odd check (jstname <> 'odd')")
    try:
        document = {"jobs": [{"name": "a"}, {"name": "b", "steps": [{"name": "odd", "sql": "x"}]}]}
        assert refused(connection, document).sqlstate == "23514"
    finally:
        connection.execute("alter table pgagent.pga_jobstep drop constraint odd")
    assert value(connection, "select count(*) from pgagent.pga_job") == 0


def test_a_change_that_comes_to_nothing_is_an_error(connection: Session) -> None:
    apply(connection, a_job(steps=[{"name": "1", "sql": "x"}]))
    connection.execute(
        "create function public.nothing() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger nothing before update or delete on pgagent.pga_jobstep"
        " for each row execute function public.nothing()"
    )
    try:
        for steps in ([{"name": "1", "sql": "y"}], []):
            error = refused(connection, a_job(description="new", steps=steps))
            assert error.sqlstate == "40001"
            assert error.diag.message_hint
    finally:
        connection.execute("drop trigger nothing on pgagent.pga_jobstep; drop function public.nothing()")
    assert value(connection, "select jobdesc from pgagent.pga_job") == ""


# ---- Rights --------------------------------------------------------------------------------------------------


def test_job_users_see_and_change_their_own(connection: Session, people: People) -> None:
    alice, bob = people.log_in("alice"), people.log_in("bob")
    step = [{"name": "1", "sql": "select 1"}]
    apply(alice, a_job("same name", steps=step, schedules=[{"name": "s", "cron": "@daily", "timezone": "utc"}]))
    apply(bob, a_job("same name", priority=7, steps=step))
    assert [job["owner"] for job in export(alice)["jobs"]] == ["alice"]
    assert apply(bob, {"jobs": []}, prune=True) == [("drop", "job", "same name", "same name", None, None, None)]
    assert [job["owner"] for job in export(connection)["jobs"]] == ["alice"]
    assert apply(alice, export(alice)) == []
    assert refusal(bob, "select pgagent.export_jobs('{same name}')").sqlstate == "42704"
    assert export(people.log_in("dba")) == export(connection)


def test_jobs_are_given_to_roles_of_which_one_is_a_member(people: People) -> None:
    alice = people.log_in("alice")
    error = refused(alice, a_job(owner="bob"))
    assert (error.sqlstate, error.diag.message_detail) == (
        DENIED,
        'at jobs[0].owner: "job" cannot be given to role "bob"',
    )
    assert error.diag.message_hint
    apply(alice, a_job(owner="team"))
    assert apply(alice, a_job()) == []
    assert apply(alice, a_job(owner="alice")) == [("alter", "job", "job", "job", "owner", "team", "alice")]
    error = refused(alice, a_job(owner="bob"))
    assert error.diag.message_detail == 'at jobs[0].owner: the owner of "job" cannot be changed from "alice" to "bob"'
    assert error.sqlstate == DENIED


def test_administrators_change_no_steps(people: People) -> None:
    bob, dba = people.log_in("bob"), people.log_in("dba")
    step = {"name": "1", "sql": "select 1"}
    apply(bob, a_job(steps=[step], schedules=[{"name": "s", "cron": "@daily"}]))
    (job,) = export(dba)["jobs"]
    found = apply(dba, {"jobs": [{**job, "enabled": False, "schedules": [{**job["schedules"][0], "cron": "@hourly"}]}]})
    assert [attribute for *_, attribute, _, _ in found] == ["enabled", "cron"]
    for steps in ([], [{**step, "sql": "select 2"}], [step, {"name": "2", "sql": "select 2"}]):
        for dry_run in (True, False):
            error = refusal(
                dba, f"select * from pgagent.apply_jobs(%s, {dry_run})", json.dumps({"jobs": [{**job, "steps": steps}]})
            )
            assert error.sqlstate == DENIED
            assert error.diag.message_detail == 'at jobs[0]: the steps of job "job" can be changed by its owner only'
    assert apply(dba, {"jobs": []}, prune=True) == [("drop", "job", "job", "job", None, None, None)]


def test_calendars_are_changed_by_their_owners_and_administrators(people: People) -> None:
    alice, bob, dba = (people.log_in(role) for role in ("alice", "bob", "dba"))
    apply(alice, {"calendars": [{"name": "c", "dates": ["2026-12-25"]}]})
    apply(bob, a_job(schedules=[{"name": "s", "cron": "@daily", "calendar": "c"}]))
    for calendar in ({"name": "c"}, {"name": "c", "description": "x", "dates": ["2026-12-25"]}):
        error = refused(bob, {"calendars": [calendar]})
        assert error.sqlstate == DENIED
        assert (error.diag.message_detail or "").startswith('at calendars[0]: calendar "c" can be changed by its owner')
    assert apply(bob, {"calendars": []}, prune=True) == []
    assert [row[:4] for row in apply(dba, {"calendars": [{"name": "c"}]})] == [("drop", "holiday", None, "c")]
    # Alice does not see who uses it.
    error = refusal(alice, "select * from pgagent.apply_jobs('{\"calendars\": []}', prune => true)")
    assert error.sqlstate in {"23503", "23001"}


def test_batch_steps_need_their_right(people: People) -> None:
    error = refused(people.log_in("alice"), a_job(steps=[{"name": "1", "batch": "true"}]))
    assert error.sqlstate == DENIED


def test_others_may_not(people: People) -> None:
    for role in ("ticker", "stranger"):
        conn = people.log_in(role)
        assert refusal(conn, "select pgagent.export_jobs()").sqlstate == DENIED
        assert refusal(conn, "select * from pgagent.apply_jobs('{}')").sqlstate == DENIED


def test_documents_are_applied_one_after_the_other(connection: Session, people: People) -> None:
    """The second sees what the first has made, and makes it no second time."""
    alice = people.log_in("alice")
    alice.execute("set lock_timeout = '200 ms'")
    with connection.transaction():
        apply(connection, a_job("other"))
        assert refused(alice, a_job()).sqlstate == "55P03"
        assert [action for action, *_ in apply(alice, a_job(), dry_run=True)] == ["create"]
    assert [action for action, *_ in apply(alice, a_job())] == ["create"]
