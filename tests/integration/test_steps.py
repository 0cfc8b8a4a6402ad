"""SQL steps: their order, what their failure does, what is logged of them, and what they may execute."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    Cluster,
    Database,
    add_job,
    add_schedule,
    make_due,
    run_due,
    run_job,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)

Connection = psycopg.Connection[TupleRow]


pytestmark = pytest.mark.shared_database


FAIL = "select 1/0"
DIVISION = "ERROR:  division by zero"


def test_steps_run_in_the_order_of_name_and_id(connection: Connection) -> None:
    connection.execute("create table trace (position serial, step text)")
    names = ["b", "Step 2", "a", "Step 10", "a"]
    steps = [sql_step(f"insert into trace (step) values ('{n}{i}')", name=n) for i, n in enumerate(names)]
    run, logs = run_job(connection, *steps)
    assert run.status == "s"
    assert [log.name for log in logs] == ["Step 10", "Step 2", "a", "a", "b"]
    trace = connection.execute("select step from trace order by position").fetchall()
    assert trace == [("Step 103",), ("Step 21",), ("a2",), ("a4",), ("b0",)]


def test_failed_step_counts_as_its_on_error_letter(connection: Connection) -> None:
    for on_error, statuses, run_status in (("f", ["f"], "f"), ("s", ["s", "s"], "s"), ("i", ["i", "s"], "s")):
        run, logs = run_job(connection, sql_step(FAIL, on_error=on_error), sql_step("select 1"))
        assert run.status == run_status
        assert [log.status for log in logs] == statuses
        assert (logs[0].result, logs[0].output) == (-1, DIVISION)


def test_ignored_failure_of_the_last_step_leaves_the_run_succeeded(connection: Connection) -> None:
    run, logs = run_job(connection, sql_step("select 1"), sql_step(FAIL, on_error="i"))
    assert run.status == "s"
    assert [log.status for log in logs] == ["s", "i"]


def test_disabled_steps_are_left_out(connection: Connection) -> None:
    steps = [sql_step(FAIL, enabled=False), sql_step("select 1"), sql_step(FAIL, enabled=False)]
    run, logs = run_job(connection, *steps)
    assert run.status == "s"
    assert [log.name for log in logs] == ["step 002"]


def test_job_without_an_enabled_step_succeeds_without_step_rows(connection: Connection) -> None:
    for steps in ([], [sql_step(FAIL, enabled=False)]):
        run, logs = run_job(connection, *steps)
        assert (run.status, logs) == ("s", [])
        assert run.duration is not None


def test_result_is_the_row_count_of_the_last_statement(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    expected = {
        "select generate_series(1, 3)": 3,
        "select 1 where false": 0,
        "insert into t values (1), (2)": 2,
        "truncate t; insert into t values (1); update t set a = 2": 1,
        "truncate t; insert into t values (1), (2); delete from t": 2,
        "insert into t values (1), (2), (3); select 1": 1,
        "select 1; insert into t values (1), (2);": 2,
        "insert into t values (1); create table u (a int)": 0,
        "create table v as select generate_series(1, 4)": 4,
        "do $$ begin perform 1; end $$": 0,
        "select generate_series(1, 3); do $$ begin end $$": 0,
        "copy (select generate_series(1, 5)) to stdout": 5,
        "select generate_series(1, 3); -- and a comment": 3,
        "select generate_series(1, 3); ;": 3,
    }
    found = {}
    for code in expected:
        run, (log,) = run_job(connection, sql_step(code))
        assert (run.status, log.status, log.output) == ("s", "s", ""), code
        found[code] = log.result
    assert found == expected


def test_notices_and_warnings_are_kept_in_the_output(connection: Connection) -> None:
    code = """
        do $$ begin raise notice 'half done'; end $$;
        do $$ begin raise warning 'nearly' using detail = 'The detail.', hint = 'The hint.'; end $$;
        select 1
    """
    _, (log,) = run_job(connection, sql_step(code))
    assert (log.status, log.result) == ("s", 1)
    assert log.output == "NOTICE:  half done\nWARNING:  nearly\nDETAIL:  The detail.\nHINT:  The hint."


def test_notices_before_an_error_stand_before_it(connection: Connection) -> None:
    code = f"do $$ begin raise notice 'half done'; end $$; {FAIL}"
    _, (log,) = run_job(connection, sql_step(code))
    assert (log.status, log.result, log.output) == ("f", -1, f"NOTICE:  half done\n{DIVISION}")


def test_error_is_shown_as_psql_shows_it(connection: Connection) -> None:
    connection.execute("create table t (column_a int primary key)")
    expected = {
        "selec 1": 'ERROR:  syntax error at or near "selec"\nLINE 1: selec 1\n        ^',
        "select 1;\nselect column_b from t": 'ERROR:  column "column_b" does not exist'
        "\nLINE 2: select column_b from t\n               ^"
        '\nHINT:  Perhaps you meant to reference the column "t.column_a".',
        "insert into t values (1), (1)": 'ERROR:  duplicate key value violates unique constraint "t_pkey"'
        "\nDETAIL:  Key (column_a)=(1) already exists.",
        "do $$ begin raise 'no' using detail = 'The detail.', hint = 'The hint.'; end $$": "ERROR:  no"
        "\nDETAIL:  The detail.\nHINT:  The hint."
        "\nCONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE",
        "select 'größer'::int": 'ERROR:  invalid input syntax for type integer: "größer"'
        "\nLINE 1: select 'größer'::int\n               ^",
    }
    found = {}
    for code in expected:
        run, (log,) = run_job(connection, sql_step(code))
        assert (run.status, log.status, log.result) == ("f", "f", -1), code
        found[code] = log.output
    assert found == expected


def test_end_of_a_run_leaves_a_complete_log_and_a_free_job(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"), sql_step(FAIL, on_error="i"))
    add_schedule(connection, jobid, minutes=[0])
    make_due(connection, jobid)
    before = value(connection, "select clock_timestamp()")
    run_due(connection)
    (run,) = runs(connection, jobid)
    assert before <= run.start <= value(connection, "select clock_timestamp()")
    assert run.duration is not None
    for log in step_logs(connection, run):
        assert log.duration is not None
        assert run.start <= log.start
        assert log.start + log.duration <= run.start + run.duration + timedelta(seconds=0.1)
    query = "select joblastrun, jobagentid, jobnextrun from pgagent.pga_job"
    last, agent, following = connection.execute(query).fetchall()[0]
    assert abs(last - run.start) < timedelta(seconds=1)
    assert agent is None
    assert before < following <= before + timedelta(hours=1)
    assert (following.minute, following.second) == (0, 0)


def test_job_without_a_schedule_has_no_next_run_afterwards(connection: Connection) -> None:
    run_job(connection, sql_step(FAIL))
    assert value(connection, "select jobnextrun from pgagent.pga_job") is None


def test_overdue_job_runs_once_and_then_by_its_schedule(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    add_schedule(connection, jobid)
    long_ago = datetime(2020, 5, 1, tzinfo=timezone.utc)
    connection.execute("update pgagent.pga_job set jobnextrun = %s", (long_ago,))
    run_due(connection)
    assert [run.status for run in runs(connection, jobid)] == ["s"]
    assert value(connection, "select jobnextrun > now() from pgagent.pga_job")


def test_create_and_drop_database_in_a_step(connection: Connection) -> None:
    name = f"made_by_{connection.info.dbname}"
    run, logs = run_job(connection, sql_step(f"create database {name}"), sql_step(f"drop database {name}"))
    assert [(log.status, log.output) for log in logs] == [("s", ""), ("s", "")]
    assert run.status == "s"


def test_vacuum_in_a_step(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    _, (log,) = run_job(connection, sql_step("vacuum (analyze) t"))
    assert (log.status, log.result, log.output) == ("s", 0, "")
    stats = "select n_live_tup is not null from pg_stat_user_tables where relname = 't'"
    wait_until(lambda: value(connection, stats))


def test_concurrent_index_build_ends_in_a_later_call(connection: Connection) -> None:
    """It waits for the snapshot of the run_due that started it."""
    connection.execute("create table t (a int primary key)")
    steps = [sql_step("create index concurrently i on t (a)"), sql_step("reindex table concurrently t")]
    jobid = add_job(connection, "job", *steps)
    make_due(connection, jobid)

    def is_over() -> bool:
        run_due(connection, "0.1 s")
        return runs(connection, jobid)[0].status == "s"

    wait_until(is_over)


def test_concurrent_index_build_in_run_until_idle(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    jobid = add_job(connection, "job", sql_step("create index concurrently i on t (a)"))
    make_due(connection, jobid)
    assert connection.execute("call pgagent.run_until_idle()").fetchall() == [(1, 0, 0)]
    assert [run.status for run in runs(connection, jobid)] == ["s"]
    assert value(connection, "select indisvalid from pg_index where indexrelid = 'i'::regclass")


def test_procedure_that_commits(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    connection.execute("""
        create procedure p() language plpgsql as $$
        begin
            insert into t values (1);
            commit;
            insert into t values (2);
            rollback;
            insert into t values (3);
        end $$
    """)
    _, (log,) = run_job(connection, sql_step("call p()"))
    assert (log.status, log.output) == ("s", "")
    assert connection.execute("select a from t order by a").fetchall() == [(1,), (3,)]


def test_statements_of_a_step_are_one_transaction(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    _, (log,) = run_job(connection, sql_step(f"insert into t values (1); insert into t values (2); {FAIL}"))
    assert log.status == "f"
    assert value(connection, "select count(*) from t") == 0


def test_explicit_transactions_in_a_step(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    code = "begin; insert into t values (1); commit; begin; insert into t values (2); rollback"
    _, (log,) = run_job(connection, sql_step(code))
    assert log.status == "s"
    assert connection.execute("select a from t").fetchall() == [(1,)]


def test_step_in_another_database(connection: Connection) -> None:
    _, (log,) = run_job(connection, sql_step("do $$ begin raise '%', current_database(); end $$", dbname="postgres"))
    assert log.output is not None
    assert log.output.startswith("ERROR:  postgres\n")


def test_step_through_a_connection_string(connection: Connection, cluster: Cluster, database: Database) -> None:
    code = "do $$ begin raise notice '% %', current_database(), inet_server_addr(); end $$"
    connstr = cluster.conninfo(database.name, tcp=True)
    _, (log,) = run_job(connection, sql_step(code, connstr=connstr))
    assert (log.status, log.output) == ("s", f"NOTICE:  {database.name} 127.0.0.1")


def test_step_through_a_connection_uri(connection: Connection, cluster: Cluster, database: Database) -> None:
    uri = f"postgresql://postgres@127.0.0.1:{cluster.port}/{database.name}?application_name=my%20own%27s"
    code = "do $$ begin raise notice '%', current_setting('application_name'); end $$"
    _, (log,) = run_job(connection, sql_step(code, connstr=uri))
    assert (log.status, log.output) == ("s", "NOTICE:  my own's")


def test_database_with_an_awkward_name(connection: Connection, cluster: Cluster) -> None:
    """pgAgent joins the name to its connection string as it is."""
    name = "it's \\ port=1 %s"
    cluster.create_database(name, extension=False)
    try:
        _, (log,) = run_job(connection, sql_step("select 1", dbname=name))
    finally:
        cluster.drop_database(name)
    assert (log.status, log.output) == ("s", "")
