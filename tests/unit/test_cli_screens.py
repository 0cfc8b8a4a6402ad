from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from pgagent_cli.render import make_table
from pgagent_cli.screens import (
    ASCII,
    BLOCKS,
    Cell,
    Glance,
    Line,
    Timeline,
    health_line,
    history_screen,
    jobs_columns,
    jobs_rows,
    share_lines,
    timeline_chars,
    top_screen,
)

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
OK = {"matter": "lag", "status": "OK", "detail": ""}
BAD = {"matter": "agents", "status": "CRITICAL", "detail": "none is alive"}
WORSE = {"matter": "logs", "status": "WARNING", "detail": "old"}


def draw(screen: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, record=True, color_system=None, markup=False, emoji=False)
    console.print(screen, no_wrap=True)
    return console.export_text().splitlines()


def timeline(width: int, *lines: Line) -> Timeline:
    return Timeline(NOW - timedelta(days=1), NOW, timeline_chars(width), lines)


def line(name: str = "nightly", cells: Mapping[int, Cell] | None = None, failed: int = 0) -> Line:
    return Line(7, name, 12, failed, 90 * SECOND, cells or {})


@pytest.mark.parametrize("width", [40, 80, 109, 110, 200])
def test_a_timeline_fits(width: int) -> None:
    cells = {number: Cell(0.5, "succeeded") for number in range(timeline_chars(width))}
    drawn = draw(history_screen(timeline(width, line("x" * 100, cells, 3)), width, BLOCKS), 300)
    assert max(len(text) for text in drawn[:-1]) <= width
    assert len(drawn) == 4


def test_a_timeline_shows_how_busy_a_job_was_and_where_it_failed() -> None:
    cells = {0: Cell(0.0, "succeeded"), 1: Cell(0.5, "succeeded"), 2: Cell(1.0, "running"), 46: Cell(0.01, "failed")}
    drawn = draw(history_screen(timeline(80, line(cells=cells, failed=1)), 80, BLOCKS))
    assert drawn[1] == "nightly            ▁▅█" + " " * 43 + "\N{MULTIPLICATION SIGN}     12      1"
    drawn = draw(history_screen(timeline(80, line(cells=cells, failed=1)), 80, ASCII))
    assert drawn[1] == "nightly            .=#" + " " * 43 + "x     12      1"


def test_failures_are_red_and_cut_off_runs_magenta() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    cells = {0: Cell(1, "failed"), 5: Cell(1, "aborted"), 9: Cell(1, "succeeded")}
    with console.capture() as captured:
        console.print(history_screen(timeline(80, line(cells=cells)), 80, BLOCKS))
    row = captured.get().splitlines()[1]
    assert "\x1b[1;31m\N{MULTIPLICATION SIGN}" in row
    assert "\x1b[35m\N{MULTIPLICATION SIGN}" in row
    assert "\x1b[32m█" in row


def test_hours_stand_where_they_are() -> None:
    day = timeline(80, line())
    axis = draw(history_screen(day, 80, BLOCKS))[0][19:67]
    assert axis.split() == ["15", "18", "21", "00", "03", "06", "09"]  # 12 is too near the end
    cell = (day.until - day.since) / day.count
    started = day.since + cell * axis.index("15")
    assert started <= datetime(2026, 11, 22, 15, tzinfo=timezone.utc) < started + cell


def test_a_wide_timeline_tells_the_longest_run() -> None:
    drawn = draw(history_screen(timeline(120, line()), 120, BLOCKS), 120)
    assert drawn[0].endswith("longest")
    assert drawn[1].endswith("1 min 30 s")


def test_a_name_of_wide_characters_takes_the_room_it_takes() -> None:
    from rich.cells import cell_len  # noqa: PLC0415

    drawn = draw(history_screen(timeline(80, line("夜間バックアップの仕事です")), 80, BLOCKS))
    assert cell_len(drawn[1].rstrip()) == len(drawn[0]) - 7


def glance(running: int = 0, ended: int = 0, coming: int = 0, **changes: Any) -> Glance:
    base = {"job": 7, "name": "nightly [red]vacuum[/]", "duration": SECOND}
    return Glance(
        **{
            "now": NOW,
            "place": "jobs at /run:5432",
            "health": [OK],
            "running": [
                {**base, "run": i, "step_name": "01", "state": "waiting for ticker", "station": "db1"}
                for i in range(running)
            ],
            "ended": [
                {**base, "run": i, "status": "failed", "started": NOW, "reason": 'step "01": bad'} for i in range(ended)
            ],
            "coming": [{**base, "run": NOW + i * SECOND} for i in range(coming)],
            **changes,
        }
    )


