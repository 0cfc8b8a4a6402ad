"""`runs` and `log`: what has run, and what came of it."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime

import click
from psycopg import errors

from pgagent_cli.app import App
from pgagent_cli.following import Follower, exit_of, find_run, follow, print_run, steps_of
from pgagent_cli.options import WholeNumber, find_job, is_id, json_option, optional_job_argument
from pgagent_cli.outcome import Exit, Failure
from pgagent_cli.render import Column, one_line, print_json, print_rows, show_duration, show_status, time_shower

RUNS = """
    select run, job, name, owner, status, started, duration, reason, steps, failed_steps
      from pgagent.runs
     where {conditions}
     order by run desc
     limit %(limit)s
"""
CONDITIONS = {
    "job": "job = %(job)s",
    "failed": "status in ('failed', 'internal failure', 'aborted')",
    "since": "started >= %(since)s",
}
TIME = "select %(word)s::timestamptz"
TIME_AGO = "select now() - %(word)s::interval"
LATEST_RUN = "select run from pgagent.runs where job = %(job)s order by run desc limit 1"
NOW = "select now()"


@click.command()
@optional_job_argument
@click.option(
    "-n",
    "--limit",
    metavar="NUMBER",
    type=WholeNumber(1),
    default=20,
    show_default=True,
    help="How many at the most.",
)
@click.option("--failed", is_flag=True, help="Only runs that failed or were aborted.")
@click.option(
    "--since",
    metavar="TIME",
    help="Only runs started since then: yesterday, '2026-11-23 14:30', 14:30, or for so long: '2 hours'.",
)
@json_option
@click.pass_obj
def runs(app: App, job: str | None, limit: int, failed: bool, since: str | None, as_json: bool) -> int:
    """List the latest runs of all jobs, or of one, newest first.

    \b
      pgagent-py runs --failed --since yesterday
      pgagent-py runs 'nightly vacuum' -n 5
    """
    jobid = None if job is None else find_job(app, job)
    parameters: dict[str, object] = {"limit": limit, "since": since and _read_time(app, since), "job": jobid}
    wanted = [name for name, given in (("job", job), ("failed", failed), ("since", since)) if given]
    conditions = " and ".join(CONDITIONS[name] for name in wanted) or "true"
    rows = app.rows(RUNS.format(conditions=conditions), parameters)
    if as_json:
        print_json(app.out, rows)
    else:
        print_rows(app.out, _columns(app.value(NOW)), rows, "There are no such runs.")
    return Exit.OK


def _read_time(app: App, word: str) -> datetime:
    """A time in any way that PostgreSQL reads it, the time of a day, or an interval that ends now."""
    # PostgreSQL would take "10 s" for a day of this month.
    if re.match(r"[\d.]+\s*[A-Za-z]", word):
        with contextlib.suppress(errors.InvalidDatetimeFormat):
            ago: datetime = app.value(TIME_AGO, {"word": word})
            return ago
    is_of_today = re.fullmatch(r"\d\d?:\d\d(:\d\d)?", word)
    found: datetime = app.value(TIME, {"word": f"today {word}" if is_of_today else word})
    return found


def _columns(now: datetime) -> list[Column]:
    return [
        Column("run", "run", str, justify="right"),
        Column("name", "job", one_line),
        Column("status", "status", show_status),
        Column("started", "started", time_shower(now)),
        Column("duration", "took", show_duration, justify="right"),
        Column("reason", "reason", one_line, may_wrap=True),
    ]


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", "goes_on", is_flag=True, help="Go on showing what is put out until the run has ended.")
@json_option
@click.pass_obj
def log(app: App, run: str, goes_on: bool, as_json: bool) -> int:
    """Show the log of a run.

    That is: its steps, what they put out, and how they ended.

    RUN is the id of a run, or the name of a job: then its latest run is meant. With --follow the exit code is that of
    `run`. What a script puts out is there when the script has ended, and not before.

    \b
      pgagent-py log 17
      pgagent-py log 'nightly vacuum' --follow
    """
    if goes_on and as_json:
        raise click.UsageError("--follow and --json cannot be used together")
    runid = int(run) if is_id(run) else _find_latest(app, run)
    found = follow(app, runid, Follower(app.out)) if goes_on else find_run(app, runid)
    if found is None:
        raise Failure(f"run {runid} has not started yet", hint=f"pgagent-py log {runid} --follow waits for it.")
    if as_json:
        print_json(app.out, {**found, "log": steps_of(app, runid)})
        return Exit.OK
    if not goes_on:
        Follower(app.out).show(steps_of(app, runid))
    print_run(app.out, found)
    return exit_of(found) if goes_on else Exit.OK


def _find_latest(app: App, job: str) -> int:
    found = app.rows(LATEST_RUN, {"job": find_job(app, job)})
    if not found:
        raise Failure(f'job "{job}" has not run yet', hint="pgagent-py run JOB runs it.")
    return int(found[0]["run"])
