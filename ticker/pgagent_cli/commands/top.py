"""`top`: how things are just now, again and again."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import replace

import click
import psycopg
from rich.console import Console, RenderableType
from rich.live import Live

from pgagent_cli.app import App
from pgagent_cli.options import Number
from pgagent_cli.outcome import Exit, Failure
from pgagent_cli.render import print_stripped
from pgagent_cli.screens import Glance, top_screen

RUNNING = """
    select run, job, name, step_name, state, duration, station
      from pgagent.running
     order by duration desc, run
     limit 1000
"""
ENDED = """
    select run, job, name, status, started, duration, reason
      from pgagent.runs
     where status <> 'running'
     order by run desc
     limit 100
"""
COMING = """
    select jobid as job, jobname as name, jobnextrun as run
      from pgagent.pga_job
     where jobenabled and jobagentid is null and jobnextrun is not null
     order by jobnextrun, jobid
     limit 100
"""
HEALTH = "select matter, status, detail from pgagent.health()"
MAY_ASK = "select has_function_privilege('pgagent.health()', 'execute')"
NOW = "select clock_timestamp()"
QUIT = (b"q", b"Q", b"\x1b")
PIPED_SIZE = (100, 60)


@click.command()
@click.option(
    "--interval",
    "interval_seconds",
    metavar="SECONDS",
    type=Number(0.1, 3600),
    default=2,
    show_default=True,
    help="How often to look.",
)
@click.option("--once", is_flag=True, help="Show one screen and end. The same without a terminal, or at a dumb one.")
@click.pass_obj
def top(app: App, interval_seconds: float, once: bool) -> int:
    """Watch what runs, has ended and comes, until q is pressed.

    Health is told in a line. Any key but q has the screen drawn at once; Ctrl-C ends it, too.

    \b
      pgagent-py top
      pgagent-py top --once
    """
    glance = look(app)
    if once or app.out.is_dumb_terminal or not (app.out.is_terminal and sys.stdin.isatty()):
        size = (app.out.width, app.out.height) if app.out.is_terminal else PIPED_SIZE
        print_stripped(app.out, top_screen(glance, *size))
        return Exit.OK
    with _keys() as keys, Live(console=app.out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_draw(app.out, glance), refresh=True)
            if _is_quit(keys, interval_seconds):
                return Exit.OK
            glance = _look_again(app, glance)


def look(app: App) -> Glance:
    """How things are now."""
    info = app.connection.info
    return Glance(
        now=app.value(NOW),
        place=f"{info.dbname} at {info.host or 'local socket'}:{info.port}",
        health=app.rows(HEALTH) if app.value(MAY_ASK) else None,
        running=app.rows(RUNNING),
        ended=app.rows(ENDED),
        coming=app.rows(COMING),
    )


def _look_again(app: App, last: Glance) -> Glance:
    """How things are now; what was last seen, with a notice, while the connection is lost."""
    try:
        return look(app)
    except (Failure, psycopg.OperationalError) as error:
        app.close()
        return replace(last, notice=f"no connection, trying again: {str(error).strip()}")


def _draw(console: Console, glance: Glance) -> RenderableType:
    return top_screen(glance, console.width, console.height)


@contextlib.contextmanager
def _keys() -> Iterator[int]:
    """The terminal's keys, each as soon as it is pressed and not shown."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _is_quit(keyboard: int, wait_seconds: float) -> bool:
    """Wait for a key; whether it was one that ends the screen. Any other key has the screen drawn at once."""
    ready, _, _ = select.select([keyboard], [], [], wait_seconds)
    return bool(ready) and os.read(keyboard, 1) in (*QUIT, b"")
