"""One batch step: its script in a private directory, in a process group of its own, its output within bounds.

The rules are pgAgent's, so that existing steps go on working: a first line `#!` is honoured, otherwise
/bin/sh runs the script; the working directory and the environment are the ticker's; exit code 0 alone is
success; a script killed by signal n has exit code 128 + n. No threads and no child watcher: pipes and a
pidfd in the event loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from pgagent_ticker import guardian as guard
from pgagent_ticker.output import Capture, compose

NOT_STARTED = -1  # as pgAgent: the script itself never ran
NOT_EXECUTABLE = 126  # these two as a shell
NOT_FOUND = 127
SIGNAL_BASE = 128
OVERTIME = 124  # as timeout(1), for a script that ends well when it is told that its time is over

# How long output is still read after the script's end: what it left behind may hold it open for ever.
LINGER_SECONDS = 1.0
BUSY_ATTEMPTS = 20
DEFAULT_DIRECTORY = "/tmp"  # noqa: S108  (pgAgent's; the script's own in it is private)
_READ_BYTES = 65536
_MOST_NAME_CHARS = 1000  # of a job's name in the environment, which the system limits
_PR_SET_PDEATHSIG = 1
_SCARCE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC)

_prctl = getattr(ctypes.CDLL(None), "prctl", None)


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a batch step ended."""

    exit_code: int
    output: str
    aborted: bool = False


class Stream:
    """The read end of a pipe in the event loop."""

    def __init__(self, descriptor: int, limit_bytes: int) -> None:
        os.set_blocking(descriptor, False)
        self.capture = Capture(limit_bytes)
        self.ended = asyncio.Event()
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self.capture.add(data)
        else:
            self.close()

    def close(self) -> None:
        """Stop reading; may be called twice."""
        if not self.ended.is_set():
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self.ended.set()


@dataclass(frozen=True, slots=True)
class Process:
    """A started script, leader of its process group."""

    popen: subprocess.Popen[bytes]
    out: Stream
    err: Stream

    def has_ended(self) -> bool:
        """Whether the leader is dead; it stays unreaped, so that its number means this group to the end."""
        if self.popen.returncode is not None:
            return True
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.popen.pid, how) is not None

    async def wait_for_end(self) -> None:
        """Return when the leader is dead."""
        try:
            descriptor = os.pidfd_open(self.popen.pid)
        except (OSError, AttributeError):  # an old kernel, or none left
            while not self.has_ended():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            return
        try:
            await _wait_readable(descriptor)
        finally:
            os.close(descriptor)

    async def drain(self) -> bool:
        """Read on after the end; False if somebody still holds the output open after LINGER_SECONDS."""
        both = asyncio.gather(self.out.ended.wait(), self.err.ended.wait())
        try:
            await asyncio.wait_for(both, LINGER_SECONDS)
        except asyncio.TimeoutError:
            return False
        return True


