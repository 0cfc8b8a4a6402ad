"""Decisions about time: how long to wait before the next call or the next attempt to connect. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FREE_CALLS = 20  # notifications in a row that led to nothing before they are slowed down
FREE_RUNNING_CALLS = 3
REST_SECONDS = 0.05
LONGEST_IDLE_SECONDS = 1.0
QUICK_CALL_SECONDS = 0.05


class Backoff:
    """Growing waits: doubled from the first to the longest, each between half and the whole by chance."""

    def __init__(self, first_seconds: float, longest_seconds: float, random: Callable[[], float]) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._random = random
        self._attempts = 0

    def next_seconds(self) -> float:
        """The wait before the next attempt."""
        whole = min(self._first_seconds * 2.0 ** min(self._attempts, 30), self._longest_seconds)
        self._attempts += 1
        return whole * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        """Start again from the first wait."""
        self._attempts = 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """When sessions with nothing to do look all the same: together, so that the process wakes once for all of them."""

    interval_seconds: float
    began_seconds: float

    def left_seconds(self, now_seconds: float) -> float:
        """Until the next beat: more than nothing, at most the interval."""
        return self.interval_seconds - (now_seconds - self.began_seconds) % self.interval_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of run_due, and of next_due after it, said."""

    progress: bool  # some run ended
    running: bool  # some step is in flight
    due_in_seconds: float | None  # None: nothing is scheduled, or not asked
    took_seconds: float


class Pace:
    """How long to sleep after an answer: up to the next due time, and never a busy loop."""

    def __init__(self) -> None:
        self._fruitless = 0
        self._early = 0
        self._quiet = True  # the last pause was not ended by a notification

    def pause_seconds(self, answer: Answer, longest_seconds: float) -> float:
        """Seconds until run_due should be called again; 0 for at once.

        At most ``longest_seconds``, but for a call that would come back only after the due time and hold up its job.
        """
        due = answer.due_in_seconds
        if answer.progress or (answer.running and answer.took_seconds >= QUICK_CALL_SECONDS):
            self._fruitless = 0
        if answer.running:
            return min(self._fruitless_pause(FREE_RUNNING_CALLS), longest_seconds)
        if due is None or due > 0:
            self._fruitless = 0
            return longest_seconds if due is None or due > longest_seconds + answer.took_seconds else due
        return min(self._fruitless_pause(0), longest_seconds)

    def _fruitless_pause(self, free_calls: int) -> float:
        doublings = self._fruitless - free_calls - 1
        self._fruitless += 1
        if doublings < 0:
            return 0.0
        seconds = REST_SECONDS * 2.0 ** min(doublings, 30)
        return min(seconds, LONGEST_IDLE_SECONDS)

    def rest_seconds(self, answer: Answer, woken: bool) -> float:
        """Seconds to rest, notified or not: 0, unless notifications keep coming that lead to nothing."""
        if woken:
            self._early += 1
        if answer.progress or (self._quiet and not woken):
            self._early = 0
        self._quiet = not woken
        return REST_SECONDS if woken and self._early > FREE_CALLS else 0.0
