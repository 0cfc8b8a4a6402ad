"""`jobs` and `show`: what jobs there are, and all about one."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from pgagent_cli.app import App, Row
from pgagent_cli.options import find_job, job_argument, json_option
from pgagent_cli.outcome import Exit
from pgagent_cli.render import (
    Column,
    one_line,
    plain,
    print_json,
    print_rows,
    show_duration,
    show_status,
    time_shower,
)
from pgagent_cli.screens import JOBS_NOTHING, jobs_columns, jobs_rows

JOBS = """
    select job, name, owner, class, enabled, schedule, next_run, running_since, last_run, last_status, last_duration,
           streak, description, host
      from pgagent.jobs
     order by name, job
"""
JOB = """
    select v.job, v.name, v.owner, v.class, v.enabled, v.schedule, v.next_run, v.running_since, v.last_run,
           v.last_status, v.last_duration, v.streak, v.description, v.host, j.jobtimeout as timeout,
           j.jobstartdeadline as start_deadline, j.jobmaxfailures as max_failures, j.joblocks as locks,
           j.jobpriority as priority, j.jobdisabledreason as disabled_reason, j.jobcreated as created
      from pgagent.jobs v
      join pgagent.pga_job j on j.jobid = v.job
     where v.job = %(job)s
"""
STEPS = """
    select jstid as step, jstname as name, case jstkind when 's' then 'sql' else 'batch' end as kind,
           jstenabled as enabled,
           case jstonerror when 's' then 'succeed' when 'i' then 'ignore' else 'fail' end as on_error,
           jstdbname as database, jstconnstr as connection, jsttimeout as timeout, jstretries as retries,
           jstdesc as description, jstcode as code
      from pgagent.pga_jobstep
     where jstjobid = %(job)s
     order by jstname, jstid
"""
SCHEDULES = """
    select jscid as schedule, jscname as name, jscenabled as enabled, pgagent.explain_schedule(jscid) as words,
           pgagent.next_run(jscid) as next_run
      from pgagent.pga_schedule
     where jscjobid = %(job)s
     order by jscname, jscid
"""
LAST_RUNS = """
    select run, status, started, duration, reason from pgagent.runs where job = %(job)s order by run desc limit 5
"""
NOW = "select now()"


@click.command()
@json_option
@click.pass_obj
def jobs(app: App, as_json: bool) -> int:
    """List the jobs that you may see, by name.

    \b
      pgagent-py jobs
      pgagent-py jobs --json | jq '.[] | select(.last_status == "failed") | .name'
    """
    rows = app.rows(JOBS)
    if as_json:
        print_json(app.out, rows)
    else:
        now = app.value(NOW)
        print_rows(app.out, jobs_columns(now, app.out.width), jobs_rows(rows, now), JOBS_NOTHING)
    return Exit.OK


@click.command()
@job_argument
@json_option
@click.pass_obj
def show(app: App, job: str, as_json: bool) -> int:
    """Show all about one job.

    That is: its attributes, its steps with their code, its schedules and latest runs.

    \b
      pgagent-py show 'nightly vacuum'
    """
    parameters: dict[str, object] = {"job": find_job(app, job)}
    found = app.row(JOB, parameters)
    steps, schedules, runs = (app.rows(query, parameters) for query in (STEPS, SCHEDULES, LAST_RUNS))
    if as_json:
        print_json(app.out, {**found, "steps": steps, "schedules": schedules, "runs": runs})
        return Exit.OK
    now = app.value(NOW)
    _print_attributes(app.out, found, now)
    _print_steps(app.out, steps)
    _print_schedules(app.out, schedules)
    _print_runs(app.out, runs, now)
    return Exit.OK


def _print_attributes(console: Console, job: Row, now: Any) -> None:
    console.print(Text(f"{one_line(job['name'])} ({job['job']})", style="bold"))
    show_time = time_shower(now)
    shown = {
        "description": plain(job["description"]),
        "owner": plain(job["owner"]),
        "class": plain(job["class"]),
        "host": plain(job["host"]),
        "enabled": "yes" if job["enabled"] else f"no {plain(job['disabled_reason'])}".strip(),
        "next run": show_time(job["next_run"]),
        "running since": show_time(job["running_since"]),
        "last run": show_last_run(job, show_time(job["last_run"])),
        "streak": show_streak(job["streak"]),
        "timeout": show_duration(job["timeout"]),
        "start deadline": show_duration(job["start_deadline"]),
        "max failures": plain(job["max_failures"]),
        "locks": plain(", ".join(job["locks"] or ())),
        "priority": plain(job["priority"] or ""),
        "created": show_time(job["created"]),
    }
    for name, value in shown.items():
        if value:
            console.print(Text(f"  {name + ':':16}{value}"), soft_wrap=True)


def show_last_run(job: Row, when: str) -> str:
    """The last run that has ended, in words; empty if none has."""
    if job["last_run"] is None:
        return ""
    return f"{when}, {plain(job['last_status'])}, {show_duration(job['last_duration'])}"


def show_streak(streak: int | None) -> str:
    """How the last runs have ended, in words; empty if none has."""
    if not streak:
        return ""
    many = "100 or more runs" if abs(streak) >= 100 else "run" if abs(streak) == 1 else f"{abs(streak)} runs"
    return f"the last {many} succeeded" if streak > 0 else f"the last {many} did not succeed"


def _print_steps(console: Console, steps: list[Row]) -> None:
    console.print()
    console.print(Text("Steps" if steps else "No steps: pgagent.add_step() adds one", style="bold"))
    for step in steps:
        facts = [step["kind"], *_facts_of(step)]
        console.print(Text(f"  {one_line(step['name'])} ({step['step']}): {', '.join(facts)}"), soft_wrap=True)
        for line in plain(step["code"]).rstrip("\n").split("\n"):
            console.print(Text(f"      {line}".rstrip(), style="cyan"), soft_wrap=True)


def _facts_of(step: Row) -> list[str]:
    where = f"in database {plain(step['database'])}" if step["database"] else ""
    where = "over a connection of its own" if step["connection"] else where
    facts = [
        where,
        "" if step["enabled"] else "disabled",
        "" if step["on_error"] == "fail" else f"on error {step['on_error']}",
        f"timeout {show_duration(step['timeout'])}" if step["timeout"] else "",
        f"retries {step['retries']}" if step["retries"] else "",
        plain(step["description"]),
    ]
    return [fact for fact in facts if fact]


def _print_schedules(console: Console, schedules: list[Row]) -> None:
    console.print()
    console.print(Text("Schedules" if schedules else "No schedules: it runs when it is asked to", style="bold"))
    for schedule in schedules:
        state = "" if schedule["enabled"] else " (disabled)"
        words = f"  {one_line(schedule['name'])} ({schedule['schedule']}){state}: {plain(schedule['words'])}"
        console.print(Text(words), soft_wrap=True)


def _print_runs(console: Console, runs: list[Row], now: Any) -> None:
    console.print()
    if not runs:
        console.print(Text("No runs yet", style="bold"))
        return
    console.print(Text("Latest runs", style="bold"))
    columns = [
        Column("run", "  run", lambda run: f"  {run}", justify="right"),
        Column("status", "status", show_status),
        Column("started", "started", time_shower(now)),
        Column("duration", "took", show_duration, justify="right"),
        Column("reason", "reason", one_line, may_wrap=True),
    ]
    print_rows(console, columns, runs, "")
