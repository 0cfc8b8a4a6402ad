"""Waiting for a condition, never for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_SECONDS = 20.0
"""Generous: a test that passes never waits for it, and a loaded machine must not fail one."""

_POLL_SECONDS = 0.02


def wait_until(
    condition: Callable[[], T | None],
    deadline_seconds: float = DEADLINE_SECONDS,
    what: str | Callable[[], str] = "the condition",
) -> T:
    """Call ``condition`` until it answers something true, and return that.

    ``what`` completes the message "waited N s in vain for ..."; as a callable it is asked only on failure and
    can show the state that was found instead. Raises ``AssertionError`` once the deadline has passed.
    """
    end = time.monotonic() + deadline_seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= end:
            text = what() if callable(what) else what
            raise AssertionError(f"waited {deadline_seconds:g} s in vain for {text}")
        time.sleep(_POLL_SECONDS)
