"""The command against a real server, each call a process of its own, its output piped."""

from __future__ import annotations

import json
import re

import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from harness import Database, Ticker, value, wait_until
from harness.command import Command
from harness.people import People

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

CROSS = "\N{MULTIPLICATION SIGN}"


def create(connection: Session, name: str, **parameters: object) -> int:
    words = ", ".join(f"{key} => %s" for key in parameters)
    return int(value(connection, f"select pgagent.create_job(%s, {words})", name, *parameters.values()))


@pytest.mark.usefixtures("connection")
def test_a_job_from_its_creation_to_its_end(command: Command) -> None:
    done = command("create", "nightly vacuum", "--schedule", "30 2 * * *", "--sql", "select 1")
    assert (done.returncode, done.stderr) == (0, "")
    jobid = int(done.stdout)
    (row,) = command.listed("jobs")
    assert (row["job"], row["name"], row["enabled"], row["last_status"]) == (jobid, "nightly vacuum", True, None)

    shown = command("show", "nightly vacuum").stdout
    assert shown.startswith(f"nightly vacuum ({jobid})\n  owner:          postgres\n")
    assert "\n      select 1\n" in shown
    assert "at 02:30 every day" in shown

    assert command("disable", str(jobid)).stdout == 'job "nightly vacuum" is disabled\n'
    assert re.search("  disabled$", command("jobs").stdout, re.MULTILINE)
    enabled = command("enable", "nightly vacuum").stdout
    assert enabled.startswith('job "nightly vacuum" is enabled and runs next at ')

    assert command("drop", "nightly vacuum").stdout == 'job "nightly vacuum" is dropped\n'
    assert command.listed("jobs") == []


@pytest.mark.usefixtures("connection")
def test_all_options_of_create_reach_the_job(command: Command) -> None:
    options = ["--every", "10 min", "--schedule", "* 8-17 * * *", "--timezone", "Europe/Berlin", "--file", "-"]
    options += [
        "--description",
        "d",
        "--class",
        "Data Import",
        "--host",
        "db1",
        "--owner",
        "postgres",
        "--timeout",
        "1 h",
    ]
    options += ["--start-deadline", "5 min", "--max-failures", "3", "--lock", "a", "--lock", "b", "--priority", "7"]
    done = command("create", "all", *options, "--disabled", text="#!/bin/sh\necho hi\n")
    assert done.returncode == 0, done.stderr
    row = command.listed("show", done.stdout.strip())
    wanted = {
        "class": "Data Import", "description": "d", "host": "db1", "timeout": 3600, "start_deadline": 300,
        "max_failures": 3, "locks": ["a", "b"], "priority": 7, "enabled": False,
    }  # fmt: skip
    assert {key: row[key] for key in wanted} == wanted
    (step,) = row["steps"]
    assert (step["kind"], step["code"]) == ("batch", "#!/bin/sh\necho hi\n")
    assert "Europe/Berlin" in row["schedules"][0]["words"]


