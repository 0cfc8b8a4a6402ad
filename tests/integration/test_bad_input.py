"""Bad steps, bad connections, bad limits, and definitions that change under way: one step ends, the rest goes on."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import (
    WAITING_CODE,
    Cluster,
    StepLog,
    add_job,
    add_schedule,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_job,
    run_until_held,
    runs,
    sql_step,
    step_logs,
    value,
)
from harness.proxy import Proxy

Connection = psycopg.Connection[TupleRow]

LEAK = "Geheimnis"


def failed_step(connection: Connection, code: str = "select 1", *, dbname: str = "", connstr: str = "") -> StepLog:
    """Run a job whose only step must fail, and return that step's log."""
    run, (log,) = run_job(connection, sql_step(code, dbname=dbname, connstr=connstr))
    assert (run.status, log.status, log.result) == ("f", "f", -1)
    assert None not in (run.duration, log.duration)
    assert still_open(connection) == 0
    return log


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+([0-9]+) kB", status)
    assert found
    return int(found.group(1))


def still_open(connection: Connection) -> int:
    """Count runs and steps that are 'r', and jobs that are claimed."""
    query = """
        select (select count(*) from pgagent.pga_joblog where jlgstatus = 'r')
             + (select count(*) from pgagent.pga_jobsteplog where jslstatus = 'r')
             + (select count(*) from pgagent.pga_job where jobagentid is not null)
    """
    return int(value(connection, query))


# Code


def test_code_without_a_statement(connection: Connection) -> None:
    for code in ("", "   \n", "-- only a comment", "/* so */", ";", ";;"):
        log = failed_step(connection, code)
        assert log.output == "the step has no statement to execute", code


