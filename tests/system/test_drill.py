"""A short drill: the long one is ``make drill``."""

from __future__ import annotations

import pytest

from drill.drill import run_drill
from drill.plan import Plan


@pytest.mark.usefixtures("template")
def test_short_drill() -> None:
    plan = Plan(seed=4, storm_seconds=15, jobs=50, every_seconds=(2, 3, 5), pause_seconds=0.3, heavy_pause_seconds=4)
    report = run_drill(plan)
    assert report.violations == [], str(report)
