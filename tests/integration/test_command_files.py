"""Jobs as files: export, diff, apply."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import value
from harness.command import Command

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

JOBS = """\
version: 1
jobs:
  - name: nightly vacuum
    steps:
      - name: 01
        sql: |
          vacuum
          analyze
    schedules:
      - name: weekdays
        cron: 30 2 * * 1-5
  - name: backup
    enabled: false
    steps:
      - name: 01
        batch: pg_dump
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.yaml"
    path.write_text(JOBS, encoding="utf-8")
    return path


def test_what_is_exported_can_be_applied(connection: Session, command: Command, jobs: Path) -> None:
    done = command("apply", str(jobs))
    assert (done.returncode, done.stderr) == (0, "done: 2 jobs created\n")
    ids = connection.execute("select jobid from pgagent.pga_job order by jobid").fetchall()

    exported = jobs.with_name("exported.yaml")
    assert command("export", "-o", str(exported)).returncode == 0
    text = exported.read_text(encoding="utf-8")
    assert "        sql: |\n          vacuum\n          analyze\n" in text
    assert command("diff", str(exported), "--prune").returncode == 0

    only = command("export", "backup", "--json").stdout
    assert [job["name"] for job in json.loads(only)["jobs"]] == ["backup"]
    done = command("diff", "-", text=only)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert connection.execute("select jobid from pgagent.pga_job order by jobid").fetchall() == ids


def test_differences_are_shown_and_then_made(connection: Session, command: Command, jobs: Path) -> None:
    command("apply", str(jobs))
    jobs.write_text(JOBS.replace("analyze", "(analyze)").replace("backup", "restore"), encoding="utf-8")
    done = command("diff", "--prune", str(jobs))
    assert done.returncode == 6
    wanted = ['- job "backup"', '+ job "restore"', "      - analyze", "      + (analyze)", '  job "nightly vacuum"']
    assert set(wanted) <= set(done.stdout.splitlines())
    done = command("apply", "--dry-run", "--prune", str(jobs))
    assert (done.returncode, done.stderr.split(": ")[0]) == (0, "would be")
    assert value(connection, "select array_agg(jobname order by 1) from pgagent.pga_job") == [
        "backup",
        "nightly vacuum",
    ]
    done = command("apply", "--prune", "--json", str(jobs))
    assert {row["action"] for row in json.loads(done.stdout)} == {"create", "alter", "drop"}
    assert value(connection, "select array_agg(jobname order by 1) from pgagent.pga_job") == [
        "nightly vacuum",
        "restore",
    ]


def test_problems_are_told_with_file_and_line(connection: Session, command: Command, jobs: Path) -> None:
    jobs.write_text(JOBS.replace("enabled: false", "enable: false").replace("30 2 *", "61 2 *"), encoding="utf-8")
    other = jobs.with_name("other.yaml")
    other.write_text("jobs:\n- name: x\n  steps:\n  - {name: a, sql: b, batch: c}\n", encoding="utf-8")
    done = command("apply", str(jobs), str(other))
    assert done.returncode == 1
    *problems, last = done.stderr.splitlines()
    assert last == "error: 3 problems; nothing is changed"
    assert [problem.rsplit("/", 1)[1].split(": ")[:2] for problem in sorted(problems)] == [
        ["jobs.yaml:11", "jobs[0].schedules[0].cron"],
        ["jobs.yaml:13", "jobs[1].enable"],
        ["other.yaml:4", "jobs[2].steps[0].batch"],
    ]
    assert value(connection, "select count(*) from pgagent.pga_job") == 0


def test_a_file_that_cannot_be_read_is_named(command: Command, jobs: Path) -> None:
    done = command("diff", "/nowhere/jobs.yaml")
    assert (done.returncode, done.stderr) == (
        1,
        "error: cannot read /nowhere/jobs.yaml\nDETAIL: No such file or directory\n",
    )
    jobs.write_bytes(b"jobs: [\xff]")
    done = command("diff", str(jobs))
    assert (done.returncode, "is no UTF-8" in done.stderr) == (1, True)