def test_copy_from_stdin_fails_and_says_why(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    log = failed_step(connection, "copy t from stdin; insert into t values (1)")
    assert "COPY FROM STDIN cannot be used in a job step" in (log.output or "")
    assert value(connection, "select count(*) from t") == 0


def test_copy_to_stdout_of_much_data_succeeds(connection: Connection) -> None:
    code = "copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout; select 1"
    _, (log,) = run_job(connection, sql_step(code))
    assert (log.status, log.result, log.output) == ("s", 1, "")


def test_step_that_terminates_its_own_session(connection: Connection) -> None:
    log = failed_step(connection, "select pg_terminate_backend(pg_backend_pid())")
    assert (log.output or "").startswith("FATAL:  terminating connection due to administrator command")
    assert (log.output or "").count("FATAL:") == 1


def test_million_rows_neither_fill_the_engines_memory_nor_hold_up_other_steps(connection: Connection) -> None:
    run_job(connection, sql_step("select 1"))
    before = memory_kib(connection.info.backend_pid)
    rows = add_job(connection, "rows", sql_step("select g, repeat('x', 50) from generate_series(1, 1000000) g"))
    quick = add_job(connection, "quick", *[sql_step("select 1")] * 5)
    make_due(connection, rows, quick)
    run_due(connection, "60 s")
    assert memory_kib(connection.info.backend_pid) - before < 8 * 1024
    (slow_run,), (quick_run,) = runs(connection, rows), runs(connection, quick)
    assert (slow_run.status, quick_run.status) == ("s", "s")
    assert [(log.result, log.output) for log in step_logs(connection, slow_run)] == [(1000000, "")]
    assert slow_run.duration is not None
    assert quick_run.duration is not None
    assert quick_run.duration < slow_run.duration


def test_megabyte_of_code(connection: Connection) -> None:
    code = f"select length('{'ä' * 500_000}')"
    _, (log,) = run_job(connection, sql_step(code))
    assert (log.status, log.result, log.output) == ("s", 1, "")


def test_flood_of_notices_is_cut_to_the_limit(connection: Connection) -> None:
    connection.execute("update pgagent.settings set output_limit = 10000")
    run_job(connection, sql_step("select 1"))
    before = memory_kib(connection.info.backend_pid)
    code = """
        do $$ begin
            for i in 1..100000 loop raise notice 'number %, some more text to make it long', i; end loop;
        end $$
    """
    _, (log,) = run_job(connection, sql_step(code))
    output = log.output or ""
    assert log.status == "s"
    assert output.startswith("NOTICE:  number 1, ")
    assert output.endswith("number 100000, some more text to make it long")
    assert "left out" in output
    assert 9000 < len(output.encode()) < 10200
    assert memory_kib(connection.info.backend_pid) - before < 8 * 1024


def test_huge_error_message_is_cut_to_the_limit(connection: Connection) -> None:
    connection.execute("update pgagent.settings set output_limit = 2000")
    log = failed_step(connection, "do $$ begin raise '%', repeat('x', 5000000); end $$")
    assert len((log.output or "").encode()) < 2200
    assert (log.output or "").startswith("ERROR:  xxx")


def test_output_that_cannot_be_kept_in_the_databases_encoding(cluster: Cluster) -> None:
    name = "narrow_letters"
    with cluster.connect() as conn:
        conn.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        with cluster.connect(name) as connection:
            connection.execute("create extension pgagent_py cascade")
            euro = "do $$ begin raise notice 'günstig: 5 %', chr(8364); end $$; select 1/0"
            jobid = add_job(connection, "Prüfung", sql_step(euro, dbname="postgres", name="größer"))
            other = add_job(connection, "other", sql_step("do $$ begin raise notice 'Größe'; end $$"))
            make_due(connection, jobid, other)
            rows = {row.jobname: row for row in run_due(connection)}
            assert {name: row.status for name, row in rows.items()} == {"Prüfung": "failed", "other": "succeeded"}
            (log,) = step_logs(connection, runs(connection, jobid)[0])
            assert log.status == "f"
            assert "5 \\u20ac" in (log.output or "")
            assert "division by zero" in (log.output or "")
            (log,) = step_logs(connection, runs(connection, other)[0])
            assert log.output == "NOTICE:  Größe"
    finally:
        cluster.drop_database(name)


def test_database_without_an_encoding(cluster: Cluster) -> None:
    name = "any_bytes"
    with cluster.connect() as conn:
        conn.execute(f"create database {name} encoding 'SQL_ASCII' locale 'C' template template0")
    try:
        with cluster.connect(name, client_encoding="LATIN1") as connection:
            connection.execute("create extension pgagent_py cascade")
            connection.execute("create table t (a text)")
            jobid = add_job(connection, "Prüfung", sql_step("insert into t values ('größer')", name="groß"))
            bad = add_job(connection, "schlecht", sql_step("select 'größer'::int"))
            make_due(connection, jobid, bad)
            assert {row.status for row in run_due(connection)} == {"succeeded", "failed"}
            assert value(connection, "select encode(a::bytea, 'escape') from t") == "gr\\366\\337er"
            assert [run.status for run in runs(connection, bad)] == ["f"]
    finally:
        cluster.drop_database(name)


def test_code_that_the_steps_database_cannot_hold_is_not_executed(connection: Connection, cluster: Cluster) -> None:
    name = f"{connection.info.dbname}_latin1"
    connection.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        with cluster.connect(name, client_encoding="UTF8") as there:
            there.execute("create table t (a text)")
            log = failed_step(connection, "insert into t values ('5 €')", dbname=name)
            assert "LATIN1" in (log.output or "")
            assert value(there, "select count(*) from t") == 0
            _, (log,) = run_job(connection, sql_step("insert into t values ('größer')", dbname=name))
            assert (log.status, log.output) == ("s", "")
            assert there.execute("select a from t").fetchall() == [("größer",)]
        notice = "do $$ begin raise notice 'größer'; end $$"
        for encoding in ("LATIN1", "UTF8"):
            code = f"set client_encoding = '{encoding}'; {notice}" if encoding == "UTF8" else notice
            _, (log,) = run_job(connection, sql_step(code, dbname=name))
            assert log.output in {"NOTICE:  größer", "NOTICE:  gr\\xf6\\xdfer"}, encoding
    finally:
        cluster.drop_database(name)


def test_error_text_in_an_encoding_of_the_steps_choice(connection: Connection) -> None:
    code = "set client_encoding = 'LATIN1'; select 'größer'::int"
    log = failed_step(connection, code)
    assert "gr\\xf6\\xdfer" in (log.output or "")


# Connections


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which connections are accepted and never answered."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_unknown_database(connection: Connection) -> None:
    log = failed_step(connection, dbname="no_such_database")
    output = log.output or ""
    assert output.startswith("Couldn't get a connection to the database!")
    assert output.endswith('FATAL:  database "no_such_database" does not exist')


def test_connection_that_fails_at_once_leaves_the_engine_working(connection: Connection) -> None:
    expected = {
        "host=/nonexistent dbname=postgres": "/nonexistent",
        "host=127.0.0.1 port=1 dbname=postgres": "Connection refused",
        "host=127.0.0.1,127.0.0.1 port=1,2 dbname=postgres": "Connection refused",
        "hostaddr=not-an-address": "not-an-address",
        "service=no_such_service": "no_such_service",
        "sslmode=rubbish host=127.0.0.1": "sslmode",
        "rubbish": "not valid",
        "no_such_keyword=1": "not valid",
    }
    bad = [add_job(connection, "bad", sql_step("select 1", connstr=connstr)) for connstr in expected]
    good = add_job(connection, "good", sql_step("select 1"))
    make_due(connection, *bad, good)
    run_due(connection)
    assert [run.status for run in runs(connection, good)] == ["s"]
    for jobid, (connstr, text) in zip(bad, expected.items(), strict=True):
        (run,) = runs(connection, jobid)
        (log,) = step_logs(connection, run)
        assert (run.status, log.status, log.result) == ("f", "f", -1), connstr
        assert (log.output or "").startswith("Couldn't get a connection to the database!\n")
        assert text in (log.output or "")
    make_due(connection, good)
    assert [row.status for row in run_due(connection)] == ["succeeded"]


def test_unreachable_host_delays_nobody_and_times_out(connection: Connection, silent_port: int) -> None:
    connection.execute("update pgagent.settings set connect_timeout = '2 s'")
    connstr = f"host=127.0.0.1 port={silent_port} user=postgres"
    jobids = [add_job(connection, f"bad {n}", sql_step("select 1", connstr=connstr)) for n in range(3)]
    good = add_job(connection, "good", *[sql_step("select 1")] * 3)
    make_due(connection, *jobids, good)
    start = time.monotonic()
    assert {row.status for row in run_due(connection, "0.5 s")} == {"running", "succeeded"}
    assert [run.status for run in runs(connection, good)] == ["s"]
    assert [row.status for row in run_due(connection, "20 s")] == ["failed"] * 3
    assert 1.5 < time.monotonic() - start < 8
    for jobid in jobids:
        (log,) = step_logs(connection, runs(connection, jobid)[0])
        assert (log.status, log.result) == ("f", -1)
        assert "timed out after 2 s" in (log.output or "")


def test_connect_timeout_of_the_connection_string_counts(connection: Connection, silent_port: int) -> None:
    connstr = f"host=127.0.0.1 port={silent_port} user=postgres connect_timeout=1"
    start = time.monotonic()
    log = failed_step(connection, connstr=connstr)
    assert time.monotonic() - start < 5
    assert "timed out after 1 s" in (log.output or "")


def test_connection_that_was_made_between_two_calls_is_in_time(connection: Connection, cluster: Cluster) -> None:
    """Nobody looked at it before its time was over; its server had answered long before."""
    with Proxy(cluster.port) as proxy:
        proxy.stall()
        connstr = f"host=127.0.0.1 port={proxy.port} user=postgres dbname=postgres connect_timeout=1 sslmode=disable"
        jobid = add_job(connection, "job", sql_step("select 1", connstr=connstr))
        make_due(connection, jobid)
        assert [row.status for row in run_due(connection, "0.2 s")] == ["running"]
        proxy.mend()
        time.sleep(1.5)
        assert [row.status for row in run_due(connection)] == ["succeeded"]


COPY_OUT, COPY_IN, COPY_BOTH = (letter + struct.pack("!ibh", 7, 0, 0) for letter in (b"H", b"G", b"W"))
READY = b"Z" + struct.pack("!i", 5) + b"I"
SELECTED = b"C" + struct.pack("!i", 13) + b"SELECT 0\0" + READY


@pytest.mark.parametrize(
    ("answers", "output"),
    [
        ([COPY_OUT], "unexpected result"),
        ([COPY_IN], "unexpected result"),
        ([COPY_BOTH], "unexpected result"),
        ([SELECTED, COPY_OUT], "unexpected result"),
        ([SELECTED], "server closed the connection"),
    ],
    ids=["copy out", "copy in", "copy both", "copy later", "end"],
)
def test_server_that_never_gets_ready(connection: Connection, answers: list[bytes], output: str) -> None:
    """Of a copy libpq never finds the end: neither may the engine wait for it, nor any other run, nor try for ever."""
    with socket.socket() as server, ThreadPoolExecutor(1) as threads:
        server.bind(("127.0.0.1", 0))
        server.listen()
        threads.submit(answer_queries, server, answers)
        connstr = f"host=127.0.0.1 port={server.getsockname()[1]} user=postgres sslmode=disable gssencmode=disable"
        bad = add_job(connection, "bad", sql_step("select 1", connstr=connstr))
        good = add_job(connection, "good", *[sql_step("select 1")] * 3)
        make_due(connection, bad, good)
        connection.execute("set statement_timeout = '10 s'")
        assert {row.status for row in run_due(connection)} == {"failed", "succeeded"}
        assert [run.status for run in runs(connection, good)] == ["s"]
        (log,) = step_logs(connection, runs(connection, bad)[0])
        assert output in (log.output or "")
        server.shutdown(socket.SHUT_RDWR)


def answer_queries(server: socket.socket, answers: list[bytes]) -> None:
    """Let everybody in who connects, answer some messages, and read one more."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.recv(10000)
            client.sendall(b"R" + struct.pack("!ii", 8, 0) + READY)  # AuthenticationOk
            for answer in answers:
                if client.recv(10000):
                    client.sendall(answer)
            client.recv(10000)


def test_password_is_never_in_the_output(connection: Connection, cluster: Cluster) -> None:
    logged_before = cluster.log
    for connstr in (
        "host=127.0.0.1 port={port} user=postgres dbname=no_such_database password={password}",
        "host=127.0.0.1 port=1 password={password}",
        "host=127.0.0.1 port=1 sslmode=rubbish password={password}",
        "password={password} rubbish",
        "password='{password}",
        "pasword={password}",
        "host=127.0.0.1 '{password}'=1",
        "postgresql://user:{password}@127.0.0.1:port/db",
        "postgresql://user:{password}%zz@127.0.0.1/db",
        "postgresql://user:{password}@[::1/db",
        "postgresql://user:{password}/slash@127.0.0.1/db",
        "postgresql://127.0.0.1/db?pasword={password}",
        "postgresql://127.0.0.1/db?password={password}&x",
    ):
        log = failed_step(connection, connstr=connstr.format(port=cluster.port, password=LEAK))
        assert LEAK not in (log.output or ""), connstr
        assert len(log.output or "") > len("Couldn't get a connection to the database!\n"), connstr
    assert LEAK not in cluster.log.removeprefix(logged_before)


def test_wrong_password_is_not_in_the_output(connection: Connection, new_cluster: Callable[..., Cluster]) -> None:
    other = new_cluster()
    hba = other.data / "pg_hba.conf"
    hba.write_text("local all all trust\nhost all all all scram-sha-256\n")
    with other.connect() as conn:
        conn.execute("alter role postgres password 'right'")
        conn.execute("select pg_reload_conf()")
    connstr = f"host=127.0.0.1 port={other.port} user=postgres dbname=postgres"
    log = failed_step(connection, connstr=f"{connstr} password={LEAK}")
    assert "password authentication failed" in (log.output or "")
    assert LEAK not in (log.output or "")
    log = failed_step(connection, connstr=connstr)
    assert "no password supplied" in (log.output or "")
    run, _ = run_job(connection, sql_step("select 1", connstr=f"{connstr} password=right"))
    assert run.status == "s"


def serve_without_settings(listener: socket.socket) -> None:
    """Be a server, for one session, that knows no SET: the console of a connection pooler, for example."""
    client, _ = listener.accept()
    with client, client.makefile("rb") as received:
        received.read(int.from_bytes(received.read(4), "big") - 4)
        ready = b"Z\0\0\0\x05I"
        client.sendall(b"R\0\0\0\x08\0\0\0\0" + ready)
        while received.read(1) == b"Q":
            code = received.read(int.from_bytes(received.read(4), "big") - 4)
            refusal = b"SERROR\0C42601\0Mno such command\0\0"
            kind, body = (b"E", refusal) if code.startswith(b"set ") else (b"C", b"SELECT 1\0")
            client.sendall(kind + (len(body) + 4).to_bytes(4, "big") + body + ready)


def test_server_that_does_not_know_our_settings(connection: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as executor:
        served = executor.submit(serve_without_settings, listener)
        connstr = f"host=127.0.0.1 port={listener.getsockname()[1]} user=x sslmode=disable gssencmode=disable"
        run, (log,) = run_job(connection, sql_step("show pools", connstr=connstr))
        assert (run.status, log.result) == ("s", 1)
        served.result()


def test_peer_that_does_not_speak_the_protocol(connection: Connection) -> None:
    """It closes the connection at once."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        jobid = add_job(
            connection, "job", sql_step("select 1", connstr=f"host=127.0.0.1 port={server.getsockname()[1]}")
        )
        make_due(connection, jobid)
        run_due(connection, "0.3 s")
        client, _ = server.accept()
        client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        client.close()
        run_due(connection, "5 s")
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.status, log.result) == ("f", "f", -1)
    assert (log.output or "").startswith("Couldn't get a connection to the database!\n")


