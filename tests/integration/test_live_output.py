"""What a step puts out is in its log while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Database,
    add_job,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    runs,
    sql_step,
    step_logs,
)
from harness.waiting import wait_until

pytestmark = pytest.mark.shared_database

Conn = Connection[TupleRow]


def notices(text: str, times: int = 1) -> str:
    return f"do $$ begin for i in 1 .. {times} loop raise notice '%', '{text}'; end loop; end $$; {WAITING_CODE}"


@contextmanager
def running(connection: Conn, database: Database) -> Iterator[Conn]:
    """An engine that runs what is due."""
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        engine.pgconn.send_query(b"select from pgagent.run_due('60 s')")
        yield engine
        release_steps(connection)
        while engine.pgconn.get_result() is not None:
            pass


def shown(connection: Conn, jobid: int) -> list[str]:
    """The outputs of the steps of a job's latest run."""
    found = runs(connection, jobid)
    return [log.output or "" for log in step_logs(connection, found[-1])] if found else []


def test_notices_are_shown_while_the_step_runs(connection: Conn, database: Database) -> None:
    hold_steps(connection)
    talking = add_job(connection, "talking", sql_step(notices("half of it is done, ä€")))
    silent = add_job(connection, "silent", sql_step(WAITING_CODE))
    make_due(connection, talking, silent)
    with running(connection, database):
        wait_until(lambda: "half of it is done, ä€" in "".join(shown(connection, talking)), what="the notice")
        assert runs(connection, talking)[0].status == "r"
        assert shown(connection, silent) == [""]
    assert [run.status for run in runs(connection, talking)] == ["s"]
    assert shown(connection, talking) == ["NOTICE:  half of it is done, ä€"]


def test_long_output_is_cut_as_in_the_end(connection: Conn, database: Database) -> None:
    connection.execute("update pgagent.settings set output_limit = 1024")
    hold_steps(connection)
    jobid = add_job(connection, "talking", sql_step(notices("x" * 100, times=1000)))
    make_due(connection, jobid)
    with running(connection, database):
        wait_until(lambda: "bytes left out" in "".join(shown(connection, jobid)), what="the output")
        assert len(shown(connection, jobid)[0]) < 1200


def test_locked_log_does_not_hold_up_the_engine(connection: Conn, database: Database) -> None:
    hold_steps(connection)
    talking = add_job(connection, "talking", sql_step(notices("hello")))
    make_due(connection, talking)
    with psycopg.connect(database.conninfo) as client, running(connection, database):
        wait_until(lambda: shown(connection, talking) != [], what="the step to begin")
        client.execute("select from pgagent.pga_jobsteplog for update")
        other = add_job(connection, "other", sql_step("select 1"))
        make_due(connection, other)
        wait_until(lambda: [run.status for run in runs(connection, other)] == ["s"], what="the other job to end")
        client.rollback()
    assert shown(connection, talking) == ["NOTICE:  hello"]


def test_output_of_an_aborted_step_stays(connection: Conn, database: Database) -> None:
    hold_steps(connection)
    jobid = add_job(connection, "talking", sql_step(notices("so far")))
    make_due(connection, jobid)
    with closing(psycopg.connect(database.conninfo, autocommit=True)) as engine:
        engine.pgconn.send_query(b"select from pgagent.run_due('60 s')")
        wait_until(lambda: "so far" in "".join(shown(connection, jobid)), what="the notice")
        connection.execute("select pg_terminate_backend(%s)", (engine.info.backend_pid,))
    run_due(connection, "5 s")
    assert shown(connection, jobid)[0].startswith("NOTICE:  so far\naborted: ")
