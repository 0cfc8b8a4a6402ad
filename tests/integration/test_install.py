"""CREATE EXTENSION and DROP EXTENSION: where they work, what they refuse, what they leave."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from harness import Cluster, Database, add_job, make_due, runs, sql_step, step_logs

CREATE = "create extension pgagent_py cascade"

CATALOGS = re.findall(
    r"\w+",
    """
    pg_am pg_attrdef pg_attribute pg_cast pg_class pg_collation pg_constraint pg_conversion pg_default_acl pg_depend
    pg_description pg_event_trigger pg_extension pg_foreign_server pg_index pg_init_privs pg_language pg_namespace
    pg_opclass pg_operator pg_policy pg_proc pg_publication pg_rewrite pg_seclabel pg_sequence pg_shdepend
    pg_statistic_ext pg_transform pg_trigger pg_ts_config pg_type pg_user_mapping
    """,
)


@pytest.fixture
def bare(cluster: Cluster) -> Iterator[Database]:
    """A database without the extension."""
    made = cluster.create_database("bare", extension=False)
    yield made
    cluster.drop_database(made.name)


@pytest.fixture
def session(bare: Database) -> Iterator[Connection[TupleRow]]:
    """A superuser's session in that database."""
    with psycopg.connect(bare.conninfo, autocommit=True) as conn:
        conn.execute("set client_min_messages = error")
        yield conn


def assert_that_a_job_runs(conn: Connection[TupleRow]) -> None:
    jobid = add_job(conn, "job", sql_step("select 1"))
    make_due(conn, jobid)
    rows = conn.execute("select jobid, status, detail from pgagent.run_due()").fetchall()
    assert [row[:2] for row in rows] == [(jobid, "succeeded")], rows
    logged = conn.execute("select jlgstatus::text from pgagent.pga_joblog where jlgjobid = %s", (jobid,)).fetchall()
    assert logged == [("s",)]


def count_rows(conn: Connection[TupleRow]) -> dict[str, int]:
    counts = {}
    for name in CATALOGS:
        row = conn.execute(f"select count(*) from pg_catalog.{name}").fetchone()
        assert row is not None
        counts[name] = row[0]
    return counts


def test_cascade_brings_plpython(session: Connection[TupleRow]) -> None:
    session.execute(CREATE)
    rows = session.execute("select extname from pg_extension order by extname").fetchall()
    assert rows == [("pgagent_py",), ("plpgsql",), ("plpython3u",)]
    assert_that_a_job_runs(session)


def test_without_cascade_plpython_must_be_there(session: Connection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject) as caught:
        session.execute("create extension pgagent_py")
    assert "plpython3u" in str(caught.value)


def test_extension_that_lives_in_the_schema_is_named(session: Connection[TupleRow]) -> None:
    session.execute("create schema pgagent")
    session.execute("create extension pg_trgm schema pgagent")
    with pytest.raises(psycopg.errors.DuplicateSchema) as caught:
        session.execute(CREATE)
    assert caught.value.diag.message_primary == 'schema "pgagent" belongs to extension "pg_trgm"'
    assert "DROP EXTENSION pg_trgm" in (caught.value.diag.message_hint or "")


@pytest.mark.parametrize(
    "member",
    [
        "schema pgagent",
        "table pgagent.foreign_table",
        "function pgagent.foreign_function()",
        "domain pgagent.foreign_type",
    ],
)
def test_extension_that_owns_anything_there_is_named(session: Connection[TupleRow], member: str) -> None:
    session.execute("create schema pgagent")
    session.execute("create extension pg_trgm schema public")
    if "table" in member:
        session.execute("create table pgagent.foreign_table ()")
    elif "function" in member:
        session.execute("create function pgagent.foreign_function() returns int language sql return 1")
    elif "domain" in member:
        session.execute("create domain pgagent.foreign_type as int")
    session.execute(f"alter extension pg_trgm add {member}")
    with pytest.raises(psycopg.errors.DuplicateSchema) as caught:
        session.execute(CREATE)
    assert '"pg_trgm"' in (caught.value.diag.message_primary or "")


@pytest.mark.parametrize(
    "foreign",
    [
        "create table pgagent.pga_job (jobid int)",
        "create view pgagent.something as select 1",
        "create sequence pgagent.something",
        "create type pgagent.something as (id int)",
        "create domain pgagent.something as int",
        "create type pgagent.something as enum ('a')",
        "create function pgagent.something() returns int language sql return 1",
    ],
)
def test_schema_that_is_somebody_elses_is_refused(session: Connection[TupleRow], foreign: str) -> None:
    session.execute("create schema pgagent")
    session.execute(foreign)
    with pytest.raises(psycopg.errors.DuplicateSchema) as caught:
        session.execute(CREATE)
    name = "pga_job" if "pga_job" in foreign else "something"
    assert f"pgagent.{name}" in (caught.value.diag.message_primary or "")
    assert caught.value.diag.message_hint