@pytest.mark.usefixtures("connection")
def test_errors_of_the_server_are_told_as_by_psql(command: Command) -> None:
    done = command("show", "no such job")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        'error: job "no such job" does not exist\nHINT: pgagent-py jobs lists the jobs with their ids.\n'
    )
    done = command("show", "99")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: job 99 does not exist")
    for name in ("log", "cancel"):
        done = command(name, "99")
        assert done.stderr == "error: run 99 does not exist\nHINT: pgagent-py runs lists the latest runs.\n"
    done = command("create", "x", "--schedule", "61 * * * *", "--sql", "select 1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not done.stderr.startswith("error: plpy")


def test_what_is_no_utf_8_is_an_error_and_no_traceback(command: Command) -> None:
    done = command("show", "\udcff")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: a text is no UTF-8")


def test_no_server_and_no_extension_are_told_apart(command: Command, database: Database) -> None:
    done = command.connected_by(None)("-h", "/nowhere", "jobs")
    assert (done.returncode, done.stderr.splitlines()[0]) == (5, "error: cannot connect to the database")
    done = command.connected_by(make_conninfo(database.conninfo, dbname="template1"))("jobs")
    assert done.returncode == 1
    assert "HINT: Is pgagent_py in this database?" in done.stderr
    done = command.connected_by(make_conninfo(database.conninfo, dbname="template1"))("create", "x")
    assert "HINT: Is pgagent_py in this database?" in done.stderr


def test_libpq_says_where_to_connect(connection: Session, command: Command) -> None:
    info = connection.info
    where = {"PGHOST": info.host, "PGPORT": str(info.port), "PGDATABASE": info.dbname}
    bare = command.connected_by(None)
    assert bare("-U", "postgres", "jobs", **where).returncode == 0
    options = ["-U", "postgres", "-d", info.dbname, "-h", info.host, "-p", str(info.port)]
    assert bare(*options, "jobs").returncode == 0


@pytest.fixture
def history(connection: Session) -> int:
    """The job "night [red]" with a run that failed an hour ago, one that was aborted and one that succeeded."""
    jobid = create(connection, "night [red]", schedule="0 3 * * *", sql="select 1")
    connection.execute(
        "with r as (insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration, jlgreason)"
        " select %s, s, now() - a::interval, d::interval, case when s <> 's' then 'it was bad' end"
        " from (values ('s', '9 h', '2 h'), ('d', '3 h', '1 s'), ('f', '1 h', '90 s')) v (s, a, d)"
        " returning jlgid, jlgstatus, jlgstart, jlgduration)"
        " insert into pgagent.pga_jobsteplog"
        " (jsljlgid, jsljstid, jslstatus, jslstart, jslduration, jslresult, jsloutput)"
        " select jlgid, (select jstid from pgagent.pga_jobstep where jstjobid = %s), jlgstatus, jlgstart, jlgduration,"
        " 0, 'line 1' || chr(10) || 'line ' || chr(27) || '[31m' from r",
        (jobid, jobid),
    )
    return jobid


@pytest.mark.usefixtures("history")
def test_the_history_is_listed_and_drawn(command: Command) -> None:
    rows = command.listed("runs", "night [red]")
    assert [row["status"] for row in rows] == ["failed", "aborted", "succeeded"]
    assert rows[0]["duration"] == 90
    assert [row["status"] for row in command.listed("runs", "--failed", "--since", "2 hours")] == ["failed"]

    assert [row["status"] for row in command.listed("runs", "--since", "4 h")] == ["failed", "aborted"]
    assert len(command.listed("runs", "--since", "2020-01-01 12:00")) == 3
    assert command.listed("runs", "--since", "23:59:59") == []
    assert command("runs", "--since", "nonsense").returncode == 1

    done = command("history")
    assert "\x1b" not in done.stdout
    line = done.stdout.splitlines()[1]
    assert re.fullmatch(f"night \\[red\\] .*[▁-█]█{{3,6}}.? .*{CROSS} .*{CROSS}.* 3 +2", line), line
    (job,) = command.listed("history", "--hours", "24")
    assert (job["runs"], job["failed"], job["longest"]) == (3, 2, 7200)
    busy = sum(cell["busy"] for cell in job["cells"]) * job["cell_seconds"]
    assert busy == pytest.approx(7200 + 90 + 1, abs=2)


def test_a_log_is_piped_as_it_was(history: int, command: Command) -> None:
    done = command("log", "night [red]")
    run, *rest = re.findall(r"run (\d+) of", done.stdout)
    assert rest == []
    assert done.stdout == (
        "01 (sql)\nline 1\nline \x1b[31m\n  failed after 1 min 30 s\n"
        f"run {run} of night [red]: failed after 1 min 30 s\n  it was bad\n"
    )
    found = command.listed("log", run)
    assert (found["job"], found["log"][0]["output"]) == (history, "line 1\nline \x1b[31m")
    assert command("log", "999999").returncode == 1


def test_infinite_times_are_shown(connection: Session, command: Command) -> None:
    create(connection, "job", sql="select 1")
    connection.execute("update pgagent.pga_job set jobnextrun = 'infinity'")
    assert command.listed("jobs")[0]["next_run"] == "infinity"
    assert " infinity" in command("jobs").stdout
    assert " never" in command("top").stdout


@pytest.mark.usefixtures("history")
def test_what_comes_is_listed(command: Command) -> None:
    (row,) = command.listed("next")
    assert (row["name"], row["run"][11:19]) == ("night [red]", "03:00:00")
    assert len(command.listed("next", "night [red]", "-n", "3")) == 3
    piped = command("next").stdout.splitlines()
    assert piped[0].split() == ["run", "in", "id", "job", "schedule"]
    assert len(piped) == 2


@pytest.mark.usefixtures("history")
def test_top_is_one_screen_where_it_is_piped(command: Command) -> None:
    done = command("top")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())
    assert done.stdout.splitlines()[1].startswith("health: ")
    for words in ("Running: 0", "it was bad"):
        assert words in done.stdout
    coming = done.stdout.split("\nComing\n")[1]
    assert re.search(r"night \[red\]  (\w{3} \d\d 03:00|03:00:00) ", coming), coming  # tomorrow's with its date


@pytest.mark.usefixtures("history")
def test_check_and_health_find_something(command: Command) -> None:
    for name, status in (("check", "severity"), ("health", "status")):
        done = command(name, "--json")
        bad = [row for row in json.loads(done.stdout) if row[status] not in ("OK", "INFO")]
        assert bad
        assert all(row["remedy"] for row in bad)
        assert done.returncode == 6


