"""`history`: the timeline of the last day."""

from __future__ import annotations

from datetime import datetime

import click

from pgagent_cli.app import App
from pgagent_cli.options import Number, find_job, jobs_argument, json_option
from pgagent_cli.outcome import Exit
from pgagent_cli.render import PIPED_WIDTH, print_json
from pgagent_cli.screens import ASCII, BLOCKS, Cell, Line, Timeline, history_screen, timeline_chars

# Cells are counted from 0; a run that has no length is in one of them all the same. The worst status is the greatest.
TIMELINE = """
    with period as materialized (
        select e.until, make_interval(secs => %(hours)s * 3600) as length,
               e.until - make_interval(secs => %(hours)s * 3600) as since
          from (select coalesce(%(until)s::timestamptz, now()) as until) e
    ), run as materialized (
        select l.jlgjobid as job, l.jlgstatus as status, l.jlgstart as started,
               least(coalesce(l.jlgstart + l.jlgduration, p.until), p.until) as ended,
               coalesce(l.jlgduration, p.until - l.jlgstart) as duration
          from pgagent.pga_joblog l
         cross join period p
         where (%(jobs)s::int4[] is null or l.jlgjobid = any (%(jobs)s))
           and l.jlgstart <= p.until
           and coalesce(l.jlgstart + l.jlgduration, p.until) >= p.since
    ), part as (
        select r.job, c.number,
               greatest(extract(epoch from
                        least(r.ended, p.since + p.length * (c.number + 1) / %(count)s)
                        - greatest(r.started, p.since + p.length * c.number / %(count)s)), 0) as seconds,
               strpos('srdif', r.status) as badness
          from run r
         cross join period p
         cross join lateral (
             select number
               from generate_series(
                   least(greatest(floor(extract(epoch from r.started - p.since) / %(hours)s / 3600 * %(count)s), 0),
                         %(count)s - 1)::int4,
                   least(greatest(floor(extract(epoch from r.ended - p.since) / %(hours)s / 3600 * %(count)s), 0),
                         %(count)s - 1)::int4) as number) c
    ), cell as (
        select job, number, sum(seconds) / %(hours)s / 3600 * %(count)s as busy, max(badness) as badness
          from part
         group by job, number
    )
    select p.since, p.until, j.jobid as job, j.jobname as name, r.runs, r.failed, r.longest,
           c.numbers, c.busy, c.badness
      from (select job, count(*) as runs, count(*) filter (where status in ('f', 'i', 'd')) as failed,
                   max(duration) as longest
              from run
             group by job) r
      join (select job, array_agg(number order by number) as numbers, array_agg(busy::float8 order by number) as busy,
                   array_agg(badness order by number) as badness
              from cell
             group by job) c on c.job = r.job
      join pgagent.pga_job j on j.jobid = r.job
     cross join period p
     order by j.jobname, j.jobid
"""
PERIOD = """
    select e.until, e.until - make_interval(secs => %(hours)s * 3600) as since
      from (select coalesce(%(until)s::timestamptz, now()) as until) e
"""
STATUSES = ("", "succeeded", "running", "aborted", "internal failure", "failed")
DEFAULT_HOURS = 24.0
DEFAULT_WIDTH = 100


@click.command()
@jobs_argument
@click.option(
    "--hours",
    metavar="NUMBER",
    type=Number(0.01, 24 * 366),
    default=DEFAULT_HOURS,
    show_default=True,
    help="How far back.",
)
@json_option
@click.pass_obj
def history(app: App, jobs: tuple[str, ...], hours: float, as_json: bool) -> int:
    """Draw the timeline of the last day.

    It shows which job ran when, how long, and where it failed. A line for each job that has run, or for each JOB. The
    higher a character the busier the job was; a cross stands where a run failed or was aborted.

    \b
      pgagent-py history
      pgagent-py history --hours 168 'nightly vacuum'
    """
    width = DEFAULT_WIDTH if app.out.width >= PIPED_WIDTH else app.out.width
    ids = [find_job(app, job) for job in jobs] or None
    timeline = read_timeline(app, hours, timeline_chars(width), ids)
    if as_json:
        print_json(app.out, [_to_json(line, timeline) for line in timeline.lines])
    elif timeline.lines:
        glyphs = ASCII if app.out.options.ascii_only else BLOCKS
        app.out.print(history_screen(timeline, width, glyphs), no_wrap=True, crop=app.out.is_terminal)
    elif app.out.is_terminal:
        app.out.print(f"Nothing has run in the last {hours:g} hours.")
    return Exit.OK


def read_timeline(
    app: App, hours: float, count: int, jobs: list[int] | None = None, until: datetime | None = None
) -> Timeline:
    """What jobs, all or some, did in so many hours, in so many cells. ``until``: the end of the period; None: now."""
    parameters: dict[str, object] = {"hours": hours, "count": count, "jobs": jobs, "until": until}
    rows = app.rows(TIMELINE, parameters)
    period = rows[0] if rows else app.row(PERIOD, parameters)
    lines = (
        Line(
            row["job"],
            row["name"],
            row["runs"],
            row["failed"],
            row["longest"],
            _cells(row["numbers"], row["busy"], row["badness"]),
        )
        for row in rows
    )
    return Timeline(period["since"], period["until"], count, tuple(lines))


def _cells(numbers: list[int], busy: list[float], badness: list[int]) -> dict[int, Cell]:
    found = zip(numbers, busy, badness, strict=True)
    return {number: Cell(min(share, 1.0), STATUSES[rank]) for number, share, rank in found}


def _to_json(line: Line, timeline: Timeline) -> dict[str, object]:
    length = (timeline.until - timeline.since) / timeline.count
    cells = [
        {"since": timeline.since + length * number, "busy": round(cell.busy, 4), "status": cell.status}
        for number, cell in sorted(line.cells.items())
    ]
    return {
        "job": line.job,
        "name": line.name,
        "runs": line.runs,
        "failed": line.failed,
        "longest": line.longest,
        "cell_seconds": length.total_seconds(),
        "cells": cells,
    }