@pytest.mark.parametrize("height", [12, 24, 50])
@pytest.mark.parametrize("counts", [(0, 0, 0), (100, 100, 100), (1, 100, 0), (0, 0, 100)])
def test_top_is_never_higher_than_the_screen(height: int, counts: tuple[int, int, int]) -> None:
    assert len(draw(top_screen(glance(*counts), 80, height))) <= max(height, 14)
    assert max(len(text) for text in draw(top_screen(glance(*counts), 80, height), 80)) <= 80


def test_top_shows_what_runs_what_has_ended_and_what_comes() -> None:
    drawn = draw(top_screen(glance(2, 1, 3), 100, 30), 100)
    text = "\n".join(drawn)
    assert drawn[0].startswith("pgagent-py top: jobs at /run:5432 ")
    assert drawn[0].endswith("2026-11-23 12:30:00  q quits")
    assert drawn[1] == "health: OK"
    assert "Running: 2" in text
    assert text.count("waiting for ticker") == 2
    assert 'step "01": bad' in text
    assert "nightly [red]vacuum[/]" in text
    assert "overdue" in text


def test_top_says_what_it_may_not_see_and_what_is_wrong() -> None:
    assert "only who may call" in draw(top_screen(glance(health=None), 80, 24))[1]
    assert draw(top_screen(glance(notice="no connection"), 80, 24))[1].rstrip() == "no connection"


def test_health_in_a_line_is_the_worst_of_it() -> None:
    assert health_line([OK], 80).plain == "health: OK"
    assert health_line([OK, WORSE, BAD], 80).plain == "health: CRITICAL (and 1 more) agents: none is alive"
    assert health_line([WORSE], 20).plain == "health: WARNING log…"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.integers(0, 100))
def test_lines_are_shared_out(wanted: list[int], available: int) -> None:
    shares = share_lines(wanted, available)
    assert sum(shares) == min(sum(wanted), available)
    assert all(share <= want for share, want in zip(shares, wanted, strict=True))
    hungry = [share for share, want in zip(shares, wanted, strict=True) if share < want]
    assert not hungry or max(shares) <= min(hungry) + 1 or max(hungry) - min(hungry) <= 1


JOB = {
    "job": 7,
    "name": "nightly vacuum",
    "schedule": "at 02:30 on weekdays, Europe/Berlin",
    "next_run": NOW,
    "running_since": None,
    "enabled": True,
    "last_run": NOW,
    "last_status": "failed",
    "last_duration": SECOND,
}


@pytest.mark.parametrize(("width", "has_last_run"), [(60, False), (80, False), (120, True)])
def test_the_list_of_jobs_fits(width: int, *, has_last_run: bool) -> None:
    rows = jobs_rows([{**JOB, "name": "n" * 200, "schedule": "word " * 100}, JOB], NOW)
    drawn = draw(make_table(jobs_columns(NOW, width), rows), width)
    assert max(len(text) for text in drawn) <= width
    assert ("last run" in drawn[0]) == has_last_run
    assert any("failed" in text for text in drawn)


@pytest.mark.parametrize("width", [60, 72, 80, 96, 110])
def test_the_schedules_of_the_list_are_readable_or_left_out(width: int) -> None:
    rows = jobs_rows([{**JOB, "name": "n" * 200, "schedule": "word " * 40, "next_run": NOW + 86400 * SECOND}], NOW)
    drawn = draw(make_table(jobs_columns(NOW, width), rows), width)
    assert max(text.count("word") for text in drawn) >= (3 if width >= 72 else 0)
    assert len(drawn) < 20


def test_a_job_that_runs_or_never_will_is_shown_so() -> None:
    rows = [
        {**JOB, "running_since": NOW - 5 * SECOND},
        {**JOB, "enabled": False, "next_run": None},
        {**JOB, "next_run": None},
    ]
    running, disabled, idle = jobs_rows(rows, NOW)
    assert (running["status"], running["duration"]) == ("running", 5 * SECOND)
    assert (disabled["next"], disabled["duration"]) == ("disabled", SECOND)
    assert idle["next"] is None


def test_a_long_reason_takes_no_room_from_the_rest() -> None:
    one = glance(0, 1)
    rows = [{**one.ended[0], "reason": "word " * 100}]
    drawn = "\n".join(draw(top_screen(replace(one, ended=rows), 80, 24)))
    for word in ("status", "started", "took", "failed", "12:30:00", "1.0 s", "reason"):
        assert word in drawn
