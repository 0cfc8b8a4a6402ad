"""Batch steps through a ticker: what the script gets, what the log gets, what is left behind."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from harness import (
    Cluster,
    Database,
    StepLog,
    Ticker,
    add_job,
    batch_step,
    make_due,
    runs,
    sql_step,
    step_logs,
    value,
    wait_until,
)
from harness.following import follow_job, wait_for_jobs, wait_for_runs

Connection = psycopg.Connection[TupleRow]

DATABASE = "batch"
OUTPUT_LIMIT = 1048576
MOST_MEMORY_KB = 100 * 1024


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TMPDIR of the module's ticker."""
    return tmp_path_factory.mktemp("with blank")


@pytest.fixture(scope="module")
def batch_database(cluster: Cluster) -> Iterator[Database]:
    yield cluster.create_database(DATABASE)
    cluster.drop_database(DATABASE)


@pytest.fixture(scope="module")
def ticker(batch_database: Database, place: Path) -> Iterator[Ticker]:
    """One ticker for all tests of this module but those that start their own."""
    environment = {
        "TMPDIR": str(place), "LANG": "C.UTF-8", "LC_TIME": "C", "TZ": "Asia/Tokyo", "ASKED_FOR": "inherited",
        "OF_THE_TICKER": "not inherited", "PGPASSWORD": "secret", "PGUSER": "nobody", "PGHOST": "elsewhere",
    }  # fmt: skip
    options = ["-t", "60", "-l", "2", "--environment", "ASKED_FOR", "--environment", "GIVEN=a=b c"]
    options += ["--environment", "PGHOST", "--environment", "NOT_THERE"]
    with Ticker(batch_database.conninfo, *options, environment=environment) as ticker:
        yield ticker


@pytest.fixture
def conn(batch_database: Database, ticker: Ticker) -> Iterator[Connection]:
    with psycopg.connect(batch_database.conninfo, autocommit=True) as conn:
        yield conn
    assert ticker.exit_code is None, ticker.log


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "output"),
    [
        pytest.param("", "s", 0, "", id="empty"),
        pytest.param("echo out", "s", 0, "out\n", id="output"),
        pytest.param("printf '\\n  out  \\n\\n'", "s", 0, "\n  out  \n\n", id="output verbatim"),
        pytest.param("echo err >&2", "s", 0, "\nScript Error: \nerr\n\n", id="errors alone fail nothing"),
        pytest.param("echo out; echo err >&2; exit 3", "f", 3, "out\n\nScript Error: \nerr\n\n", id="both"),
        pytest.param("exit 255", "f", 255, "", id="exit code"),
        pytest.param("kill -9 $$", "f", 137, "", id="killed"),
        pytest.param("kill -TERM $$", "f", 143, "", id="terminated"),
        pytest.param("#!/usr/bin/python3\nprint(6 * 7)", "s", 0, "42\n", id="another interpreter"),
        pytest.param("echo one\r\nexit 5\r\n", "f", 5, "one\n", id="line ends of Windows"),
        pytest.param("#!/bin/sh\r\necho one\r\n", "s", 0, "one\n", id="interpreter with a line end of Windows"),
        pytest.param("printf 'caf\\351 \\303\\251 \\302'", "s", 0, "caf\\xe9 é \\xc2", id="Latin-1 and UTF-8"),
        pytest.param("printf 'a\\000b'", "s", 0, "a\\x00b", id="NUL"),
        pytest.param("echo 'äöü 漢字 🐘'", "s", 0, "äöü 漢字 🐘\n", id="code with any characters"),
        pytest.param("cat; echo end", "s", 0, "end\n", id="empty input"),
        pytest.param('basename "$0"', "s", 0, None, id="its own name"),
    ],
)
def test_outcome(conn: Connection, code: str, status: str, exit_code: int, output: str | None) -> None:
    run, (log,) = follow_job(conn, batch_step(code))
    expected = f"{run.jobid}_{step_id(conn, run.jobid)}.scr\n" if output is None else output
    assert (run.status, log.status, log.result, log.output) == (status, status, exit_code, expected)
    assert log.duration is not None


def test_missing_interpreter(conn: Connection) -> None:
    run, (log,) = follow_job(conn, batch_step("#!/usr/bin/no-such-interpreter\necho no"))
    assert (run.status, log.status, log.result) == ("f", "f", 127)
    assert "/usr/bin/no-such-interpreter" in (log.output or "")


def test_missing_command(conn: Connection) -> None:
    _, (log,) = follow_job(conn, batch_step("no-such-command"))
    assert (log.status, log.result) == ("f", 127)
    assert "no-such-command: not found" in (log.output or "")