# Definitions that change while the job runs


def test_what_is_deleted_while_the_job_runs_is_no_error(connection: Connection) -> None:
    notices: list[str | None] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    for change in (
        "delete from pgagent.pga_job where jobid = {job}",
        "delete from pgagent.pga_jobstep where jstjobid = {job}",
        "delete from pgagent.pga_jobstep where jstjobid = {job} and jstname = 'step 001'",
        "delete from pgagent.pga_jobstep where jstjobid = {job} and jstname = 'step 002'",
        "delete from pgagent.pga_schedule where jscjobid = {job}",
        "update pgagent.pga_schedule set jscenabled = false where jscjobid = {job}",
        "delete from pgagent.pga_joblog where jlgjobid = {job}",
        "delete from pgagent.pga_jobsteplog",
        "truncate pgagent.pga_joblog, pgagent.pga_jobsteplog",
    ):
        job = add_job(connection, "job", sql_step(WAITING_CODE), sql_step("select 1"), sql_step("select 1"))
        add_schedule(connection, job)
        other = add_job(connection, "other", sql_step(WAITING_CODE), sql_step("select 1"))
        make_due(connection, job, other)
        hold_steps(connection)
        run_until_held(connection, 2)
        connection.execute(change.format(job=job))
        release_steps(connection)
        rows = {row.jobname: row.status for row in run_due(connection)}
        assert rows["other"] == "succeeded", change
        assert rows["job"] in {"succeeded", "failed"}, change
        assert (notices, still_open(connection)) == ([], 0), change
        make_due(connection, other)
        assert [row.status for row in run_due(connection)] == ["succeeded"], change
        connection.execute("delete from pgagent.pga_job")


