"""pg_dump and restore into a new database: what is kept, what is not, and that it goes on there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, time, timezone
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import (
    Cluster,
    Database,
    add_exception,
    add_job,
    add_schedule,
    batch_step,
    make_due,
    runs,
    sql_step,
    step_logs,
    wait_until,
)
from harness.cluster import server_program
from harness.processes import clean_environment

FAR = datetime(2040, 5, 6, 7, 8, 9, tzinfo=timezone.utc)

INSERTS = {
    "pga_jobclass": "(jclname) values ('New') returning jclid",
    "pga_job": "(jobjclid, jobname) values (1, 'new') returning jobid",
    "pga_jobstep": "(jstjobid, jstname, jstkind, jstcode, jstdbname) values (1, 'new', 's', '', 'x') returning jstid",
    "pga_calendar": "(calname) values ('new') returning calid",
    "pga_holiday": "(holcalid, holdate) values (1, '2031-01-01') returning holid",
    "pga_schedule": "(jscjobid, jscname, jsccalendar) values (1, 'new', 1) returning jscid",
    "pga_exception": "(jexscid, jexdate) values (1, '2031-01-01') returning jexid",
    "pga_joblog": "(jlgjobid, jlgstatus) values (1, 's') returning jlgid",
    "pga_jobsteplog": "(jsljlgid, jsljstid, jslstatus) values (1, 1, 's') returning jslid",
}

IDS = {
    "pga_jobclass": "jclid",
    "pga_job": "jobid",
    "pga_jobstep": "jstid",
    "pga_calendar": "calid",
    "pga_holiday": "holid",
    "pga_schedule": "jscid",
    "pga_exception": "jexid",
    "pga_joblog": "jlgid",
    "pga_jobsteplog": "jslid",
}

TABLES = [*IDS, "settings"]

Restore = Callable[[Database, Database, Path], None]


def run(program: str, *arguments: str) -> None:
    """Run one of the server's client programs; it must succeed without a word on stderr."""
    done = subprocess.run(
        [str(server_program(program)), *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr


def through_text(source: Database, target: Database, directory: Path) -> None:
    script = directory / "dump.sql"
    run("pg_dump", "--file", str(script), source.conninfo)
    run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", str(script), target.conninfo)


def through_archive(source: Database, target: Database, directory: Path) -> None:
    archive = directory / "dump"
    run("pg_dump", "-Fc", "--file", str(archive), source.conninfo)
    run("pg_restore", "--exit-on-error", "--dbname", target.conninfo, str(archive))


def data_only(source: Database, target: Database, directory: Path) -> None:
    script = directory / "data.sql"
    run("pg_dump", "--data-only", "--file", str(script), source.conninfo)
    with psycopg.connect(target.conninfo, autocommit=True) as conn:
        conn.execute("set client_min_messages = error")
        conn.execute("create extension pgagent_py cascade")
    run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", str(script), target.conninfo)


WAYS = pytest.mark.parametrize("restore", [through_text, through_archive, data_only])


@pytest.fixture
def target(cluster: Cluster) -> Iterator[Database]:
    """An empty database to restore into."""
    made = cluster.create_database("restored", extension=False)
    yield made
    cluster.drop_database(made.name)


def fill(conn: Connection[TupleRow]) -> None:
    """Classes, settings, jobs with all that belongs to them, and a history."""
    conn.execute("update pgagent.pga_jobclass set jclname = 'Own name' where jclid = 3")
    conn.execute("insert into pgagent.pga_jobclass (jclname) values ('Extra')")
    conn.execute(
        "update pgagent.settings set timezone = 'Asia/Kathmandu', parallel_runs = 3, conninfo = 'application_name=x',"
        " connect_timeout = '7 s', session_idle_timeout = '8 s', output_limit = 2048"
    )
    first = add_job(conn, 'it\'s "first"', sql_step("select 1", name="a"), batch_step("echo \\\\", name="b"), klass=6)
    second = add_job(conn, "second", sql_step("select 1/0"), klass=3)
    add_job(conn, "disabled", enabled=False)
    third = add_job(conn, "at a given time")
    jscid = add_schedule(conn, first, minutes=[0], hours=[4], monthdays=[1, 32])
    add_exception(conn, jscid, at=time(4, 0, 30))
    add_exception(conn, jscid, FAR.date(), time(4))
    jscid = add_schedule(conn, second, hours=[0], minutes=[30], end=FAR)
    conn.execute(
        "insert into pgagent.pga_calendar (calname, calowner) values ('unused', 'nobody'), ('it''s used', 'postgres')"
    )
    conn.execute(
        "insert into pgagent.pga_holiday (holcalid, holdate, holname)"
        " values (2, '2039-12-24', 'Eve'), (1, '2040-01-01', '')"
    )
    conn.execute("update pgagent.pga_schedule set jsccalendar = 2 where jscid = %s", (jscid,))
    conn.execute("update pgagent.pga_jobstep set jstenabled = false where jstkind = 'b'")
    make_due(conn, first, second)
    conn.execute("select from pgagent.run_due()")
    conn.execute("update pgagent.pga_job set jobnextrun = %s where jobid = %s", (FAR, third))
    conn.execute("update pgagent.pga_job set jobcreated = '2001-02-03 04:05:06.789+00'")


def contents(conn: Connection[TupleRow], *tables: str) -> dict[str, list[TupleRow]]:
    """All rows as text, in order."""
    return {
        table: conn.execute(f"select t::text from pgagent.{table} t order by 1").fetchall()
        for table in tables or TABLES
    }


@WAYS
def test_everything_is_there_and_ids_go_on(
    database: Database, connection: Connection[TupleRow], target: Database, tmp_path: Path, restore: Restore
) -> None:
    fill(connection)
    assert [run.status for jobid in (1, 2) for run in runs(connection, jobid)] == ["s", "f"]
    restore(database, target, tmp_path)
    with psycopg.connect(target.conninfo, autocommit=True) as conn:
        assert contents(conn) == contents(connection)
        for table in ("pga_jobagent", "_batch_step"):
            assert conn.execute(f"select from pgagent.{table}").fetchall() == []
        for table, insert in INSERTS.items():
            highest = conn.execute(f"select max({IDS[table]}) from pgagent.{table}").fetchone()
            made = conn.execute(f"insert into pgagent.{table} {insert}").fetchone()
            assert made is not None
            assert highest is not None
            assert made[0] == highest[0] + 1


@WAYS
def test_ids_go_on_where_all_rows_were_deleted(
    database: Database, connection: Connection[TupleRow], target: Database, tmp_path: Path, restore: Restore
) -> None:
    fill(connection)
    before = {table: connection.execute(f"select max({IDS[table]}) from pgagent.{table}").fetchone() for table in IDS}
    connection.execute("delete from pgagent.pga_job")
    restore(database, target, tmp_path)
    with psycopg.connect(target.conninfo, autocommit=True) as conn:
        highest = before["pga_job"]
        assert highest is not None
        assert add_job(conn, "new") == highest[0] + 1


@WAYS
def test_dump_in_the_middle_of_a_run(
    database: Database, connection: Connection[TupleRow], target: Database, tmp_path: Path, restore: Restore
) -> None:
    running = add_job(connection, "running", sql_step("select pg_advisory_lock_shared(4711)"))
    waiting = add_job(connection, "waiting", batch_step("true"))
    for jobid in (running, waiting):
        add_schedule(connection, jobid, hours=[0], minutes=[0])
    connection.execute("select pg_advisory_lock(4711)")
    make_due(connection, running, waiting)
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        wait_until(lambda: _are_running(engine, running, waiting), what="two runs")
        make_due(connection, running)
        restore(database, target, tmp_path)
        with psycopg.connect(target.conninfo, autocommit=True) as conn:
            assert conn.execute("select from pgagent.pga_jobagent").fetchall() == []
            claimed = "select jobid from pgagent.pga_job where jobagentid is not null or jobrequested is not null"
            assert conn.execute(claimed).fetchall() == []
            assert [run.status for jobid in (running, waiting) for run in runs(conn, jobid)] == ["r", "r"]
            conn.execute("select from pgagent.run_due()")
            for jobid in (running, waiting):
                (run_there,) = [run for run in runs(conn, jobid) if run.id in (1, 2)]
                assert (run_there.status, run_there.duration is not None) == ("d", True)
                assert [step.status for step in step_logs(conn, run_there)] == ["d"]
        connection.execute("select pg_advisory_unlock(4711)")
        wait_until(lambda: _ended(engine, running), what="the end of the run that was dumped")


@WAYS
def test_what_run_now_has_promised_stays_here(
    database: Database, connection: Connection[TupleRow], target: Database, tmp_path: Path, restore: Restore
) -> None:
    add_job(connection, "disabled", sql_step("select 1"), enabled=False)
    add_job(connection, "report", sql_step("select 1"))
    connection.execute("select pgagent.run_now('disabled'), pgagent.run_now('report')")
    restore(database, target, tmp_path)
    with psycopg.connect(target.conninfo, autocommit=True) as conn:
        assert conn.execute("select * from pgagent.check_invariants()").fetchall() == []
        conn.execute("select from pgagent.run_due()")
        names = "select jobname from pgagent.pga_joblog join pgagent.pga_job on jobid = jlgjobid"
        assert conn.execute(names).fetchall() == [("report",)]


def _are_running(engine: Connection[TupleRow], *jobids: int) -> bool:
    engine.execute("select from pgagent.run_due('0.1 s')")
    found = engine.execute(
        "select jlgjobid from pgagent.pga_joblog join pgagent.pga_jobsteplog on jsljlgid = jlgid"
        " where jslstatus = 'r' order by 1"
    ).fetchall()
    return found == [(jobid,) for jobid in jobids]


def _ended(engine: Connection[TupleRow], jobid: int) -> bool:
    engine.execute("select from pgagent.run_due('0.1 s')")
    return runs(engine, jobid)[0].status == "s"


RENAMINGS = {
    "two swap their names": [
        "update pgagent.pga_jobclass set jclname = 'x' where jclid = 1",
        "update pgagent.pga_jobclass set jclname = 'Routine Maintenance' where jclid = 2",
        "update pgagent.pga_jobclass set jclname = 'Data Import' where jclid = 1",
    ],
    "one takes a name that is free": [
        "update pgagent.pga_jobclass set jclname = 'x' where jclid = 2",
        "update pgagent.pga_jobclass set jclname = 'Data Import' where jclid = 1",
    ],
    "one is made again with another id": [
        "delete from pgagent.pga_jobclass where jclid = 5",
        "insert into pgagent.pga_jobclass (jclname) values ('Miscellaneous')",
    ],
    "one is deleted": ["delete from pgagent.pga_jobclass where jclid = 4"],
    "all are renamed": ["update pgagent.pga_jobclass set jclname = jclname || '!'"],
}


@pytest.mark.parametrize("statements", RENAMINGS.values(), ids=RENAMINGS)
def test_changed_classes_are_restored(
    database: Database,
    connection: Connection[TupleRow],
    target: Database,
    tmp_path: Path,
    statements: list[str],
) -> None:
    for statement in statements:
        connection.execute(statement)
    used = connection.execute("select max(jclid) from pgagent.pga_jobclass").fetchone()
    assert used is not None
    add_job(connection, "job", klass=used[0])
    through_text(database, target, tmp_path)
    with psycopg.connect(target.conninfo, autocommit=True) as conn:
        restored = contents(conn, "pga_jobclass", "pga_job")
    original = contents(connection, "pga_jobclass", "pga_job")
    assert restored["pga_job"] == original["pga_job"]
    assert set(original["pga_jobclass"]) <= set(restored["pga_jobclass"])


@pytest.mark.parametrize("encoding", ["LATIN1", "UTF8"])
def test_dump_of_a_latin1_database(cluster: Cluster, tmp_path: Path, encoding: str) -> None:
    with cluster.connect() as conn:
        conn.execute("create database narrow encoding 'LATIN1' locale 'C' template template0")
        conn.execute(f"create database narrow_restored encoding '{encoding}' locale 'C' template template0")
    try:
        source, target = (Database(name, cluster.conninfo(name)) for name in ("narrow", "narrow_restored"))
        with cluster.connect("narrow", client_encoding="UTF8") as conn:
            conn.execute("set client_min_messages = error")
            conn.execute("create extension pgagent_py cascade")
            fill(conn)
            conn.execute("update pgagent.pga_job set jobname = 'café', jobdesc = 'Größe' where jobid = 1")
            conn.execute("update pgagent.settings set conninfo = ''")
            expected = contents(conn)
        through_text(source, target, tmp_path)
        with cluster.connect("narrow_restored", client_encoding="UTF8") as conn:
            assert contents(conn) == expected
            jobid = add_job(conn, "ü", sql_step("select 1"))
            make_due(conn, jobid)
            assert conn.execute("select jobname, status from pgagent.run_due()").fetchall() == [("ü", "succeeded")]
    finally:
        cluster.drop_database("narrow")
        cluster.drop_database("narrow_restored")
