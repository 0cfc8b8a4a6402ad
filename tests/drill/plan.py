"""What a drill is made of; the same plan makes the same jobs and picks the same faults, if not at the same instants."""

from __future__ import annotations

import random
from dataclasses import dataclass

LEASE_SECONDS = 5
"""The shortest that settings allow: a stall of a few seconds is past it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``every_seconds``: the intervals of the schedules, a job has one of them; ``pause_seconds``: between faults."""

    seed: int
    storm_seconds: float
    jobs: int = 300
    agents: int = 3
    every_seconds: tuple[int, ...] = (6, 8, 10, 15, 20, 30)
    pause_seconds: float = 0.5
    heavy_pause_seconds: float = 15.0

    def stream(self, name: str) -> random.Random:
        """Random numbers for one purpose, which others do not disturb."""
        return random.Random(f"{self.seed}/{name}")
