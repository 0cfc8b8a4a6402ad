"""`run` and `cancel`: have a job run now, and end a run."""

from __future__ import annotations

import sys
from functools import partial

import click

from pgagent_cli.app import App
from pgagent_cli.following import Follower, exit_of, follow, print_run
from pgagent_cli.options import LARGEST_ID, Number, WholeNumber, find_job, job_argument
from pgagent_cli.outcome import Exit, Failure
from pgagent_cli.render import print_json

RUN_NOW = "select pgagent.run_now(%(job)s::int4, %(step)s::int4)"
CANCEL = "select pgagent.cancel_run(%(run)s)"
STEP = "select jstid from pgagent.pga_jobstep where jstjobid = %(job)s and jstname = %(name)s order by jstid"
STEP_NAMES = "select jstname from pgagent.pga_jobstep where jstjobid = %(job)s order by jstname, jstid"
# Whose backends are hidden from us shows up with its pid all the same. A ticker's session for batch steps registers
# itself at once, that of its engine with the first run: a new ticker that takes no batch steps is known by its name.
HAS_AGENT = """
    select exists (select
                     from pgagent.pga_jobagent a
                     join pg_catalog.pg_stat_activity s on s.pid = a.jagpid)
           or exists (select
                        from pg_catalog.pg_stat_activity s
                       where s.datname = current_database() and s.application_name = 'pgagent-ticker')
"""
RUN_DUE = "select count(*) from pgagent.run_due('1 s')"


@click.command()
@job_argument
@click.option("--step", metavar="NAME", help="Run only this step.")
@click.option("--no-wait", is_flag=True, help="Print the id of the run and do not wait for its end.")
@click.option(
    "--timeout",
    "timeout_seconds",
    metavar="SECONDS",
    type=Number(0),
    help="Wait no longer. Default: for ever.",
)
@click.option(
    "--here", is_flag=True, help="Execute what is due in this session, as a ticker would. Needs a ticker's rights."
)
@click.option("-q", "--quiet", is_flag=True, help="Do not print what the steps put out, only how the run ended.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON at its end instead of what it puts out.")
@click.pass_obj
def run(
    app: App,
    job: str,
    step: str | None,
    no_wait: bool,
    timeout_seconds: float | None,
    here: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a job now and wait until the run has ended.

    A disabled job runs, too. Prints what the steps put out. The exit code is that of the run: 0 if it succeeded, 1 if
    it failed, 3 if it was aborted; 4 if --timeout was over first: then the run goes on. Ctrl-C ends the waiting and
    not the run.

    \b
      pgagent-py run 'nightly vacuum'
      pgagent-py run 'nightly vacuum' --step '02 report' --timeout 600
      run=$(pgagent-py run 'nightly vacuum' --no-wait)
    """
    if no_wait and here:
        raise click.UsageError("--here waits: it cannot be used together with --no-wait")
    jobid = find_job(app, job)
    stepid = None if step is None else _find_step(app, jobid, step)
    here = here or not _will_be_run(app)
    runid = int(app.value(RUN_NOW, {"job": jobid, "step": stepid}))
    if no_wait:
        app.out.file.write(f"{runid}\n")
        return Exit.OK
    follower = None if quiet or as_json else Follower(app.out)
    try:
        ended = follow(app, runid, follower, timeout_seconds, partial(_run_due, app) if here else None)
    except KeyboardInterrupt:
        _say_goodbye(app, runid, here=here)
        return Exit.INTERRUPTED
    if ended is None:
        app.err.print(
            f"run {runid} has not ended within {timeout_seconds:g} s, and goes on: {_ways(runid)}", soft_wrap=True
        )
        return Exit.TIMED_OUT
    print_json(app.out, ended) if as_json else print_run(app.out, ended)
    return exit_of(ended)


def _find_step(app: App, jobid: int, name: str) -> int:
    found = app.rows(STEP, {"job": jobid, "name": name})
    if not found:
        names = [row["jstname"] for row in app.rows(STEP_NAMES, {"job": jobid})]
        hint = f"Its steps are: {', '.join(names)}." if names else "It has no steps."
        raise Failure(f'the job has no step "{name}"', hint=hint)
    return int(found[0]["jstid"])


def _will_be_run(app: App) -> bool:
    """Whether an agent is there; False: this session shall run the job, as is asked at a terminal."""
    if app.value(HAS_AGENT):
        return True
    app.err.print("no ticker is at work: the run waits until one is started", soft_wrap=True)
    if not (app.err.is_terminal and sys.stdin.isatty()):
        app.err.print("--here runs it in this session", soft_wrap=True)
        return True
    return not click.confirm("Run it here, in this session?", default=True, err=True)


def _run_due(app: App) -> None:
    app.value(RUN_DUE)


def _ways(runid: int) -> str:
    return f"pgagent-py log {runid} --follow follows it, pgagent-py cancel {runid} ends it"


def _say_goodbye(app: App, runid: int, *, here: bool) -> None:
    text = f"run {runid} ran in this session and ends with it" if here else f"run {runid} goes on: {_ways(runid)}"
    app.err.print(text, soft_wrap=True)


@click.command()
@click.argument("run", metavar="RUN", type=WholeNumber(1, LARGEST_ID))
@click.pass_obj
def cancel(app: App, run: int) -> int:
    """Have a run cancelled, wherever it is.

    RUN is the id of a run; `runs` and `top` show it. Its statement or script is ended within a second, and it counts as
    aborted; a run that has not started does not start.

    \b
      pgagent-py cancel 17
    """
    if not app.value(CANCEL, {"run": run}):
        raise Failure(f"run {run} has ended already")
    app.out.print(f"run {run} is being cancelled")
    return Exit.OK
