"""The settings: one row, checked, and what follows from a change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, add_job, add_schedule, make_due, runs, sql_step, step_logs

DEFAULTS = (16, "", timedelta(seconds=10), timedelta(seconds=30), 1048576)

_READ = "select parallel_runs, conninfo, connect_timeout, session_idle_timeout, output_limit from pgagent.settings"


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Connection[TupleRow]]:
    """A session of the module, for statements that are refused."""
    made = cluster.create_database("of_settings")
    with cluster.connect(made.name) as conn:
        yield conn
    cluster.drop_database(made.name)


def test_defaults(connection: Connection[TupleRow]) -> None:
    assert connection.execute(_READ).fetchall() == [DEFAULTS]
    row = connection.execute("select timezone = current_setting('TimeZone') from pgagent.settings").fetchone()
    assert row == (True,)


def test_there_is_one_row_whatever_is_tried(connection: Connection[TupleRow]) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 3")
    connection.execute("insert into pgagent.settings (parallel_runs) values (5)")
    assert connection.execute("select parallel_runs from pgagent.settings").fetchall() == [(5,)]
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("update pgagent.settings set singleton = false")
    assert connection.execute("select parallel_runs from pgagent.settings").fetchall() == [(5,)]


@pytest.mark.parametrize("statement", ["delete from pgagent.settings", "truncate pgagent.settings"])
def test_the_row_cannot_be_removed(connection: Connection[TupleRow], statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation) as caught:
        connection.execute(statement)
    assert caught.value.diag.message_hint
    assert connection.execute(_READ).fetchall() == [DEFAULTS]


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("parallel_runs = 0", "settings_parallel_runs_check"),
        ("parallel_runs = 1001", "settings_parallel_runs_check"),
        ("connect_timeout = '0'", "settings_connect_timeout_check"),
        ("connect_timeout = '61 min'", "settings_connect_timeout_check"),
        ("session_idle_timeout = '-1 s'", "settings_session_idle_timeout_check"),
        ("output_limit = 1023", "settings_output_limit_check"),
        ("output_limit = 104857601", "settings_output_limit_check"),
    ],
)
def test_values_out_of_range_are_refused(shared: Connection[TupleRow], change: str, constraint: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        shared.execute(f"update pgagent.settings set {change}")
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize("column", ["timezone", "parallel_runs", "conninfo", "connect_timeout", "output_limit"])
def test_no_setting_may_be_null(shared: Connection[TupleRow], column: str) -> None:
    with pytest.raises((psycopg.errors.NotNullViolation, psycopg.errors.InvalidParameterValue)):
        shared.execute(f"update pgagent.settings set {column} = null")


def test_unknown_time_zone_is_refused_with_a_hint(shared: Connection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        shared.execute("update pgagent.settings set timezone = 'Mars/Phobos'")
    assert 'time zone "Mars/Phobos" not recognized' in (caught.value.diag.message_primary or "")
    assert "pg_timezone_names" in (caught.value.diag.message_hint or "")


def test_new_time_zone_moves_every_next_run(connection: Connection[TupleRow]) -> None:
    for number in range(3):
        add_schedule(connection, add_job(connection, f"job {number}"), hours=[12], minutes=[0])
    local = "select distinct to_char(jobnextrun at time zone %s, 'HH24:MI') from pgagent.pga_job"
    for zone in ("Asia/Kathmandu", "America/New_York"):
        connection.execute("update pgagent.settings set timezone = %s", (zone,))
        assert connection.execute(local, (zone,)).fetchall() == [("12:00",)]


def test_other_settings_leave_the_next_runs_alone(connection: Connection[TupleRow]) -> None:
    jobid = add_job(connection, "job")
    add_schedule(connection, jobid, hours=[12], minutes=[0])
    connection.execute("update pgagent.pga_job set jobnextrun = '2040-01-01 00:00+00'")
    connection.execute("update pgagent.settings set parallel_runs = 2, output_limit = 2048")
    connection.execute("update pgagent.settings set timezone = timezone")
    row = connection.execute("select jobnextrun = '2040-01-01 00:00+00' from pgagent.pga_job").fetchone()
    assert row == (True,)


def test_output_limit_counts_at_the_next_run(connection: Connection[TupleRow]) -> None:
    code = "do $$ begin raise notice '%', repeat('x', 100000); end $$"
    jobid = add_job(connection, "job", sql_step(code))
    connection.execute("update pgagent.settings set output_limit = 2000")
    make_due(connection, jobid)
    connection.execute("select from pgagent.run_due()")
    (run,) = runs(connection, jobid)
    (step,) = step_logs(connection, run)
    assert step.status == "s"
    assert 1000 <= len(step.output or "") <= 2200


def test_one_parallel_run_takes_jobs_one_after_another(connection: Connection[TupleRow]) -> None:
    jobids = [add_job(connection, f"job {number}", sql_step("select pg_sleep(0.05)")) for number in range(4)]
    connection.execute("update pgagent.settings set parallel_runs = 1")
    make_due(connection, *jobids)
    connection.execute("select from pgagent.run_due()")
    row = connection.execute(
        "select count(*), bool_or(a.jslstart < b.jslstart and b.jslstart < a.jslstart + a.jslduration)"
        " from pgagent.pga_jobsteplog a, pgagent.pga_jobsteplog b where a.jslid <> b.jslid"
    ).fetchone()
    assert row == (12, False)


def test_new_time_zone_leaves_what_was_asked_for(connection: Connection[TupleRow]) -> None:
    given = add_job(connection, "at a given time")
    due = add_job(connection, "due now")
    add_schedule(connection, due, hours=[12], minutes=[0])
    connection.execute("update pgagent.pga_job set jobnextrun = '2040-01-01 00:00+00' where jobid = %s", (given,))
    make_due(connection, due)
    connection.execute("update pgagent.settings set timezone = 'Asia/Kathmandu'")
    row = connection.execute(
        "select count(*) filter (where jobnextrun = '2040-01-01 00:00+00'), count(*) filter (where jobnextrun <= now())"
        " from pgagent.pga_job"
    ).fetchone()
    assert row == (1, 1)