def test_deleted_row_of_the_agent_gives_up_its_runs_and_no_more(connection: Connection) -> None:
    """Nobody answers for the runs then, so they are logged as aborted; the engine registers again."""
    job = add_job(connection, "job", sql_step(WAITING_CODE), sql_step("create table too_late ()"))
    make_due(connection, job)
    hold_steps(connection)
    run_until_held(connection)
    connection.execute("delete from pgagent.pga_jobagent")
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["aborted"]
    assert still_open(connection) == 0
    assert value(connection, "select to_regclass('too_late')") is None
    make_due(connection, job)
    assert [row.status for row in run_due(connection)] == ["succeeded"]


def test_run_goes_on_with_the_steps_it_started_with(connection: Connection) -> None:
    connection.execute("create table t (a text)")
    jobid = add_job(connection, "job", sql_step(WAITING_CODE), sql_step("insert into t values ('old')"))
    make_due(connection, jobid)
    hold_steps(connection)
    run_until_held(connection)
    connection.execute(
        "update pgagent.pga_jobstep set jstcode = 'insert into t values (''new'')', jstenabled = false,"
        " jstonerror = 'i', jstname = 'a' where jstname = 'step 002'"
    )
    connection.execute("update pgagent.pga_job set jobname = 'renamed'")
    release_steps(connection)
    assert [row.status for row in run_due(connection)] == ["succeeded"]
    assert connection.execute("select a from t").fetchall() == [("old",)]


