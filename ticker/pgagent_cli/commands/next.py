"""`next`: what will run."""

from __future__ import annotations

import click

from pgagent_cli.app import App
from pgagent_cli.options import Number, WholeNumber, find_job, json_option, optional_job_argument
from pgagent_cli.outcome import Exit
from pgagent_cli.render import Column, one_line, print_json, print_rows, show_time, show_wait

CALENDAR = """
    select run, jobid as job, jobname as name, jscname as schedule
      from pgagent.calendar(until => now() + make_interval(secs => %(hours)s * 3600), count => %(limit)s)
     order by run, name, job
     limit %(limit)s
"""
UPCOMING = """
    select u.run, j.jobid as job, j.jobname as name, u.jscname as schedule
      from pgagent.pga_job j
     cross join pgagent.upcoming(j.jobid, %(limit)s) u
     where j.jobid = %(job)s
     order by u.run
"""
NOW = "select now()"
DEFAULT_HOURS = 24


@click.command("next")
@optional_job_argument
@click.option(
    "-n",
    "--limit",
    metavar="NUMBER",
    type=WholeNumber(1, 100_000),
    default=20,
    show_default=True,
    help="How many at the most.",
)
@click.option(
    "--hours",
    metavar="NUMBER",
    type=Number(0, 1e6),
    help="How far to look ahead. Default: 24 for all jobs, no limit for one.",
)
@json_option
@click.pass_obj
def next_runs(app: App, job: str | None, limit: int, hours: float | None, as_json: bool) -> int:
    """List the coming runs.

    That is: of all enabled jobs within a day, or the next ones of one job.

    \b
      pgagent-py next
      pgagent-py next 'nightly vacuum' -n 3
    """
    now = app.value(NOW)
    if job is None:
        rows = app.rows(CALENDAR, {"hours": DEFAULT_HOURS if hours is None else hours, "limit": limit})
    else:
        rows = app.rows(UPCOMING, {"job": find_job(app, job), "limit": limit})
        rows = [row for row in rows if hours is None or (row["run"] - now).total_seconds() <= hours * 3600]
    if as_json:
        print_json(app.out, rows)
        return Exit.OK
    rows = [{**row, "wait": row["run"] - now} for row in rows]
    columns = [
        Column("run", "run", lambda when: show_time(when, now)),
        Column("wait", "in", show_wait, justify="right"),
        Column("job", "id", str, justify="right"),
        Column("name", "job", one_line),
        Column("schedule", "schedule", lambda name: one_line(name) or "asked for"),
    ]
    print_rows(app.out, columns, rows, "Nothing will run.")
    return Exit.OK
