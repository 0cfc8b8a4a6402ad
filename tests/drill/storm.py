"""The storm: faults and changes in random order, several at a time, while the books are looked at all the time."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import final

import psycopg

from drill.clients import CHANGES
from drill.faults import HEAVY, LIGHT, Fault, NothingToStrike, Work
from drill.site import Site

LOOK_SECONDS = 1.0
GONE = "an agent is gone"
"""What check_invariants says of an agent that is no more: no fault while others are about to clean up."""

_FAILURES = (psycopg.Error, NothingToStrike)


@dataclass(slots=True)
class Diary:
    """What was done when, and what was found. Instants are those of the clock on the wall, as in the server's log."""

    faults: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    looks: int = 0
    broken: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Write a line."""
        self.lines.append(f"{time.strftime('%H:%M:%S')}.{time.time() % 1 * 1000:03.0f} {text}")


@final
class Storm:
    """Strikes from one thread: the kernel ends a server or ticker with the thread that has started it."""

    def __init__(self, site: Site, diary: Diary) -> None:
        self._site = site
        self._diary = diary
        self._waiting: list[tuple[float, int, str, Work]] = []
        self._numbers = count()

    def rage(self) -> None:
        """Strike for as long as the plan says; then everything is mended."""
        plan = self._site.plan
        end = time.monotonic() + plan.storm_seconds
        light, heavy, changes = plan.stream("light"), plan.stream("heavy"), plan.stream("changes")
        self._schedule("light", self._keep_striking(LIGHT, light, plan.pause_seconds))
        self._schedule("heavy", self._keep_striking(HEAVY, heavy, plan.heavy_pause_seconds))
        self._schedule("changes", self._keep_striking(CHANGES, changes, plan.pause_seconds))
        self._schedule("looks", self._keep_looking())
        try:
            while self._waiting[0][0] < end:
                self._resume()
        finally:
            self._mend()

    def _resume(self) -> None:
        at, _, name, work = heapq.heappop(self._waiting)
        time.sleep(max(0.0, at - time.monotonic()))
        try:
            seconds = next(work, None)
        except _FAILURES as error:
            self._diary.note(f"{name} fails: {type(error).__name__} {str(error).strip()[:200]}")
            return
        if seconds is not None:
            heapq.heappush(self._waiting, (time.monotonic() + seconds, next(self._numbers), name, work))

    def _schedule(self, name: str, work: Work) -> None:
        heapq.heappush(self._waiting, (time.monotonic(), next(self._numbers), name, work))

    def _keep_striking(self, kinds: dict[Fault, int], rng: random.Random, pause_seconds: float) -> Work:
        while True:
            yield rng.uniform(0.2, 1.8) * pause_seconds
            (fault,) = rng.choices([*kinds], weights=[*kinds.values()])
            self._schedule(fault.__name__, self._strike(fault, rng))

    def _strike(self, fault: Fault, rng: random.Random) -> Work:
        work = fault(self._site, rng)
        self._diary.note(f"{fault.__name__} begins")
        seconds = next(work)
        self._diary.faults[fault.__name__] += 1
        self._diary.note(f"{fault.__name__} for {seconds:.2f} s")
        yield seconds
        yield from work

    def _keep_looking(self) -> Work:
        while True:
            yield LOOK_SECONDS
            with suppress(psycopg.Error):
                for invariant, row, detail in self._site.admin.execute("select * from pgagent.check_invariants()"):
                    if not invariant.startswith(GONE):
                        self._diary.broken.append(f"{invariant}: {row}: {detail}")
                        self._diary.note(f"broken: {self._diary.broken[-1]}")
                self._diary.looks += 1

    def _mend(self) -> None:
        self._site.wake_all()
        for _, _, _, work in self._waiting:
            with suppress(*_FAILURES):
                work.close()
        self._site.repair()
        self._diary.note("the storm is over")