def test_script_knows_its_job(conn: Connection) -> None:
    name = 'the $job\'s "name"\nand Ä'
    code = 'printf "%s|" "$PGAGENT_JOBID" "$PGAGENT_JOBNAME" "$PGAGENT_STEPID" "$PGAGENT_RUNID" "$PGAGENT_DUE"'
    run, (log,) = follow_job(conn, batch_step(code), name=name)
    *told, due, end = (log.output or "").split("|")
    assert (told, end) == ([str(run.jobid), name, str(step_id(conn, run.jobid)), str(run.id)], "")
    assert timedelta(0) <= run.start - datetime.fromisoformat(due) < timedelta(minutes=1)


def test_script_gets_a_known_environment(conn: Connection, place: Path) -> None:
    run, (log,) = follow_job(conn, batch_step("pwd; umask; env -0 | sort -z | tr '\\0' '\\n'"), name="the job")
    entry = pwd.getpwuid(os.geteuid())
    variables = {
        "HOME": entry.pw_dir, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell, "USER": entry.pw_name,
        "PATH": os.environ["PATH"], "TMPDIR": str(place), "LANG": "C.UTF-8", "LC_TIME": "C", "TZ": "Asia/Tokyo",
        "ASKED_FOR": "inherited", "GIVEN": "a=b c", "PGHOST": "elsewhere",
        "PGAGENT_JOBID": str(run.jobid), "PGAGENT_JOBNAME": "the job", "PGAGENT_RUNID": str(run.id),
        "PGAGENT_STEPID": str(step_id(conn, run.jobid)),
    }  # fmt: skip
    assert log.output is not None
    directory, umask, *lines = log.output.splitlines()
    assert (directory, int(umask, 8)) == (str(Path.cwd()), current_umask())
    found = dict(line.split("=", 1) for line in lines)
    of_no_interest = {
        "PGAGENT_MARK",
        "PGAGENT_DUE",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        *(name for name in os.environ if name[:3] == "LC_"),
    }
    assert {name: value for name, value in found.items() if name not in of_no_interest - {"LC_TIME"}} == variables


def test_directory_is_private_and_gone_afterwards(conn: Connection, place: Path) -> None:
    code = 'stat -c "%a %F" "$(dirname "$0")" "$0"; dirname "$0"; touch "$(dirname "$0")/left behind"'
    _, (log,) = follow_job(conn, batch_step(code))
    assert log.output is not None
    *modes, directory = log.output.splitlines()
    assert modes == ["700 directory", "700 regular file"]
    assert Path(directory).parent == place
    wait_until(lambda: not list(place.iterdir()), what="the private directory to be removed")


def test_huge_output_is_kept_at_both_ends(conn: Connection, ticker: Ticker) -> None:
    code = "echo begin; head -c 50000000 /dev/zero | tr '\\000' x; echo; echo end; head -c 1000 /dev/zero >&2"
    run, (log,) = follow_job(conn, batch_step(code))
    output = log.output or ""
    assert (run.status, log.result) == ("s", 0)
    assert output.startswith("begin\nxxx")
    assert "xxx\nend\n\nScript Error: \n\\x00" in output
    assert "bytes left out" in output
    assert OUTPUT_LIMIT / 2 < len(output) < OUTPUT_LIMIT * 1.01
    assert peak_memory_kb(ticker.pid) < MOST_MEMORY_KB


def test_twenty_steps_at_once_are_not_mixed_up(conn: Connection, tmp_path: Path) -> None:
    """Each waits until all have begun, then prints its number many times on both streams."""
    barrier = f"touch {tmp_path}/$PGAGENT_JOBID; until [ $(ls {tmp_path} | wc -l) -ge 20 ]; do sleep 0.05; done\n"
    shout = "for i in 1 2 3 4 5; do echo {0}; echo {0} >&2; done; exit {0}"
    jobs = {number: add_job(conn, f"job {number}", batch_step(barrier + shout.format(number)))
            for number in range(20)}  # fmt: skip
    make_due(conn, *jobs.values())
    wait_for_jobs(conn, list(jobs.values()))
    for number, jobid in jobs.items():
        (run,) = wait_for_runs(conn, jobid)
        (log,) = step_logs(conn, run)
        shouts = f"{number}\n" * 5
        assert (log.result, log.output) == (number, f"{shouts}\nScript Error: \n{shouts}\n")


def test_more_steps_than_places_wait_their_turn(cluster: Cluster) -> None:
    """The news of a waiting step comes while no place is free: the ticker must neither lose it nor spin on it."""
    database = cluster.create_database(f"{DATABASE}_one_place")
    with (
        psycopg.connect(database.conninfo, autocommit=True) as client,
        Ticker(database.conninfo, "-t", "60", "--batch-parallel", "1") as ticker,
    ):
        jobs = [add_job(client, f"job {number}", batch_step("sleep 0.3")) for number in range(4)]
        for jobid in jobs:
            make_due(client, jobid)
        wait_for_jobs(client, jobs)
        assert [run.status for jobid in jobs for run in runs(client, jobid)] == ["s"] * 4
        assert ticker.stop() == 0
    cluster.drop_database(database.name)