@pytest.mark.usefixtures("connection")
def test_check_and_health_find_nothing_where_nothing_is(command: Command) -> None:
    for name in ("check", "health"):
        done = command(name)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize(
    ("code", "status", "exit_code"), [("select 1", "succeeded", 0), ("select 1/0", "failed", 1)], ids=["good", "bad"]
)
def test_run_ends_as_the_run_does(
    connection: Session, command: Command, code: str, status: str, exit_code: int
) -> None:
    create(connection, "job", sql=code, enabled=False)
    done = command("run", "job", "--here")
    assert done.returncode == exit_code
    assert done.stderr == ""
    assert re.search(rf"^01 \(sql\)\n(ERROR: .*\n)?  {status} after .*\nrun \d+ of job: {status} after ", done.stdout)


def test_run_here_runs_one_step(connection: Session, command: Command) -> None:
    jobid = create(connection, "job", sql="select 1/0")
    connection.execute("select pgagent.add_step(%s, sql => 'select 2')", (jobid,))
    done = command("run", "job", "--step", "02", "--here", "--json")
    assert (done.returncode, json.loads(done.stdout)["steps"]) == (0, 1)
    done = command("run", "job", "--step", "03")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "HINT: Its steps are: 01, 02.")


def test_without_a_ticker_run_says_so_and_waits_no_longer_than_it_may(connection: Session, command: Command) -> None:
    create(connection, "job", sql="select 1")
    done = command("run", "job", "--timeout", "0.1")
    assert done.returncode == 4
    assert "no ticker is at work" in done.stderr
    assert "--here runs it" in done.stderr
    (run,) = re.findall(r"run (\d+) has not ended within 0.1 s", done.stderr)
    done = command("log", run)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, f"error: run {run} has not started yet")
    assert command("cancel", run).stdout == f"run {run} is being cancelled\n"
    done = command("cancel", run)
    assert (done.returncode, done.stderr) == (1, f"error: run {run} has ended already\n")


def test_a_ticker_that_has_run_nothing_yet_is_at_work(
    connection: Session, command: Command, database: Database
) -> None:
    create(connection, "job", sql="select 1")
    with Ticker(database.conninfo) as ticker:
        ticker.wait_for_line("connected session=batch")
        assert command("run", "job").stderr == ""


def test_a_cancelled_run_has_an_exit_code_of_its_own(connection: Session, command: Command, database: Database) -> None:
    create(connection, "job", batch="echo begun; sleep 60")
    with Ticker(database.conninfo) as ticker:
        ticker.wait_for_line("connected session=batch")
        run = command("run", "job", "--no-wait").stdout.strip()
        follower = command.start("log", run, "--follow")
        query = "select count(*) from pgagent.running where state = 'with a ticker'"
        wait_until(lambda: value(connection, query) == 1, what="the script to start")
        assert command("cancel", run).returncode == 0
        done = follower.finish()
    assert done.returncode == 3
    assert done.stdout.startswith("01 (batch)\nbegun\n")
    assert f"run {run} of job: aborted after" in done.stdout


def test_a_job_user_works_with_his_own_jobs(
    connection: Session, command: Command, database: Database, people: People
) -> None:
    people.log_in("alice")
    create(connection, "not hers", sql="select 1")
    as_alice = command.connected_by(make_conninfo(database.conninfo, user="alice"))
    assert as_alice("create", "hers", "--sql", "select 1").returncode == 0
    assert [row["name"] for row in as_alice.listed("jobs")] == ["hers"]
    assert as_alice("history").returncode == 0
    assert "health: only who may call" in as_alice("top").stdout
    done = as_alice("drop", "not hers")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, 'error: job "not hers" does not exist')
    done = as_alice("health")
    remedy = "HINT: A superuser permits it: GRANT EXECUTE ON FUNCTION pgagent.health() TO role."
    assert (done.returncode, done.stderr) == (1, f"error: permission denied for function health\n{remedy}\n")


def test_completion_offers_names_of_jobs(connection: Session, command: Command, database: Database) -> None:
    simple, other = create(connection, "nightly", sql="select 1"), create(connection, "two words", sql="select 1")
    environment = {
        "_PGAGENT_PY_COMPLETE": "zsh_complete",
        "COMP_WORDS": f"pgagent-py -d '{database.conninfo}' show ",
        "COMP_CWORD": "4",
    }
    done = command.connected_by(None)(**environment)
    assert done.stdout.split("\n")[:-1] == ["plain", "nightly", str(simple), "plain", str(other), "two words"]
