"""Draws the pictures of the README: `python docs/pictures/make.py` writes jobs.svg, history.svg and top.svg.

The jobs and their logs are in a server of its own, as of an instant that never changes; only what goes on at that
instant is made up, because no run can be stopped for a picture. Made twice, the pictures are the same.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from rich.console import Console, RenderableType

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ticker"), str(ROOT / "tests")]

from harness.cluster import Cluster, Database  # noqa: E402
from pgagent_cli.app import App, Row  # noqa: E402
from pgagent_cli.commands.history import read_timeline  # noqa: E402
from pgagent_cli.commands.jobs import JOBS  # noqa: E402
from pgagent_cli.commands.top import ENDED, HEALTH  # noqa: E402
from pgagent_cli.connection import read_target  # noqa: E402
from pgagent_cli.render import make_table  # noqa: E402
from pgagent_cli.screens import (  # noqa: E402
    BLOCKS,
    Glance,
    history_screen,
    jobs_columns,
    jobs_rows,
    timeline_chars,
    top_screen,
)

NOW = datetime(2026, 11, 23, 14, 20, 5, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
WIDTH, HEIGHT = 100, 26

# Name, schedule, minutes that a run takes, how many of a hundred runs fail, why.
JOBS_DONE = (
    ("nightly vacuum", "30 2 * * *", 95.0, 0, ""),
    ("backup", "0 1 * * *", 210.0, 0, ""),
    ("import orders", "*/15 * * * *", 2.4, 0, ""),
    ("refresh dashboards", "5 * * * *", 11.0, 14, "canceling statement due to statement timeout"),
    ("send invoices", "0 8-18/2 * * *", 6.5, 40, "could not connect to host mail"),
    ("archive events", "10 */6 * * *", 42.0, 0, ""),
)
# Of a job: its state, its step, for how many seconds it has run.
GOES_ON = {"import orders": ("running", "02 load", 95), "archive events": ("waiting for ticker", "03 upload", 754)}

CREATE = "select pgagent.create_job(%(name)s, schedule => %(schedule)s, sql => 'select 1')"
STARTS = """
    select run from pgagent.upcoming(%(job)s, 200, %(since)s) where run < %(until)s order by run
"""
LOG = """
    insert into pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration, jlgreason)
    values (%(job)s, %(status)s, %(start)s, %(duration)s, %(reason)s)
"""
LONG_AGO = "update pgagent.pga_schedule set jscstart = '2026-01-01 00:00 UTC' where jscjobid = %(job)s"
NEXT = """
    select s.jscjobid as job, min(pgagent.next_run(s.jscid, %(now)s)) as run
      from pgagent.pga_schedule s
     group by s.jscjobid
"""


def main() -> None:
    """Write the pictures."""
    with Cluster() as cluster:
        app = _connect(cluster.create_database("shop"))
        for row in sorted(_runs(app), key=lambda row: row["start"]):
            app.connection.execute(LOG, row)
        for name, screen in (("jobs", _jobs(app)), ("history", _history(app)), ("top", _top(app))):
            _draw(name, screen)
        app.close()


def _connect(database: Database) -> App:
    console = Console(file=io.StringIO())
    app = App(read_target(database.conninfo, None, None, None, None), console, console)
    app.connection.execute("set timezone = 'UTC'")
    app.connection.execute("update pgagent.settings set timezone = 'UTC'")
    return app


def _runs(app: App) -> Iterator[Row]:
    """The logs of the last day: what the schedules say, now and then a failure."""
    chance = random.Random(1)  # noqa: S311
    for name, schedule, minutes, failures, reason in JOBS_DONE:
        job = app.value(CREATE, {"name": name, "schedule": schedule})
        app.connection.execute(LONG_AGO, {"job": job})
        starts = app.rows(STARTS, {"job": job, "since": NOW - timedelta(days=1), "until": NOW - minutes * MINUTE})
        for start in starts:
            failed = chance.random() * 100 < failures
            duration = minutes * MINUTE * chance.uniform(0.2 if failed else 0.8, 0.4 if failed else 1.2)
            yield {
                "job": job,
                "status": "f" if failed else "s",
                "start": start["run"],
                "duration": duration,
                "reason": f'step "01": ERROR: {reason}' if failed else None,
            }


def _next_runs(app: App) -> dict[int, datetime]:
    return {row["job"]: row["run"] for row in app.rows(NEXT, {"now": NOW})}


def _jobs(app: App) -> RenderableType:
    coming = _next_runs(app)
    rows = [
        {**row, "next_run": coming[row["job"]], "running_since": _running_since(row["name"])} for row in app.rows(JOBS)
    ]
    return make_table(jobs_columns(NOW, WIDTH), jobs_rows(rows, NOW))


def _running_since(name: str) -> datetime | None:
    return NOW - timedelta(seconds=GOES_ON[name][2]) if name in GOES_ON else None


def _history(app: App) -> RenderableType:
    return history_screen(read_timeline(app, 24, timeline_chars(WIDTH), until=NOW), WIDTH, BLOCKS)


def _top(app: App) -> RenderableType:
    ended = app.rows(ENDED)
    names = {row["job"]: row["name"] for row in app.rows(JOBS)}
    coming = [{"job": job, "name": names[job], "run": run} for job, run in _next_runs(app).items()]
    running = [
        {
            "run": ended[0]["run"] + number,
            "name": name,
            "step_name": step,
            "state": state,
            "duration": timedelta(seconds=seconds),
            "station": "db1",
        }
        for number, (name, (state, step, seconds)) in enumerate(GOES_ON.items(), 1)
    ]
    glance = Glance(
        now=NOW,
        place="shop at db1:5432",
        # What is wrong with the server of the pictures is not of interest.
        health=[row for row in app.rows(HEALTH) if row["matter"] == "failing jobs"],
        running=running,
        ended=ended,
        coming=sorted(coming, key=lambda row: row["run"]),
    )
    return top_screen(glance, WIDTH, HEIGHT)


def _draw(name: str, screen: RenderableType) -> None:
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), color_system="standard", force_terminal=True, legacy_windows=False
    )
    console.print(screen, no_wrap=True)
    path = Path(__file__).with_name(f"{name}.svg")
    path.write_text(console.export_svg(title=f"pgagent-py {name}", unique_id=f"pgagent-py-{name}"), encoding="utf-8")


if __name__ == "__main__":
    main()