def test_refusal_leaves_nothing(session: Connection[TupleRow]) -> None:
    session.execute("create schema pgagent")
    session.execute("create table pgagent.pga_job (jobid int)")
    before = count_rows(session)
    with pytest.raises(psycopg.errors.DuplicateSchema):
        session.execute(CREATE)
    assert count_rows(session) == before


def test_empty_schema_is_taken_over(session: Connection[TupleRow]) -> None:
    session.execute("create schema pgagent")
    session.execute(CREATE)
    assert_that_a_job_runs(session)
    session.execute("drop extension pgagent_py")
    assert session.execute("select to_regnamespace('pgagent')").fetchone() == (None,)


def test_drop_leaves_nothing_behind_and_create_works_again(bare: Database, session: Connection[TupleRow]) -> None:
    session.execute("create extension plpython3u")
    before = count_rows(session)
    for _ in range(2):
        session.execute(CREATE)
        assert_that_a_job_runs(session)
        session.execute("drop extension pgagent_py")
        assert count_rows(session) == before
    session.execute(CREATE)
    with psycopg.connect(bare.conninfo, autocommit=True) as other:
        assert_that_a_job_runs(other)


def test_second_create_is_refused(session: Connection[TupleRow]) -> None:
    session.execute(CREATE)
    with pytest.raises(psycopg.errors.DuplicateObject):
        session.execute(CREATE)
    session.execute("create extension if not exists pgagent_py")


@pytest.mark.parametrize("name", ["-we\"ird 'Ünïcode' \\ x=y", "host=elsewhere"])
def test_name_of_the_database_does_not_matter(cluster: Cluster, name: str) -> None:
    made = cluster.create_database(name)
    try:
        with psycopg.connect(made.conninfo, autocommit=True) as conn:
            assert_that_a_job_runs(conn)
    finally:
        cluster.drop_database(name)


HOSTILE = """
create schema evil;
create function evil.lie(text, text) returns bool language plpgsql as $$ begin raise 'evil'; end $$;
create function evil.lie(int, int) returns bool language plpgsql as $$ begin raise 'evil'; end $$;
create function evil.lie(timestamptz, timestamptz) returns bool language plpgsql as $$ begin raise 'evil'; end $$;
create operator evil.= (leftarg = text, rightarg = text, function = evil.lie);
create operator evil.= (leftarg = int, rightarg = int, function = evil.lie);
create operator evil.<= (leftarg = timestamptz, rightarg = timestamptz, function = evil.lie);
create operator evil.> (leftarg = timestamptz, rightarg = timestamptz, function = evil.lie);
create function evil.now() returns timestamptz language plpgsql as $$ begin raise 'evil'; end $$;
create function evil.clock_timestamp() returns timestamptz language plpgsql as $$ begin raise 'evil'; end $$;
create function evil.format(text, text) returns text language plpgsql as $$ begin raise 'evil'; end $$;
create function evil.current_setting(text) returns text language plpgsql as $$ begin raise 'evil'; end $$;
create table evil.pga_job (jobid int);
create table evil.pg_class (oid oid);
create domain evil.text as pg_catalog.int4;
create domain evil.timestamptz as pg_catalog.int4;
set search_path = evil, pg_catalog
"""


def test_search_path_of_the_session_does_not_matter(bare: Database, session: Connection[TupleRow]) -> None:
    session.execute(HOSTILE)
    session.execute(CREATE)
    with psycopg.connect(bare.conninfo, autocommit=True) as friend:
        good, bad = add_job(friend, "good", sql_step("select 1")), add_job(friend, "bad", sql_step("select 1/0"))
        friend.execute("update pgagent.pga_job set jobnextrun = now()")
    rows = session.execute("call pgagent.run_until_idle()").fetchall()
    assert rows == [(1, 1, 0)]
    with psycopg.connect(bare.conninfo, autocommit=True) as friend:
        assert [run.status for jobid in (good, bad) for run in runs(friend, jobid)] == ["s", "f"]
    session.execute("insert into pgagent.pga_schedule (jscjobid, jscname) values (1, 'all')")
    session.execute("insert into pgagent.pga_exception (jexscid, jextime) values (1, '12:00')")
    session.execute("update pgagent.settings set timezone = 'Europe/Berlin'")
    session.execute("update pgagent.pga_job set jobnextrun = null")
    row = session.execute(
        "select jobnextrun is not null from pgagent.pga_job where jobid operator(pg_catalog.=) 1"
    ).fetchone()
    assert row == (True,)
    session.execute("select pgagent.next_run(1), pgagent.next_due(), pgagent.pga_is_leap_year(2000::int2)")
    session.execute("select from pgagent.take_batch_steps('here', 1)")
    session.execute("drop extension pgagent_py")


