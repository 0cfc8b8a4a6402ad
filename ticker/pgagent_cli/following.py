"""Following a run: its output as it grows, until the run has ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import final

from rich.console import Console
from rich.text import Text

from pgagent_cli.app import App, Row
from pgagent_cli.outcome import Exit
from pgagent_cli.render import STATUS_STYLES, one_line, plain, show_duration

RUN = """
    select run, job, name, owner, status, started, duration, reason, steps, failed_steps
      from pgagent.runs
     where run = %(run)s
"""
# Of a step whose output is known up to an offset, only the rest.
STEPS = """
    select step_run, step, step_name as name, kind, status, started, duration, result,
           substr(output, 1 + coalesce(
               (select k.characters
                  from unnest(%(known)s::int4[], %(offsets)s::int4[]) as k (step_run, characters)
                 where k.step_run = s.step_run), 0)) as output
      from pgagent.run_steps s
     where run = %(run)s
     order by step_run
"""
PENDING = "select pgagent.wait_for_run(%(run)s, '0 s')"
POLL_SECONDS = 0.25
RUNNING = "running"

_EXITS = {
    "succeeded": Exit.OK,
    "failed": Exit.FAILED,
    "internal failure": Exit.FAILED,
    "aborted": Exit.ABORTED,
}

Work = Callable[[], None]


def find_run(app: App, runid: int) -> Row | None:
    """A run; None when it was asked for and has not started. The server's error when there is none of this id."""
    found = app.rows(RUN, {"run": runid})
    if not found and app.value(PENDING, {"run": runid}) is not None:
        found = app.rows(RUN, {"run": runid})  # it has started and ended since
    return found[0] if found else None


def steps_of(app: App, runid: int, offsets: Mapping[int, int] | None = None) -> list[Row]:
    """The steps of a run as they stand; of their output, what comes after so many characters."""
    known = offsets or {}
    return app.rows(STEPS, {"run": runid, "known": list(known), "offsets": list(known.values())})


def exit_of(run: Row) -> Exit:
    """The exit code of a run that has ended."""
    return _EXITS[run["status"]]


@final
class Follower:
    """Prints what the steps of a run put out: what is new of it, at each look.

    For a program that reads us the output is what it was; at a terminal it comes in whole lines, and does not steer it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._offsets: dict[int, int] = {}
        self._ended: set[int] = set()
        self._rest = ""  # the beginning of a line

    @property
    def offsets(self) -> dict[int, int]:
        """How many characters of the output of which run of a step are known."""
        return self._offsets

    def show(self, steps: Iterable[Row]) -> None:
        """Print what is new; ``output`` of a step is what it has put out beyond its offset."""
        for step in steps:
            number, output = step["step_run"], step["output"] or ""
            if number in self._ended:
                continue
            if number not in self._offsets:
                self._print(Text(f"{one_line(step['name'])} ({step['kind']})", style="bold"))
            self._offsets[number] = self._offsets.get(number, 0) + len(output)
            self._put_out(output)
            if step["status"] != RUNNING:
                self._ended.add(number)
                self._print(_show_end(step))

    def _put_out(self, output: str) -> None:
        lines = (self._rest + output).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._print_output(line)

    def _print(self, line: Text) -> None:
        if self._rest:
            self._print_output(self._rest)
            self._rest = ""
        self._console.print(line, soft_wrap=True)

    def _print_output(self, line: str) -> None:
        if self._console.is_terminal:
            self._console.print(Text(plain(line)), soft_wrap=True)
        else:
            self._console.file.write(f"{line}\n")
            self._console.file.flush()


def _show_end(step: Row) -> Text:
    line = Text.assemble("  ", (plain(step["status"]), STATUS_STYLES.get(step["status"], "")))
    line.append(f" after {show_duration(step['duration'])}")
    if step["kind"] == "batch" and step["result"]:
        line.append(f", exit code {step['result']}")
    return line


def print_run(console: Console, run: Row) -> None:
    """Print how a run stands or has ended, in a line, and why."""
    status = plain(run["status"])
    line = Text.assemble(
        f"run {run['run']} of {one_line(run['name'])}: ", (status, STATUS_STYLES.get(run["status"], ""))
    )
    line.append(f" {'for' if run['status'] == RUNNING else 'after'} {show_duration(run['duration'])}")
    console.print(line, soft_wrap=True)
    if run["reason"]:
        console.print(Text(f"  {plain(run['reason'])}"), soft_wrap=True)


def follow(
    app: App, runid: int, follower: Follower | None, timeout_seconds: float | None = None, work: Work | None = None
) -> Row | None:
    """Wait until a run has ended, and return it; None when the time is over first. Prints its output meanwhile.

    ``work`` is called between two looks instead of a pause. At a terminal a line tells that we wait.
    """
    pause = work or (lambda: time.sleep(POLL_SECONDS))
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    waiting = app.out.status("") if app.out.is_terminal else None
    with waiting or contextlib.nullcontext():
        while True:
            # The run first: when it has ended, all that its steps put out is there.
            run = find_run(app, runid)
            if run and follower:
                follower.show(steps_of(app, runid, follower.offsets))
            if run and run["status"] in _EXITS:
                return run
            if end is not None and time.monotonic() >= end:
                return None
            if waiting:
                waiting.update(_progress(runid, run))
            pause()


def _progress(runid: int, run: Row | None) -> str:
    if run is None:
        return f"run {runid} waits to be started"
    steps = "1 step" if run["steps"] == 1 else f"{run['steps']} steps"
    return f"run {runid} goes on, for {show_duration(run['duration'])}, {steps} begun"
