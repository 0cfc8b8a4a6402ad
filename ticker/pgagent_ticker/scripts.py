"""One batch step: its script in a private directory, in a process group of its own, its output within bounds.

The rules are pgAgent's, so that existing steps go on working: a first line `#!` is honoured, otherwise
/bin/sh runs the script; the working directory is the ticker's; exit code 0 alone is success; a script
killed by signal n has exit code 128 + n. Unlike there, scripts get a known list of environment variables.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from pgagent_ticker import guardian as guard
from pgagent_ticker.account import current_account
from pgagent_ticker.launch import SHELL, Failure, Launch
from pgagent_ticker.output import compose
from pgagent_ticker.processes import Process, remove_directory, start_process
from pgagent_ticker.programs import NOT_EXECUTABLE, NOT_FOUND, Refused, find_program
from pgagent_ticker.rules import Rules, choose_environment

NOT_STARTED = -1  # as pgAgent: the script itself never ran
SIGNAL_BASE = 128
OVERTIME = 124  # as timeout(1), for a script that ends well when it is told that its time is over

DEFAULT_PLACE = "/tmp"  # noqa: S108  (pgAgent's; the script's own directory in it is private)
_MOST_NAME_CHARS = 1000  # of a job's name in the environment, which the system limits
_SCARCE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC)


@dataclass(frozen=True, slots=True)
class BatchStep:
    """A batch step handed out by take_batch_steps."""

    jslid: int
    jlgid: int
    jobid: int
    jobname: str
    jstid: int
    jstname: str
    code: str
    output_limit: int
    time_limit_seconds: float | None = None
    due: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a batch step ended."""

    exit_code: int
    output: str
    aborted: bool = False


NO_RULES = Rules()


class Script:
    """The run of one batch step."""

    def __init__(
        self, step: BatchStep, guardian: guard.Guardian, grace_seconds: float, rules: Rules = NO_RULES
    ) -> None:
        self.step = step
        self._guardian = guardian
        self._grace_seconds = grace_seconds
        self._rules = rules
        self._mark = secrets.token_hex(16)
        self._process: Process | None = None
        self._end_reason: str | None = None
        self._is_overtime = False
        self._killer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> Outcome:
        """Run the script to its end; whatever the system refuses becomes the step's output."""
        if self._end_reason is not None:
            return _not_started(f"not started: {self._end_reason}", aborted=True)
        try:
            launch = plan_launch(self.step, self._rules, self._mark)
        except Refused as refused:
            return _not_started(str(refused), refused.exit_code)
        try:
            return await self._run(launch)
        finally:
            self._guardian.release(self._mark)
            await remove_directory(launch.directory, script_name(self.step), launch.account)

    def abort(self, reason: str) -> None:
        """End the script's group: SIGTERM now, SIGKILL after the grace time; no effect after its end."""
        if self._end_reason is not None or (self._process and self._process.has_ended()):
            return
        self._end_reason = reason
        if self._process:
            self._terminate(self._process)
            self._killer = asyncio.get_running_loop().call_later(self._grace_seconds, self.kill)

    def kill(self) -> None:
        """End the script's group at once; no effect after its end."""
        if self._process:
            self._process.send(signal.SIGKILL)

    def _terminate(self, process: Process) -> None:
        process.send(signal.SIGTERM)
        process.send(signal.SIGCONT)  # a stopped process hears nothing

    def _end_overtime(self) -> None:
        """Its time is over: it has failed, which is no abort."""
        if self._end_reason is None:
            self._is_overtime = True
            self.abort(f"it has taken longer than its time limit, {self.step.time_limit_seconds:g} s")

    async def _run(self, launch: Launch) -> Outcome:
        def announce(group: int) -> None:
            self._guardian.announce(guard.Ward(self._mark, group, launch.directory))

        try:
            process = start_process(launch, self.step.output_limit, self._guardian.fileno(), announce)
        except OSError as error:
            return _not_started(f"could not start the script: {error.strerror}")
        self._process = process
        self._guardian.keep(guard.Ward(self._mark, process.pid, launch.directory))
        if self.step.time_limit_seconds is not None:
            seconds = max(0.0, self.step.time_limit_seconds)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end_overtime)
        try:
            failure = await process.wait_for_start()
            if failure is not None:
                return _not_started(*explain_failure(failure, launch, self.step.code))
            if self._end_reason is not None:  # said before there was anybody to hear it
                self._terminate(process)
            return await self._follow(process)
        finally:
            self._clean_up(process)

    async def _follow(self, process: Process) -> Outcome:
        await process.wait_for_end()
        complete = await process.drain()
        if self._end_reason is not None:
            self._end_descendants(process)
            note = f"ended by the ticker: {self._end_reason}"
        elif not complete:
            note = "a process that the script left behind keeps its output open; the rest is left out"
        else:
            note = ""
        status = process.reap()
        output = compose(process.out.capture, process.err.capture, self.step.output_limit, note)
        exit_code = SIGNAL_BASE - status if status < 0 else status
        if self._is_overtime:
            return Outcome(exit_code or OVERTIME, output)
        return Outcome(exit_code, output, self._end_reason is not None)

    def _end_descendants(self, process: Process) -> None:
        process.send(signal.SIGKILL)
        guard.kill_marked([self._mark], self._rules.account)

    def _clean_up(self, process: Process) -> None:
        for timer in (self._killer, self._timer):
            if timer:
                timer.cancel()
        if process.exit_status is None:  # it could not be started, or the task was cancelled
            self._end_descendants(process)
            process.reap()
        process.close()


