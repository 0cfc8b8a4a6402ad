"""Jobs of many users through one ticker, with names that try to be something else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.rows import TupleRow

from harness import Database, Ticker, add_job, batch_step, make_due, step_logs
from harness.following import wait_for_runs

NAMES = (
    "x" * 1_000_000,
    "name\n2026-01-01 ERROR forged",
    "--help",
    "() { :;}; echo hacked",
    "$(id) `id` ; id",
    "%s\x1b[31m",
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_name_of_a_job_is_no_command_and_no_line(
    connection: psycopg.Connection[TupleRow], database: Database, name: str
) -> None:
    jobid = add_job(connection, name, batch_step('printf "<%.40s>" "$PGAGENT_JOBNAME"', name=name))
    make_due(connection, jobid)
    with Ticker(database.conninfo, "-l", "2") as ticker:
        (run,) = wait_for_runs(connection, jobid)
        ticker.wait_for_line(f"run succeeded run={run.id}")
        lines = ticker.log.splitlines()
    (log,) = step_logs(connection, run)
    assert (run.status, log.output) == ("s", f"<{name[:40]}>")
    assert [line for line in lines if (" forged" in line and "name=" not in line) or "\x1b" in line] == []