def test_step_that_deletes_its_own_job(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("delete from pgagent.pga_job"), sql_step("select 1"))
    make_due(connection, jobid)
    assert len(run_due(connection)) == 1
    assert value(connection, "select count(*) from pgagent.pga_job") == 0
    assert value(connection, "select count(*) from pgagent.pga_jobsteplog") == 0
    assert run_due(connection) == []


# Limits


@pytest.mark.parametrize("sequence", ["pga_joblog_jlgid_seq", "pga_jobsteplog_jslid_seq"])
def test_full_sequence_leaves_nothing_running_and_says_so(connection: Connection, sequence: str) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"), sql_step("select 1"))
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    connection.execute(f"select setval('pgagent.{sequence}', 10)")
    connection.execute(f"alter sequence pgagent.{sequence} maxvalue 10")
    make_due(connection, jobid)
    rows = run_due(connection, "0.5 s")
    said = " ".join([*notices, *[row.detail for row in rows]])
    assert f'reached maximum value of sequence "{sequence}"' in said
    assert still_open(connection) == 0
    connection.execute(f"alter sequence pgagent.{sequence} no maxvalue")
    make_due(connection, jobid)
    assert [row.status for row in run_due(connection)] == ["succeeded"]


def test_step_sequence_that_fills_up_within_a_run(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"), sql_step("select 1"))
    other = add_job(connection, "other", sql_step("select 1"))
    connection.execute("select setval('pgagent.pga_jobsteplog_jslid_seq', 10)")
    connection.execute("alter sequence pgagent.pga_jobsteplog_jslid_seq maxvalue 11")
    make_due(connection, jobid)
    (row,) = run_due(connection)
    assert row.status == "internal failure"
    assert 'reached maximum value of sequence "pga_jobsteplog_jslid_seq"' in row.detail
    (run,) = runs(connection, jobid)
    assert run.status == "i"
    assert run.duration is not None
    assert [log.status for log in step_logs(connection, run)] == ["s"]
    connection.execute("alter sequence pgagent.pga_jobsteplog_jslid_seq no maxvalue")
    make_due(connection, jobid, other)
    assert {row.status for row in run_due(connection)} == {"succeeded"}


def test_unusable_schedule_does_not_keep_a_run_open(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    add_schedule(connection, jobid, monthdays=[31], months=[2])
    make_due(connection, jobid)
    assert [row.status for row in run_due(connection)] == ["succeeded"]
    assert connection.execute("select jobagentid, jobnextrun from pgagent.pga_job").fetchall() == [(None, None)]


def test_log_write_that_a_users_trigger_refuses_does_not_keep_the_job(connection: Connection) -> None:
    """The output is refused, the status is not; another job is not touched."""
    connection.execute("""
        create function refuse() returns trigger language plpgsql as $$
        begin if new.jsloutput like '%secret%' then raise 'no'; end if; return new; end $$;
        create trigger refuse before update on pgagent.pga_jobsteplog for each row execute function refuse()
    """)
    jobid = add_job(connection, "job", sql_step("do $$ begin raise notice 'secret'; end $$"))
    other = add_job(connection, "other", sql_step("do $$ begin raise notice 'open'; end $$"))
    make_due(connection, jobid, other)
    assert {row.status for row in run_due(connection)} == {"succeeded"}
    for number, output in ((jobid, ""), (other, "NOTICE:  open")):
        (run,) = runs(connection, number)
        (log,) = step_logs(connection, run)
        assert (run.status, log.status, log.output) == ("s", "s", output)


def test_settings_that_lead_nowhere_are_an_error_with_a_hint(connection: Connection) -> None:
    jobid = add_job(connection, "job", sql_step("select 1"))
    make_due(connection, jobid)
    connection.execute("update pgagent.settings set conninfo = 'host=127.0.0.1 port=1'")
    start = time.monotonic()
    with pytest.raises(psycopg.OperationalError) as caught:
        run_due(connection)
    assert time.monotonic() - start < 8
    assert caught.value.sqlstate == "08006"
    assert "pgagent.settings.conninfo" in (caught.value.diag.message_hint or "")
    assert runs(connection, jobid) == []
    connection.execute("update pgagent.settings set conninfo = ''")
    assert [row.status for row in run_due(connection)] == ["succeeded"]


def test_password_in_the_settings_is_not_shown(connection: Connection) -> None:
    make_due(connection, add_job(connection, "job", sql_step("select 1")))
    connection.execute(f"update pgagent.settings set conninfo = 'password={LEAK} rubbish'")
    with pytest.raises(psycopg.Error) as caught:
        run_due(connection)
    diagnosis = caught.value.diag
    said = f"{diagnosis.message_primary} {diagnosis.message_detail} {diagnosis.context}"
    assert LEAK not in said
    assert caught.value.sqlstate in {"08006", "22023"}