class Script:
    """The run of one batch step."""

    def __init__(self, step: BatchStep, guardian: guard.Guardian, grace_seconds: float) -> None:
        self.step = step
        self._guardian = guardian
        self._grace_seconds = grace_seconds
        self._mark = secrets.token_hex(16)
        self._process: Process | None = None
        self._end_reason: str | None = None
        self._is_overtime = False
        self._killer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> Outcome:
        """Run the script to its end; whatever the system refuses becomes the step's output."""
        if self._end_reason is not None:
            return self._not_started(f"not started: {self._end_reason}", aborted=True)
        place = os.environ.get("TMPDIR") or DEFAULT_DIRECTORY
        try:
            directory = tempfile.mkdtemp(prefix=f"pga_{self.step.jobid}_{self.step.jstid}_", dir=place)
        except OSError as error:
            return self._not_started(f"could not create a directory in {place}: {error.strerror}")
        try:
            return await self._run_in(directory)
        finally:
            self._guardian.release(self._mark)
            shutil.rmtree(directory, ignore_errors=True)

    def abort(self, reason: str) -> None:
        """End the script's group: SIGTERM now, SIGKILL after the grace time; no effect after its end."""
        if self._end_reason is not None or (self._process and self._process.has_ended()):
            return
        self._end_reason = reason
        if self._process:
            guard.kill_group(self._process.popen.pid, signal.SIGTERM)
            guard.kill_group(self._process.popen.pid, signal.SIGCONT)  # a stopped process hears nothing
            self._killer = asyncio.get_running_loop().call_later(self._grace_seconds, self.kill)

    def _end_overtime(self) -> None:
        """Its time is over: it has failed, which is no abort."""
        if self._end_reason is None:
            self._is_overtime = True
            self.abort(f"it has taken longer than its time limit, {self.step.time_limit_seconds:g} s")

    def kill(self) -> None:
        """End the script's group at once; no effect after the script was reaped: its number may be another's."""
        if self._process and self._process.popen.returncode is None:
            guard.kill_group(self._process.popen.pid, signal.SIGKILL)

    def _not_started(self, reason: str, exit_code: int = NOT_STARTED, aborted: bool = False) -> Outcome:
        return Outcome(exit_code, f"[{reason}]\n", aborted)

    async def _run_in(self, directory: str) -> Outcome:
        code = script_bytes(self.step.code)
        path = f"{directory}/{self.step.jobid}_{self.step.jstid}.scr"
        try:
            write_script(path, code)
        except OSError as error:
            return self._not_started(f"could not write the script {path}: {error.strerror}")
        try:
            self._process = await self._start(path, code, directory)
        except OSError as error:
            exit_code, reason = explain_start_failure(error, code)
            return self._not_started(reason, exit_code)
        try:
            return await self._follow(self._process)
        finally:
            self._clean_up(self._process)

    async def _start(self, path: str, code: bytes, directory: str) -> Process:
        for attempt in range(BUSY_ATTEMPTS):
            try:
                return self._spawn(command_for(path, code), directory)
            except OSError as error:
                if error.errno == errno.ENOEXEC:  # a shell would run it itself
                    return self._spawn(["/bin/sh", path], directory)
                if error.errno != errno.ETXTBSY or attempt == BUSY_ATTEMPTS - 1:
                    raise
            await asyncio.sleep(0.005 * (attempt + 1))
        raise AssertionError("unreachable")

    def _spawn(self, command: list[str], directory: str) -> Process:
        ticker_pid = os.getpid()

        def become_script() -> None:
            # In the child between fork and exec. The ticker may have died before the first line took effect.
            if _prctl is not None:
                _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            self._guardian.announce(guard.Ward(self._mark, os.getpid(), directory))
            if os.getppid() != ticker_pid:
                os._exit(1)

        with ExitStack() as on_failure, ExitStack() as always:
            ends = []
            for _ in range(2):
                reading, writing = os.pipe()
                on_failure.callback(os.close, reading)
                always.callback(os.close, writing)
                ends.append((reading, writing))
            popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=ends[0][1], stderr=ends[1][1],
                start_new_session=True,
                env=script_environment(os.environb, self.step, self._mark),
                preexec_fn=become_script,  # noqa: PLW1509  (there are no threads)
            )  # fmt: skip
            on_failure.pop_all()
        self._guardian.keep(guard.Ward(self._mark, popen.pid, directory))
        limit = self.step.output_limit
        return Process(popen, Stream(ends[0][0], limit), Stream(ends[1][0], limit))

    async def _follow(self, process: Process) -> Outcome:
        limit_seconds = self.step.time_limit_seconds
        if limit_seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, limit_seconds), self._end_overtime)
        await process.wait_for_end()
        complete = await process.drain()
        if self._end_reason is not None:
            self._end_descendants(process)
            note = f"ended by the ticker: {self._end_reason}"
        elif not complete:
            note = "a process that the script left behind keeps its output open; the rest is left out"
        else:
            note = ""
        status = process.popen.wait()  # reaps; does not block
        output = compose(process.out.capture, process.err.capture, self.step.output_limit, note)
        exit_code = SIGNAL_BASE - status if status < 0 else status
        if self._is_overtime:
            return Outcome(exit_code or OVERTIME, output)
        return Outcome(exit_code, output, self._end_reason is not None)

    def _end_descendants(self, process: Process) -> None:
        guard.kill_group(process.popen.pid, signal.SIGKILL)
        guard.kill_marked([self._mark])

    def _clean_up(self, process: Process) -> None:
        for timer in (self._killer, self._timer):
            if timer:
                timer.cancel()
        if process.popen.returncode is None:  # only when the task was cancelled
            self._end_descendants(process)
            process.popen.wait()
        process.out.close()
        process.err.close()


def script_bytes(code: str) -> bytes:
    """The script as it is written: the bytes of the database, line ends as the system has them."""
    return code.encode("utf-8", "surrogateescape").replace(b"\r\n", b"\n")


def write_script(path: str, code: bytes) -> None:
    """Create the script's file, executable for its owner only; OSError as the system says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o700)  # whatever the umask is
        file.write(code)


def command_for(path: str, code: bytes) -> list[str]:
    """How to run the script: itself when it names its interpreter, otherwise by the shell."""
    return [path] if code.startswith(b"#!") else ["/bin/sh", path]


def script_environment(inherited: Mapping[bytes, bytes], step: BatchStep, mark: str) -> dict[bytes, bytes]:
    """The ticker's environment without its password, plus what the script may want to know."""
    environment = {key: value for key, value in inherited.items() if key != b"PGPASSWORD"}
    name = step.jobname[:_MOST_NAME_CHARS].encode("utf-8", "surrogateescape")
    environment.update({
        b"PGAGENT_JOBID": b"%d" % step.jobid,
        b"PGAGENT_JOBNAME": name,
        b"PGAGENT_STEPID": b"%d" % step.jstid,
        b"PGAGENT_RUNID": b"%d" % step.jlgid,
        guard.MARK_VARIABLE.encode(): mark.encode(),
    })  # fmt: skip
    return environment


def explain_start_failure(error: OSError, code: bytes) -> tuple[int, str]:
    """Exit code and reason of a script that could not be executed, the codes as a shell has them."""
    if error.errno in _SCARCE:
        return NOT_STARTED, f"could not start the script: {error.strerror}"
    interpreter = "/bin/sh"
    if code.startswith(b"#!"):
        interpreter = code[2:].split(b"\n", 1)[0].strip().decode("utf-8", "backslashreplace")
    exit_code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
    return exit_code, f'cannot run the script with "{interpreter}": {error.strerror}'


async def _wait_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
