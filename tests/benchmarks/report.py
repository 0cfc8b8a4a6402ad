"""Figures, their statistics, and the tables that show them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be: at least ``bound``, or below it."""

    bound: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Tell whether a figure is as it should be."""
        return value >= self.bound if self.at_least else value < self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<'} {format_number(self.bound)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table: a value of each repetition, ours and pgAgent's (empty: not measured)."""

    name: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    aim: Aim | None = None

    @property
    def verdict(self) -> str:
        """``ok`` or ``missed``, by the median; nothing without an aim."""
        if self.aim is None or not self.ours:
            return ""
        return "ok" if self.aim.is_met(statistics.median(self.ours)) else "missed"


@dataclass(slots=True)
class Result:
    """What one benchmark found. ``wrong``: jobs lost or done twice by us, which no slow machine excuses."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` % of the values do not exceed."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def format_number(value: float) -> str:
    """Write a number with three significant digits, or whole with separators from 1,000 on."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def format_samples(values: Sequence[float]) -> str:
    """Write the median and, of several values, the least and the greatest."""
    if not values:
        return "-"
    median = format_number(statistics.median(values))
    if len(values) == 1:
        return median
    return f"{median} ({format_number(min(values))} to {format_number(max(values))})"


def format_result(name: str, result: Result) -> str:
    """Lay a result out as a table with its notes."""
    rows = [("", "aim", "pgagent_py", "", "pgAgent")]
    rows += [
        (
            figure.name,
            str(figure.aim or ""),
            format_samples(figure.ours),
            figure.verdict,
            format_samples(figure.theirs),
        )
        for figure in result.figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{name}: {result.title}"]
    lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += [f"  note: {note}" for note in result.notes]
    lines += [f"  WRONG: {fault}" for fault in result.wrong]
    return "\n".join(lines)
