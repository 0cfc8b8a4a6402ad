"""`pgagent-py import`: crontabs and pg_cron's table as YAML and as jobs, and the report on the standard error."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Database
from harness.pg_cron import create_cron_job
from pgagent_cli import cli, pg_cron
from pgagent_cli.commands.imports import names_users
from pgagent_cli.conversion import Owners
from pgagent_cli.pg_cron import Job, Options, Server

pytestmark = pytest.mark.shared_database

SERVER = Server(timezone="GMT", port=5432, hosts=["localhost", ""])


def job(schedule: str = "0 3 * * *", **other: Any) -> Job:
    """A row of cron.job."""
    row = {"id": 1, "name": "job", "command": "select 1", "host": "localhost", "port": 5432, "database": "shop"}
    return Job(**{**row, "owner": "alice", "active": True, **other}, schedule=schedule)


def convert(*jobs: Job, options: Options | None = None) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """The jobs of the document, and kind and place of the findings but the general ones."""
    converted = pg_cron.convert(SERVER, jobs, options or Options())
    found: list[dict[str, Any]] = converted.document["jobs"]
    return found, [(one.kind, one.place) for one in converted.findings if one.place]


def test_row_becomes_a_job() -> None:
    assert convert(job("30 2 * * 1-5", command="vacuum", active=False)) == (
        [
            {
                "name": "job",
                "owner": "alice",
                "enabled": False,
                "steps": [{"name": "01", "sql": "vacuum", "database": "shop"}],
                "schedules": [{"name": "30 2 * * 1-5", "cron": "30 2 * * 1-5", "timezone": "GMT"}],
            }
        ],
        [],
    )


def test_seconds_become_an_interval() -> None:
    (made,), _ = convert(job("30 Seconds "))
    assert made["schedules"] == [{"name": "30 Seconds", "every": "30 s"}]


def test_last_day_and_both_kinds_of_days() -> None:
    (last, either), findings = convert(job("0 3 $ * *"), job("0 3 1 * mon", id=2, name="other"))
    assert [one["cron"] for one in last["schedules"]] == ["0 3 L * *"]
    assert [one["cron"] for one in either["schedules"]] == ["0 3 1 * *", "0 3 * * mon"]
    assert findings == [("note", "job 2")]


def test_names_are_made_of_commands_and_unique() -> None:
    jobs, _ = convert(job(name=None, command="\n  vacuum analyze \n"), job(id=2, name="a"), job(id=3, name="a"))
    assert [one["name"] for one in jobs] == ["vacuum analyze", "a", "a (2)"]


def test_other_server_becomes_a_connection_string() -> None:
    (made,), findings = convert(job(host="10.0.0.7", port=5433))
    assert made["steps"][0]["connection"] == "host=10.0.0.7 port=5433 dbname=shop user=alice"
    assert "database" not in made["steps"][0]
    assert findings == [("differs", "job 1")]


def test_no_time_is_left_out() -> None:
    jobs, findings = convert(job("@reboot"), job("100 seconds", id=2))
    assert (jobs, findings) == ([], [("left out", "job 1"), ("left out", "job 2")])


def test_owners_and_prefix() -> None:
    options = Options("cron: ", Owners({"alice": "batch"}))
    jobs, _ = convert(job(), job(id=2, owner="bob"), options=options)
    assert [(one["name"], one["owner"]) for one in jobs] == [("cron: job", "batch"), ("cron: job (2)", "bob")]


@pytest.fixture
def cron(connection: Connection[TupleRow]) -> Connection[TupleRow]:
    """A superuser's session in a database that has pg_cron's table, empty."""
    create_cron_job(connection)
    return connection


def call(database: Database, *words: str) -> int:
    """Call pgagent-py; returns its exit code."""
    return cli.main(["-d", database.conninfo, *words])


def jobs_made(conn: Connection[TupleRow]) -> list[TupleRow]:
    """What the imported jobs do and when."""
    return conn.execute(
        "select jobname, jobowner::text, jobenabled, jstkind::text, jstcode, jstdbname::text,"
        " array_agg(coalesce(pgagent.to_cron(jscid), jscinterval::text) || coalesce(' ' || jsctimezone, '')"
        " order by jscid)"
        " from pgagent.pga_job join pgagent.pga_jobstep on jstjobid = jobid"
        " join pgagent.pga_schedule on jscjobid = jobid"
        " group by 1, 2, 3, 4, 5, 6 order by 1"
    ).fetchall()


def test_pg_cron_is_printed(cron: Connection[TupleRow], database: Database, capfd: pytest.CaptureFixture[str]) -> None:
    cron.execute("insert into cron.job (schedule, command, jobname) values ('10 seconds', 'select 1', 'often')")
    assert call(database, "import", "pg_cron") == 0
    printed = capfd.readouterr()
    assert yaml.safe_load(printed.out) == {
        "version": 1,
        "jobs": [
            {
                "name": "often",
                "owner": "postgres",
                "steps": [{"name": "01", "sql": "select 1", "database": database.name}],
                "schedules": [{"name": "10 seconds", "every": "10 s"}],
            }
        ],
    }
    assert "UPDATE cron.job SET active = false" in printed.err
    assert jobs_made(cron) == []


def test_pg_cron_is_applied(cron: Connection[TupleRow], database: Database) -> None:
    cron.execute(
        "insert into cron.job (schedule, command, jobname, active) values"
        " ('0 3 * * *', 'vacuum', 'nightly', true), ('0 5 1 * mon', 'select 1', 'either', false),"
        " ('@reboot', 'select 2', null, true), ('30 seconds', 'select 3', null, true)"
    )
    assert call(database, "import", "pg_cron", "--from", database.conninfo, "--apply") == 0
    here = database.name
    assert jobs_made(cron) == [
        ("either", "postgres", False, "s", "select 1", here, ["0 5 1 * * GMT", "0 5 * * 1 GMT"]),
        ("nightly", "postgres", True, "s", "vacuum", here, ["0 3 * * * GMT"]),
        ("select 3", "postgres", True, "s", "select 3", here, ["00:00:30"]),
    ]


def test_table_of_an_old_pg_cron(cron: Connection[TupleRow], database: Database) -> None:
    cron.execute("alter table cron.job drop column jobname, drop column active")
    cron.execute("insert into cron.job (schedule, command) values ('0 3 * * *', 'vacuum')")
    with psycopg.connect(database.conninfo) as conn:
        _, (found,) = pg_cron.read_jobs(conn)
    assert (found.name, found.active, found.owner) == (None, True, "postgres")


def test_without_pg_cron_the_command_says_so(
    connection: Connection[TupleRow], database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    connection.execute("drop schema if exists cron cascade")
    assert call(database, "import", "pg_cron") == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "pg_cron is not in this database" in printed.err


def test_crontab_is_printed_without_a_database(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crontab"
    path.write_text("# Report\n0 5 * * * cat%one\n\n@reboot x\n")
    words = ["-h", str(tmp_path), "import", "crontab", str(path), "--prefix", "a ", "--owner", "alice"]
    assert cli.main(words) == 0
    printed = capfd.readouterr()
    assert yaml.safe_load(printed.out) == {
        "version": 1,
        "jobs": [
            {
                "name": "a Report",
                "owner": "alice",
                "steps": [{"name": "01", "batch": "cd\nexec <<'END_OF_INPUT'\none\nEND_OF_INPUT\ncat\n"}],
                "schedules": [{"name": "0 5 * * *", "cron": "0 5 * * *"}],
            }
        ],
    }
    assert "batch: |\n" in printed.out
    assert printed.err.startswith("left out: line 4: @reboot names no time")


def test_crontab_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = io.TextIOWrapper(io.BytesIO("# Ölstand\n@hourly messen\n".encode()))
    monkeypatch.setattr(sys, "stdin", given)
    assert cli.main(["import", "crontab", "-"]) == 0
    (job,) = yaml.safe_load(capfd.readouterr().out)["jobs"]
    assert job["name"] == "Ölstand"


def test_system_crontab_names_users(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "backup"
    path.write_text("@daily root backup\n@weekly www-data tidy\n")
    owners = ("--owner", "root=postgres", "--owner", "batch")
    assert cli.main(["import", "crontab", str(path), "--system-crontab", *owners]) == 0
    printed = capfd.readouterr()
    assert [(job["name"], job["owner"]) for job in yaml.safe_load(printed.out)["jobs"]] == [
        ("backup", "postgres"),
        ("tidy", "batch"),
    ]
    assert "--run-as www-data" in printed.err


@pytest.mark.parametrize(
    ("path", "expected"), [("/etc/crontab", True), ("/etc/cron.d/e2scrub_all", True), ("crontab", False), ("-", False)]
)
def test_whose_crontabs_name_users(path: str, expected: bool) -> None:
    assert names_users(path) is expected


def test_crontab_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import", "crontab", str(tmp_path / "none")]) == 1
    assert "cannot read" in capfd.readouterr().err


def test_crontab_is_applied_once_and_again(
    connection: Connection[TupleRow],
    database: Database,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "crontab"
    path.write_text("# Report\n0 5 * * * report\n\n@daily tidy up\n")
    words = ("import", "crontab", str(path), "--timezone", "Europe/Berlin", "--apply")
    made = [
        ("Report", "postgres", True, "b", "cd\nreport\n", "", ["0 5 * * * Europe/Berlin"]),
        ("tidy up", "postgres", True, "b", "cd\ntidy up\n", "", ["0 0 * * * Europe/Berlin"]),
    ]
    assert call(database, *words) == 0
    assert jobs_made(connection) == made
    assert "2 jobs created" in capfd.readouterr().err
    assert call(database, *words) == 0
    assert jobs_made(connection) == made
    assert "nothing to change" in capfd.readouterr().err


def test_other_jobs_of_the_same_name_are_not_changed_unasked(
    connection: Connection[TupleRow],
    database: Database,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "crontab"
    path.write_text("# Report\n0 5 * * * report\n")
    assert call(database, "import", "crontab", str(path), "--apply") == 0
    connection.execute("update pgagent.pga_jobstep set jstcode = 'mine'")
    path.write_text(f"{path.read_text()}\n@daily other\n")
    assert call(database, "import", "crontab", str(path), "--apply") == 1
    assert "exist already, and differ\nDETAIL: Report\n" in capfd.readouterr().err
    assert [row[4] for row in jobs_made(connection)] == ["mine"]
    assert call(database, "import", "crontab", str(path), "--apply", "--replace") == 0
    assert [row[4] for row in jobs_made(connection)] == ["cd\nreport\n", "cd\nother\n"]


@pytest.mark.parametrize("word", ["=role", "user=", ""])
def test_owner_that_is_none(word: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crontab"
    path.write_text("")
    assert cli.main(["import", "crontab", str(path), "--owner", word]) == 2
    assert f'"{word}" is no owner' in capfd.readouterr().err
