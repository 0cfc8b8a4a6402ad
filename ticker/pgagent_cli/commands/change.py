"""`create`, `enable`, `disable` and `drop`: what jobs there are, and whether they run."""

from __future__ import annotations

import sys
from typing import Any

import click
from psycopg import sql

from pgagent_cli.app import App
from pgagent_cli.options import find_job, job_argument
from pgagent_cli.outcome import Exit
from pgagent_cli.render import one_line, show_time
from pgagent_cli.texts import read_text

ENABLE = "select pgagent.enable_job(%(job)s::int4)"
DISABLE = "select pgagent.disable_job(%(job)s::int4)"
DROP = "select pgagent.drop_job(%(job)s::int4)"
NAME_AND_RUNS = """
    select jobname as name, (select count(*) from pgagent.pga_joblog where jlgjobid = jobid) as runs
      from pgagent.pga_job
     where jobid = %(job)s
"""
NEXT_RUN = "select jobname as name, jobnextrun as next_run, now() as now from pgagent.pga_job where jobid = %(job)s"

_LOCK_HELP = "Name of a lock: jobs with one in common do not run at once. May be repeated."


@click.command()
@click.argument("name")
@click.option("-s", "--schedule", metavar="CRON", help="When it runs, in crontab syntax: '30 2 * * 1-5'.")
@click.option(
    "--every", metavar="INTERVAL", help="How often it runs: '10 minutes'. With --schedule: in its minutes only."
)
@click.option("--at", metavar="TIME", help="Run once, at this time: 'tomorrow 14:30'.")
@click.option("--timezone", metavar="ZONE", help="Time zone of the schedule: Europe/Berlin. Default: pgagent.settings.")
@click.option("--sql", "sql_code", metavar="CODE", help="SQL that the job executes.")
@click.option("--batch", "batch_code", metavar="CODE", help="Script that the job executes, by a ticker's shell.")
@click.option(
    "--file",
    "path",
    metavar="FILE",
    help="Take the code from FILE (-: standard input): a script if it begins with #!, else SQL.",
)
@click.option(
    "--database", metavar="NAME", help="Database in which the SQL is executed. Default: the one connected to."
)
@click.option("--connection", metavar="CONNINFO", help="Where else the SQL is executed: a connection string.")
@click.option("--description", metavar="TEXT", help="What the job is for.")
@click.option("--class", "class_", metavar="CLASS", help="Class of the job. Default: Miscellaneous.")
@click.option("--host", metavar="STATION", help="The host whose ticker alone may run the job. Default: any.")
@click.option("--owner", metavar="ROLE", help="Role as which the job runs. Default: the one logged in.")
@click.option("--timeout", metavar="INTERVAL", help="How long a run may take. Default: for ever.")
@click.option(
    "--start-deadline", metavar="INTERVAL", help="A run that is later than this is left out. Default: none is."
)
@click.option("--max-failures", metavar="NUMBER", type=int, help="Disable the job after so many failures in a row.")
@click.option("--lock", "locks", metavar="NAME", multiple=True, help=_LOCK_HELP)
@click.option(
    "--priority",
    metavar="MINUTES",
    type=int,
    help="Where more is due than may run, it comes as if due so much earlier.",
)
@click.option("--disabled", is_flag=True, help="Create the job disabled.")
@click.pass_obj
def create(app: App, /, name: str, **given: Any) -> int:
    """Create a job and print its id.

    It has at most one step and one schedule. The function pgagent.create_job does it; `apply` makes jobs with several
    steps or schedules. Without --schedule, --every and --at the job runs when it is asked to.

    \b
      pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
      pgagent-py create 'backup' --schedule '0 3 * * *' --file backup.sh
      pgagent-py create 'poll' --every '10 s' --sql 'call poll()' --timeout '1 min'
    """
    parameters = {"name": name, **_read_parameters(given)}
    words = [sql.SQL("{} => {}").format(sql.Identifier(key), sql.Placeholder(key)) for key in parameters]
    statement = sql.SQL("select pgagent.create_job({}) as job").format(sql.SQL(", ").join(words))
    row = app.connection.execute(statement, parameters).fetchone()
    assert row is not None
    app.out.file.write(f"{row['job']}\n")
    return Exit.OK


def _read_parameters(given: dict[str, Any]) -> dict[str, Any]:
    """The named arguments of create_job that the options give."""
    values = dict(given)
    sql_code, batch_code, path = (values.pop(key) for key in ("sql_code", "batch_code", "path"))
    if [sql_code, batch_code, path].count(None) < 2:
        raise click.UsageError("only one of --sql, --batch and --file can be given")
    if path is not None:
        sql_code, batch_code = _split(read_text(path))
    values |= {"sql": sql_code, "batch": batch_code, "class": values.pop("class_")}
    values["locks"] = list(values["locks"]) or None
    values["enabled"] = False if values.pop("disabled") else None
    return {key: value for key, value in values.items() if value is not None}


def _split(code: str) -> tuple[str | None, str | None]:
    return (None, code) if code.startswith("#!") else (code, None)


@click.command()
@job_argument
@click.pass_obj
def enable(app: App, job: str) -> int:
    """Enable a job: it runs by its schedules again.

    \b
      pgagent-py enable 'nightly vacuum'
    """
    jobid = find_job(app, job)
    app.value(ENABLE, {"job": jobid})
    row = app.row(NEXT_RUN, {"job": jobid})
    when = f"runs next at {show_time(row['next_run'], row['now'])}" if row["next_run"] else "has no next run"
    app.out.print(f'job "{one_line(row["name"])}" is enabled and {when}', soft_wrap=True)
    return Exit.OK


@click.command()
@job_argument
@click.pass_obj
def disable(app: App, job: str) -> int:
    """Disable a job: it runs only when `run` asks for it.

    A run that goes on is not ended.

    \b
      pgagent-py disable 'nightly vacuum'
    """
    jobid = find_job(app, job)
    app.value(DISABLE, {"job": jobid})
    name = app.row(NEXT_RUN, {"job": jobid})["name"]
    app.out.print(f'job "{one_line(name)}" is disabled', soft_wrap=True)
    return Exit.OK


@click.command()
@job_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Without a terminal nobody is asked anyway.")
@click.pass_obj
def drop(app: App, job: str, yes: bool) -> int:
    """Drop a job with its steps, schedules and logs.

    \b
      pgagent-py drop 'nightly vacuum'
    """
    jobid = find_job(app, job)
    row = app.row(NAME_AND_RUNS, {"job": jobid})
    what = f'job "{one_line(row["name"])}"'
    if not yes and sys.stdin.isatty():
        runs = "1 run" if row["runs"] == 1 else f"{row['runs']} runs"
        if not click.confirm(f"Drop {what} and the logs of its {runs}?", err=True):
            app.err.print("nothing is dropped")
            return Exit.FAILED
    app.value(DROP, {"job": jobid})
    app.out.print(f"{what} is dropped", soft_wrap=True)
    return Exit.OK