def _not_started(reason: str, exit_code: int = NOT_STARTED, aborted: bool = False) -> Outcome:
    return Outcome(exit_code, f"[{reason}]\n", aborted)


def plan_launch(step: BatchStep, rules: Rules, mark: str) -> Launch:
    """What is to be started for a step; `Refused` if the rules do not allow it."""
    place = os.path.abspath(os.environ.get("TMPDIR") or DEFAULT_PLACE)  # noqa: PTH100
    directory = f"{place}/pga_{step.jobid}_{step.jstid}_{secrets.token_hex(8)}"
    environment = script_environment(os.environb, step, mark, rules)
    if rules.program_directories:
        words = find_program(step.code, rules.program_directories)
        return Launch(words, directory, None, directory, environment, rules.account)
    code = script_bytes(step.code)
    name = script_name(step)
    # The ticker's directory may be one that the other user cannot reach.
    start = None if rules.account is None else "/"
    words = command_for(os.fsencode(f"{directory}/{name}"), code)
    return Launch(words, directory, (name, code), start, environment, rules.account)


def script_name(step: BatchStep) -> str:
    """The name of the script's file, as pgAgent's."""
    return f"{step.jobid}_{step.jstid}.scr"


def script_bytes(code: str) -> bytes:
    """The script as it is written: the bytes of the database, line ends as the system has them."""
    return code.encode("utf-8", "surrogateescape").replace(b"\r\n", b"\n")


def command_for(path: bytes, code: bytes) -> tuple[bytes, ...]:
    """How to run the script: itself when it names its interpreter, otherwise by the shell."""
    return (path,) if code.startswith(b"#!") else (SHELL, path)


def script_environment(
    inherited: Mapping[bytes, bytes], step: BatchStep, mark: str, rules: Rules
) -> dict[bytes, bytes]:
    """What every script gets, plus what it may want to know of its job."""
    environment = choose_environment(inherited, rules.account or current_account(), rules.variables)
    name = step.jobname[:_MOST_NAME_CHARS].encode("utf-8", "surrogateescape")
    environment.update({
        b"PGAGENT_JOBID": b"%d" % step.jobid,
        b"PGAGENT_JOBNAME": name,
        b"PGAGENT_STEPID": b"%d" % step.jstid,
        b"PGAGENT_RUNID": b"%d" % step.jlgid,
        b"PGAGENT_DUE": step.due.encode(),
        guard.MARK_VARIABLE.encode(): mark.encode(),
    })  # fmt: skip
    return environment


def explain_failure(failure: Failure, launch: Launch, code: str) -> tuple[str, int]:
    """Reason and exit code of a start that failed at some stage."""
    text = failure.error.strerror
    place = os.path.dirname(launch.directory)  # noqa: PTH120
    if failure.stage == "account" and launch.account is not None:
        return f'could not become user "{launch.account.name}": {text}', NOT_STARTED
    if failure.stage == "directory":
        return f"could not create a directory in {place}: {text}", NOT_STARTED
    if failure.stage == "script":
        return f"could not write the script in {launch.directory}: {text}", NOT_STARTED
    what = f'the program "{os.fsdecode(launch.words[0])}"'
    if launch.script is not None:
        what = f'the script with "{interpreter_of(script_bytes(code))}"'
    return explain_refusal(failure.error, what)


def explain_refusal(error: OSError, what: str) -> tuple[str, int]:
    """Reason and exit code of something that could not be executed, the codes as a shell has them."""
    if error.errno in _SCARCE:
        return f"could not start {what}: {error.strerror}", NOT_STARTED
    return f"cannot run {what}: {error.strerror}", NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE


def interpreter_of(code: bytes) -> str:
    """What the script's first line names as its interpreter; without one, the shell."""
    if not code.startswith(b"#!"):
        return os.fsdecode(SHELL)
    return code[2:].split(b"\n", 1)[0].strip().decode("utf-8", "backslashreplace")
