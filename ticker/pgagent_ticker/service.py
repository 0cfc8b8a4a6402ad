"""The ticker as a whole: both loops side by side, the guardian watched, signals, an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence

from pgagent_ticker import __version__
from pgagent_ticker.arguments import Options
from pgagent_ticker.batch_loop import BatchLoop
from pgagent_ticker.due_loop import DueLoop
from pgagent_ticker.events import EventLog
from pgagent_ticker.guardian import Guardian
from pgagent_ticker.session_loop import SessionLoop, Terms
from pgagent_ticker.target import Target
from pgagent_ticker.wakeup import Pulse

END_SECONDS = 5.0  # beyond the scripts' grace time: their last output, the last reports, the engine's cancel
SAME_SIGNAL_SECONDS = 0.3  # a terminal and a supervisor may both send the one that was meant
GUARDIAN_PAUSE_SECONDS = 1.0
FAILED = 1


class Service:
    """Runs until it is told to stop."""

    def __init__(self, options: Options, target: Target, log: EventLog, guardian: Guardian | None) -> None:
        self._options = options
        self._log = log
        self._guardian = guardian
        self._stop_asked = asyncio.Event()
        self._stop_asked_at = 0.0
        pulse = Pulse(options.interval_seconds, time.monotonic())
        terms = Terms(target, options.station, pulse, options.reconnect_seconds, log)
        self._batch = None
        if guardian is not None:
            self._batch = BatchLoop(terms, guardian, options.batch_parallel, options.grace_seconds, options.rules)
        self._loops: list[SessionLoop] = [DueLoop(terms)]
        if self._batch is not None:
            self._loops.append(self._batch)

    async def run(self) -> int:
        """Run; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take_signal, number)
        if self._guardian is not None:
            self._watch_guardian(self._guardian)
        self._log.info("started", version=__version__, pid=os.getpid(), station=self._options.station)
        tasks = [asyncio.ensure_future(one.run()) for one in self._loops]
        asked = asyncio.ensure_future(self._stop_asked.wait())
        await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for one in self._loops:
            one.stop()
        await self._wait_for_end(tasks)
        asked.cancel()
        status = self._report_crashes(tasks)
        self._log.info("stopped")
        return status

    async def _wait_for_end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        scripts_run = self._batch is not None and self._batch.has_scripts()
        limit_seconds = END_SECONDS + (self._options.grace_seconds if scripts_run else 0.0)
        _, late = await asyncio.wait(tasks, timeout=limit_seconds)
        if late:
            self._log.warning("some work did not end in time", seconds=limit_seconds)
            self._kill_scripts()
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=1.0)

    def _report_crashes(self, tasks: Sequence[asyncio.Task[None]]) -> int:
        status = 0
        for task in tasks:
            error = task.exception() if task.done() and not task.cancelled() else None
            if error is not None:
                self._log.error("internal error", reason=repr(error))
                status = FAILED
        return status

    def _take_signal(self, number: signal.Signals) -> None:
        now = asyncio.get_running_loop().time()
        if not self._stop_asked.is_set():
            self._log.info("stopping", signal=number.name)
            self._stop_asked_at = now
            self._stop_asked.set()
        elif now - self._stop_asked_at > SAME_SIGNAL_SECONDS:
            self._log.warning("stopping at once", signal=number.name)
            self._kill_scripts()
            os._exit(FAILED)  # the guardian removes what is left

    def _kill_scripts(self) -> None:
        if self._batch is not None:
            self._batch.kill()

    def _watch_guardian(self, guardian: Guardian) -> None:
        asyncio.get_running_loop().add_reader(guardian.fileno(), self._guardian_died, guardian)

    def _guardian_died(self, guardian: Guardian) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(guardian.fileno())
        self._log.warning("the guardian process has ended, starting another")
        loop.call_later(GUARDIAN_PAUSE_SECONDS, self._restart_guardian, guardian)

    def _restart_guardian(self, guardian: Guardian) -> None:
        guardian.restart()
        self._watch_guardian(guardian)


async def _serve(options: Options, target: Target, log: EventLog, guardian: Guardian | None) -> int:
    return await Service(options, target, log, guardian).run()


def serve(options: Options, target: Target, log: EventLog, guardian: Guardian | None) -> int:
    """Run the ticker until a signal ends it; returns the exit status."""
    return asyncio.run(_serve(options, target, log, guardian))
