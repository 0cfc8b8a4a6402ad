"""Schedules in databases of other encodings: what a person wrote must not harm the server that refuses it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, add_job, add_schedule, value


@pytest.fixture(params=["LATIN1", "EUC_JP", "SQL_ASCII"])
def foreign(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Connection[TupleRow]]:
    """A session, in UTF-8, in a database of another encoding."""
    name = f"in_{request.param.lower()}"
    with cluster.connect() as conn:
        conn.execute(f"create database {name} encoding '{request.param}' locale 'C' template template0")
    try:
        with cluster.connect(name) as conn:
            conn.execute("set client_min_messages = error")
            conn.execute("create extension pgagent_py cascade")
            conn.execute("reset client_min_messages")
            conn.execute("set client_encoding = 'UTF8'")
            yield conn
    finally:
        cluster.drop_database(name)


@pytest.mark.parametrize(
    "statement",
    [
        "select pgagent.cron('å * * * *')",
        "update pgagent.settings set timezone = 'å'",
        "insert into pgagent.pga_schedule (jscjobid, jscname, jsctimezone) values (1, 'å', 'å')",
    ],
)
def test_refusals_name_what_was_written(foreign: Connection[TupleRow], statement: str) -> None:
    if foreign.info.parameter_status("server_encoding") == "EUC_JP":
        statement = statement.replace("å", "時")
    for _ in range(3):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            foreign.execute(statement)
    assert value(foreign, "select 1") == 1


def test_a_warning_shows_the_name(foreign: Connection[TupleRow]) -> None:
    said: list[str] = []
    foreign.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    name = "時間" if foreign.info.parameter_status("server_encoding") == "EUC_JP" else "Größe"
    foreign.execute(
        "insert into pgagent.pga_schedule (jscjobid, jscname, jscstart, jscend)"
        " values (%s, %s, '1999-01-01', '2000-01-01')",
        (add_job(foreign, "job"), name),
    )
    assert len(said) == 1
    assert said[0].startswith(f'schedule "{name}" of job 1 never runs: it ended on 2000-01-01')


def test_a_name_that_is_no_text_holds_nothing_up(foreign: Connection[TupleRow]) -> None:
    if foreign.info.parameter_status("server_encoding") != "SQL_ASCII":
        return
    jobid = add_job(foreign, "job")
    foreign.execute(
        "insert into pgagent.pga_schedule (jscjobid, jscname, jscend) values (%s, E'bad \\xff', '2000-01-01')", (jobid,)
    )
    add_schedule(foreign, jobid)
    assert value(foreign, "select jobnextrun is not null from pgagent.pga_job")


def test_the_name_of_a_calendar_is_told_as_it_is_written(foreign: Connection[TupleRow]) -> None:
    encoding = foreign.info.parameter_status("server_encoding")
    name = {"LATIN1": "Ålands dag", "EUC_JP": "お正月"}.get(encoding or "", "お正月")
    foreign.execute("select pgagent.create_calendar(%s)", (name,))
    jscid = add_schedule(foreign, add_job(foreign, "job"))
    foreign.execute("update pgagent.pga_schedule set jsccalendar = 1")
    assert f'not on dates of calendar "{name}"' in value(foreign, "select pgagent.explain_schedule(%s)", jscid)
    if encoding == "SQL_ASCII":
        foreign.execute(r"update pgagent.pga_calendar set calname = E'bad \xff'")
        assert r'calendar "bad \xff"' in value(foreign, "select pgagent.explain_schedule(%s)", jscid)