@pytest.mark.parametrize(
    "settings",
    [
        "standard_conforming_strings = off; check_function_bodies = off; client_encoding = 'LATIN1'",
        "datestyle = 'German'; intervalstyle = 'iso_8601'; transform_null_equals = on; array_nulls = off",
        "default_transaction_isolation = 'serializable'; default_transaction_deferrable = on; xmloption = document",
        "role = 'another_superuser'; row_security = off; constraint_exclusion = on",
    ],
)
@pytest.mark.usefixtures("another_superuser")
def test_settings_of_the_session_do_not_matter(session: Connection[TupleRow], settings: str) -> None:
    for setting in settings.split("; "):
        session.execute(f"set {setting}")
    session.execute(CREATE)
    assert_that_a_job_runs(session)
    session.execute("insert into pgagent.pga_schedule (jscjobid, jscname) values (1, 'all')")
    assert session.execute("select jobnextrun > now() from pgagent.pga_job").fetchone() == (True,)


@pytest.fixture(scope="module")
def another_superuser(cluster: Cluster) -> Iterator[str]:
    """A superuser other than the one who made the databases."""
    with cluster.connect() as conn:
        conn.execute("create role another_superuser superuser login")
        yield "another_superuser"
        conn.execute("drop role another_superuser")


def test_ordinary_role_is_refused(bare: Database, session: Connection[TupleRow]) -> None:
    session.execute("create extension plpython3u")
    session.execute("create role ordinary_role login")
    try:
        session.execute(sql.SQL("grant create on database {} to ordinary_role").format(sql.Identifier(bare.name)))
        session.execute("set role ordinary_role")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("create extension pgagent_py")
        session.execute("reset role")
    finally:
        session.execute("drop owned by ordinary_role")
        session.execute("drop role ordinary_role")


NOTICE = "do $$ begin raise notice '%', 'caf' || chr(233); end $$"


@pytest.mark.parametrize(("encoding", "byte"), [("UTF8", "c3a9"), ("LATIN1", "e9"), ("SQL_ASCII", "e9")])
def test_job_runs_in_every_encoding(cluster: Cluster, encoding: str, byte: str) -> None:
    name = f"encoded_{encoding.lower()}"
    with cluster.connect() as conn:
        conn.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    try:
        with cluster.connect(name, client_encoding=encoding) as conn:
            conn.execute(CREATE)
            jobid = add_job(conn, "job", sql_step(NOTICE), sql_step("select 1/0; -- x"))
            conn.execute("update pgagent.pga_job set jobname = 'caf' || chr(233)")
            conn.execute("update pgagent.pga_jobstep set jstcode = jstcode || chr(233) where jstcode like '%--%'")
            make_due(conn, jobid)
            hexadecimal = "encode(convert_to({}, getdatabaseencoding()), 'hex')".format
            name_there, failed = conn.execute(
                f"select {hexadecimal('jobname')}, status = 'failed' from pgagent.run_due()"
            ).fetchall()[0]
            assert failed
            # Python has no character for the byte of a SQL_ASCII database: it comes as an escape, \xe9 in the log.
            escaped = encoding == "SQL_ASCII"
            assert _text(name_there).startswith("636166" if escaped else f"636166{byte}")
            rows = conn.execute(
                f"select jslstatus::text, {hexadecimal('jsloutput')} from pgagent.pga_jobsteplog order by jslid"
            ).fetchall()
            (notice, notice_output), (error, error_output) = [(_text(a), _text(b)) for a, b in rows]
            assert (notice, error) == ("s", "f")
            assert ("636166" + (rb"\xe9".hex() if escaped else byte)) in notice_output
            assert b"division by zero".hex() in error_output
    finally:
        cluster.drop_database(name)


def _text(value: str | bytes) -> str:
    """In a SQL_ASCII session psycopg reads text as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def test_tampered_source_is_not_executed(bare: Database, session: Connection[TupleRow]) -> None:
    session.execute(CREATE)
    jobid = add_job(session, "job", sql_step("select 1"))
    session.execute("alter function pgagent._python_source() rename to _python_source_true")
    session.execute(
        "create function pgagent._python_source() returns table (module text, source text) language sql as"
        " $$ select s.module, s.source || ' ' from pgagent._python_source_true() s $$"
    )
    make_due(session, jobid)
    with psycopg.connect(bare.conninfo, autocommit=True) as fresh:
        with pytest.raises(psycopg.errors.DataCorrupted) as caught:
            fresh.execute("select from pgagent.run_due()")
        assert "checksum" in (caught.value.diag.message_primary or "")
        assert caught.value.diag.message_hint
    assert runs(session, jobid) == []


def test_steps_of_an_encoding_that_does_not_fit_are_logged(cluster: Cluster, database: Database) -> None:
    """A step in a UTF8 database writes what the LATIN1 database of the job cannot hold."""
    with cluster.connect() as conn:
        conn.execute("create database narrow encoding 'LATIN1' locale 'C' template template0")
    try:
        with cluster.connect("narrow", client_encoding="UTF8") as conn:
            conn.execute(CREATE)
            code = "do $$ begin raise notice '%', chr(8364) || chr(128512); end $$"
            jobid = add_job(conn, "job", sql_step(code, dbname=database.name))
            make_due(conn, jobid)
            assert conn.execute("select status from pgagent.run_due()").fetchall() == [("succeeded",)]
            (step,) = step_logs(conn, runs(conn, jobid)[0])
            assert (step.status, bool(step.output)) == ("s", True)
    finally:
        cluster.drop_database("narrow")