@pytest.mark.parametrize(
    ("on_error", "run_status", "step_statuses"),
    [("f", "f", ["f"]), ("s", "s", ["s", "s"]), ("i", "s", ["i", "s"])],
)
def test_failed_script_counts_as_its_on_error_letter(
    conn: Connection, on_error: str, run_status: str, step_statuses: list[str]
) -> None:
    run, logs = follow_job(conn, batch_step("exit 7", on_error=on_error), sql_step("select 1"))
    assert run.status == run_status
    assert [log.status for log in logs] == step_statuses
    assert logs[0].result == 7


def test_steps_of_both_kinds_run_in_order(conn: Connection, tmp_path: Path) -> None:
    conn.execute("drop table if exists seen; create table seen (at timestamptz default clock_timestamp(), what text)")
    psql = f"psql -XqAt -d {shlex.quote(conn.info.dsn)} -c"
    run, logs = follow_job(
        conn,
        sql_step("insert into seen (what) values ('one')"),
        batch_step(f"{psql} \"insert into seen (what) values ('two')\"; touch {tmp_path}/two"),
        batch_step(f"cat {tmp_path}/two && echo three"),
        sql_step("insert into seen (what) select count(*)::text from seen"),
    )
    assert (run.status, [log.status for log in logs]) == ("s", ["s"] * 4)
    assert [row[0] for row in conn.execute("select what from seen order by at")] == ["one", "two", "2"]
    assert logs[2].output == "three\n"
    assert_one_after_the_other(logs)


def test_job_deleted_while_its_script_runs(conn: Connection, tmp_path: Path) -> None:
    code = f"touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/ended"
    jobid = add_job(conn, "job", batch_step(code), sql_step("select 1"))
    make_due(conn, jobid)
    wait_until((tmp_path / "begun").exists, what="the script to begin")
    conn.execute("delete from pgagent.pga_job where jobid = %s", (jobid,))
    (tmp_path / "go").touch()
    wait_until((tmp_path / "ended").exists, what="the script to end")
    wait_until(lambda: value(conn, "select count(*) = 0 from pgagent._batch_step"), what="the run to end")
    run, _ = follow_job(conn, batch_step("true"))
    assert run.status == "s"


def test_job_row_locked_while_its_script_ends(conn: Connection, batch_database: Database, tmp_path: Path) -> None:
    code = f"touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    jobid = add_job(conn, "job", batch_step(code), sql_step("select 1"))
    make_due(conn, jobid)
    wait_until((tmp_path / "begun").exists, what="the script to begin")
    with psycopg.connect(batch_database.conninfo) as client:
        client.execute("select from pgagent.pga_job where jobid = %s for update", (jobid,))
        (tmp_path / "go").touch()
        run, _ = follow_job(conn, batch_step("true"), sql_step("select 1"))
        assert run.status == "s"
    (run,) = wait_for_runs(conn, jobid)
    assert (run.status, [log.status for log in step_logs(conn, run)]) == ("s", ["s", "s"])


def test_output_in_a_database_of_another_encoding(cluster: Cluster) -> None:
    """What the encoding lacks becomes escapes; the log row is never lost."""
    name = "latin1"
    with cluster.connect() as maintenance:
        statement = "create database {} encoding 'LATIN1' locale 'C' template template0"
        maintenance.execute(sql.SQL(statement).format(sql.Identifier(name)))
    try:
        conninfo = cluster.conninfo(name)
        with cluster.connect(name, client_encoding="UTF8") as conn, Ticker(conninfo):
            conn.execute("create extension pgagent_py cascade")
            run, logs = follow_job(
                conn,
                batch_step("echo é"),
                batch_step("printf '\\342\\202\\254 \\351 \\000 é'; exit 1", on_error="i"),
                sql_step("select 1"),
                name="Ä",
            )
            assert (run.status, [log.result for log in logs]) == ("s", [0, 1, 1])
            assert logs[0].output == "é\n"
            assert logs[1].output == "\\u20ac \\xe9 \\x00 \\xe9"
    finally:
        cluster.drop_database(name)


def step_id(conn: Connection, jobid: int) -> int:
    """Return the id of a job's only step."""
    return int(value(conn, "select jstid from pgagent.pga_jobstep where jstjobid = %s", jobid))


def current_umask() -> int:
    """Return the umask of this process."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1], 8) for line in status.splitlines() if line.startswith("Umask:"))


def peak_memory_kb(pid: int) -> int:
    """Return the most memory that a process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def assert_one_after_the_other(logs: list[StepLog]) -> None:
    for earlier, later in pairwise(logs):
        assert earlier.duration is not None
        assert earlier.start + earlier.duration <= later.start
