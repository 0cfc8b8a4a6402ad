"""Child processes in the event loop: their output, their end. No threads and no child watcher: pipes and a pidfd."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack

from pgagent_ticker.account import Account
from pgagent_ticker.directories import fork_remover, remove_emptied
from pgagent_ticker.guardian import kill_group
from pgagent_ticker.launch import Failure, Launch, fork_child, read_failure
from pgagent_ticker.output import Capture

# How long output is still read after the script's end: what it left behind may hold it open for ever.
LINGER_SECONDS = 1.0
REMOVAL_SECONDS = 10.0
_READ_BYTES = 65536
_REPORT_BYTES = 100  # of a failed start


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


class Process:
    """A script's process, leader of its process group."""

    def __init__(self, pid: int, out: Stream, err: Stream, report: Stream) -> None:
        self.pid = pid
        self.out = out
        self.err = err
        self.exit_status: int | None = None  # negative for a signal; None until it is reaped
        self._report = report

    async def wait_for_start(self) -> Failure | None:
        """Return when the process executes what it is to execute, or why it cannot."""
        await self._report.ended.wait()
        return read_failure(self._report.capture.cut(_REPORT_BYTES))

    def has_ended(self) -> bool:
        """Whether the leader is dead; it stays unreaped, so that its number means this group to the end."""
        return self.exit_status is not None or _has_ended(self.pid)

    async def wait_for_end(self) -> None:
        """Return when the leader is dead."""
        await _wait_for_end(self.pid)

    async def drain(self) -> bool:
        """Read on after the end; False if somebody still holds the output open after LINGER_SECONDS."""
        both = asyncio.gather(self.out.ended.wait(), self.err.ended.wait())
        try:
            await asyncio.wait_for(both, LINGER_SECONDS)
        except asyncio.TimeoutError:
            return False
        return True

    def reap(self) -> int:
        """Give up the process id of a dead leader; returns its exit status. May be called twice."""
        if self.exit_status is None:
            self.exit_status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_status

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the group; no effect after the leader was reaped: its number may be another's."""
        if self.exit_status is None:
            kill_group(self.pid, number)

    def close(self) -> None:
        """Read nothing any more; may be called twice."""
        for stream in (self.out, self.err, self._report):
            stream.close()


def start_process(launch: Launch, limit_bytes: int, kept: int, announce: Callable[[int], None]) -> Process:
    """Start a process, each of whose outputs is kept within a bound; OSError if there is no room for it."""
    with ExitStack() as on_failure, ExitStack() as always:
        ends = []
        for _ in range(2):
            reading, writing = os.pipe()
            on_failure.callback(os.close, reading)
            always.callback(os.close, writing)
            if launch.account is not None:  # otherwise it could not open /dev/stdout
                os.fchown(writing, launch.account.uid, launch.account.gid)
            ends.append((reading, writing))
        pid, report = fork_child(launch, (ends[0][1], ends[1][1]), kept, announce)
        on_failure.pop_all()
    return Process(pid, Stream(ends[0][0], limit_bytes), Stream(ends[1][0], limit_bytes), Stream(report, _REPORT_BYTES))


async def remove_directory(directory: str, file: str, account: Account | None) -> None:
    """Remove a private directory; what cannot be removed in REMOVAL_SECONDS stays."""
    if account is None and remove_emptied(directory, file):
        return
    try:
        pid = fork_remover([directory], account)
    except OSError:  # no room for another process
        return
    try:
        await asyncio.wait_for(_wait_for_end(pid), REMOVAL_SECONDS)
    except asyncio.TimeoutError:
        kill_group(pid, signal.SIGKILL)
        await asyncio.wait({asyncio.ensure_future(_wait_for_end(pid))}, timeout=LINGER_SECONDS)
    finally:
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  (does not wait)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


async def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):  # an old kernel, or none left
        while not _has_ended(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return
    try:
        await _wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def _wait_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
