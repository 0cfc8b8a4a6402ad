"""What `jobs`, `history` and `top` draw. Pure: from values and a size to something that rich prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pgagent_cli.render import (
    STATUS_STYLES,
    Column,
    make_table,
    one_line,
    plain,
    show_duration,
    show_status,
    show_time,
    show_wait,
    time_shower,
)

JOBS_NOTHING = "There are no jobs; pgagent-py create makes one."
WIDE_CHARS = 110
NARROWEST_CHARS = 40

# Below so many columns the list of jobs goes without these: what is left of the line belongs to the schedule's words.
_LEAST_WIDTHS = {"last_run": WIDE_CHARS, "duration": 96, "schedule": 72}

Row = Mapping[str, Any]


def jobs_columns(now: datetime, width: int) -> list[Column]:
    """The columns of the list of jobs, fewer of them where there is little room."""
    columns = [
        Column("job", "id", str, justify="right"),
        Column("name", "name", one_line, most_chars=max(width // 4, 12)),
        Column("schedule", "schedule", one_line, may_wrap=True),
        Column("next", "next run", lambda when: when if isinstance(when, str) else show_time(when, now)),
        Column("last_run", "last run", time_shower(now)),
        Column("status", "status", show_status),
        Column("duration", "took", show_duration, justify="right"),
    ]
    left_out = {key for key, least in _LEAST_WIDTHS.items() if width < least}
    return [column for column in columns if column.key not in left_out]


def jobs_rows(rows: Sequence[Row], now: datetime) -> list[Row]:
    """The rows of the list of jobs: with their status just now, and whether they run at all."""
    return [
        {
            **row,
            "status": "running" if row["running_since"] else row["last_status"],
            "duration": now - row["running_since"] if row["running_since"] else row["last_duration"],
            "next": row["next_run"] if row["enabled"] or row["next_run"] else "disabled",
        }
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Cell:
    """A stretch of a timeline: ``busy``, 0 to 1, is how much of it runs took; ``status``: the worst of theirs."""

    busy: float
    status: str


@dataclass(frozen=True, slots=True)
class Line:
    """The day of a job. ``cells``: those in which it ran, by their number from 0."""

    job: int
    name: str
    runs: int
    failed: int
    longest: timedelta
    cells: Mapping[int, Cell]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What ran in a period, which ``count`` cells of equal length divide."""

    since: datetime
    until: datetime
    count: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters of a timeline: how busy a cell is, from little to wholly, and one with a failure."""

    busy: str
    failed: str


BLOCKS = Glyphs("▁▂▃▄▅▆▇█", "\N{MULTIPLICATION SIGN}")
ASCII = Glyphs(".:=#", "x")

_COUNTS_CHARS = 12
_LONGEST_CHARS = 11
_HOURS_BETWEEN_LABELS = (1, 2, 3, 4, 6, 12, 24, 48, 96, 168)
_CHARS_BETWEEN_LABELS = 5


def timeline_chars(width: int) -> int:
    """How many cells a timeline on a screen of this width has."""
    longest = _LONGEST_CHARS if width >= WIDE_CHARS else 0
    return max(width, NARROWEST_CHARS) - _name_chars(width) - _COUNTS_CHARS - longest - 2


def _name_chars(width: int) -> int:
    return min(max(width // 4 - 2, 8), 30)


def history_screen(timeline: Timeline, width: int, glyphs: Glyphs) -> RenderableType:
    """The timeline of a period: a line for each job, the time from left to right."""
    is_wide = width >= WIDE_CHARS
    name_chars = _name_chars(width)
    heads = f"  {'runs':>4} {'failed':>6}" + (f" {'longest':>10}" if is_wide else "")
    lines = [Text(f"{'job':<{name_chars}} {_axis(timeline)}{heads}", style="bold")]
    lines += [_history_line(line, timeline.count, name_chars, glyphs, is_wide=is_wide) for line in timeline.lines]
    period = f"{timeline.since:%b %d %H:%M} to {timeline.until:%b %d %H:%M}"
    legend = Text.assemble(f"{period}, each character {show_duration(_cell_duration(timeline))}: ")
    legend.append(glyphs.busy[0] + glyphs.busy[-1], style=STATUS_STYLES["succeeded"])
    legend.append(" how busy, ")
    legend.append(glyphs.failed, style=STATUS_STYLES["failed"])
    legend.append(" failed")
    return Group(*lines, Text(), legend)


def _cell_duration(timeline: Timeline) -> timedelta:
    return (timeline.until - timeline.since) / timeline.count


def _axis(timeline: Timeline) -> str:
    """Hours where they are on the timeline, as many as there is room for."""
    hours_per_char = _cell_duration(timeline).total_seconds() / 3600
    wanted = _CHARS_BETWEEN_LABELS * hours_per_char
    step = next((hours for hours in _HOURS_BETWEEN_LABELS if hours >= wanted), _HOURS_BETWEEN_LABELS[-1])
    axis = [" "] * timeline.count
    midnight = timeline.since.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = 0
    while midnight + timedelta(hours=hour) <= timeline.until:
        when = midnight + timedelta(hours=hour)
        position = int((when - timeline.since) / _cell_duration(timeline)) if when >= timeline.since else -1
        if 0 <= position <= timeline.count - 2:
            axis[position : position + 2] = f"{when:%H}"
        hour += step
    return "".join(axis)


def _history_line(line: Line, count: int, name_chars: int, glyphs: Glyphs, *, is_wide: bool) -> Text:
    text = Text(_fit(line.name, name_chars) + " ")
    for number in range(count):
        cell = line.cells.get(number)
        if cell is None:
            text.append(" ")
        else:
            text.append(_glyph(cell, glyphs), style=STATUS_STYLES.get(cell.status, ""))
    text.append(f"  {line.runs:>4} ")
    text.append(f"{line.failed or '':>6}", style=STATUS_STYLES["failed"] if line.failed else "")
    if is_wide:
        text.append(f" {show_duration(line.longest):>10}")
    return text


def _glyph(cell: Cell, glyphs: Glyphs) -> str:
    if cell.status in ("failed", "internal failure", "aborted"):
        return glyphs.failed
    return glyphs.busy[min(int(cell.busy * len(glyphs.busy)), len(glyphs.busy) - 1)]


def _fit(text: str, chars: int) -> str:
    """A text in exactly so many columns of the terminal."""
    fitted = Text(one_line(text))
    fitted.truncate(chars, overflow="ellipsis", pad=True)
    return fitted.plain


@dataclass(frozen=True, slots=True)
class Glance:
    """What `top` shows: how things are at one moment. ``health`` is None for who may not ask for it."""

    now: datetime
    place: str
    health: Sequence[Row] | None
    running: Sequence[Row]
    ended: Sequence[Row]
    coming: Sequence[Row]
    notice: str = ""


_FIXED_LINES = 2  # the head, and how to leave
_SECTION_LINES = 3  # an empty line, the heading, the heads of the columns


def top_screen(glance: Glance, width: int, height: int) -> RenderableType:
    """One screenful: health, what runs, what has ended, what will come. Never higher than ``height``."""
    sections = (glance.running, glance.ended, glance.coming)
    room = height - _FIXED_LINES - 1 - 3 * _SECTION_LINES
    shares = share_lines([max(len(rows), 1) for rows in sections], max(room, 3))
    makers = (_running_table, _ended_table, _coming_table)
    titles = (f"Running: {len(glance.running)}", "Ended", "Coming")
    parts: list[RenderableType] = [_head_line(glance, width), _health_line(glance, width)]
    for title, maker, rows, share in zip(titles, makers, sections, shares, strict=True):
        parts += [Text(), Text(title, style="bold underline")]
        parts.append(maker(rows[:share], glance.now, width) if rows else Text("  nothing", style="dim"))
    return Group(*parts)


def share_lines(wanted: Sequence[int], available: int) -> list[int]:
    """How many lines each gets: all get an equal share, and what one does not need the others get."""
    shares = [0] * len(wanted)
    for _ in range(min(available, sum(wanted))):
        hungry = [number for number, share in enumerate(shares) if share < wanted[number]]
        shares[min(hungry, key=lambda number: (shares[number], number))] += 1
    return shares


def _head_line(glance: Glance, width: int) -> Text:
    left = f"pgagent-py top: {one_line(glance.place)}"
    right = f"{glance.now:%Y-%m-%d %H:%M:%S}  q quits"
    return Text(_fit(left, max(width - len(right) - 1, 0)) + " " + right, style="reverse", no_wrap=True)


def _health_line(glance: Glance, width: int) -> Text:
    if glance.notice:
        return Text(_fit(glance.notice, width), style="bold red")
    if glance.health is None:
        return Text(_fit("health: only who may call pgagent.health() sees it", width), style="dim")
    return health_line(glance.health, width)


def health_line(rows: Sequence[Row], width: int) -> Text:
    """Health in one line: OK, or the worst matter and how many more there are."""
    troubles = sorted((row for row in rows if row["status"] != "OK"), key=lambda row: row["status"] != "CRITICAL")
    if not troubles:
        return Text.assemble("health: ", ("OK", STATUS_STYLES["OK"]))
    worst = troubles[0]
    more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
    line = Text.assemble("health: ", (plain(worst["status"]), STATUS_STYLES.get(worst["status"], "")), more)
    line.append(f" {one_line(worst['matter'])}: {one_line(worst['detail'])}")
    line.truncate(width, overflow="ellipsis")
    return line


def _running_table(rows: Sequence[Row], now: datetime, width: int) -> Table:  # noqa: ARG001
    columns = [
        Column("run", "run", str, justify="right"),
        Column("name", "job", one_line, most_chars=width // 3),
        Column("step_name", "step", one_line, most_chars=width // 4),
        Column("state", "state", lambda state: Text(plain(state), style=STATUS_STYLES.get(state, "yellow"))),
        Column("duration", "for", show_duration, justify="right"),
        Column("station", "agent", one_line, most_chars=width // 5),
    ]
    return _section(columns, rows)


def _ended_table(rows: Sequence[Row], now: datetime, width: int) -> Table:
    columns = [
        Column("run", "run", str, justify="right"),
        Column("name", "job", one_line, most_chars=width // 3),
        Column("status", "status", show_status),
        Column("started", "started", time_shower(now)),
        Column("duration", "took", show_duration, justify="right"),
        Column("reason", "reason", one_line, takes_rest=True),
    ]
    return _section(columns, rows)


def _coming_table(rows: Sequence[Row], now: datetime, width: int) -> Table:
    columns = [
        Column("job", "id", str, justify="right"),
        Column("name", "job", one_line, most_chars=width // 3),
        Column("run", "at", lambda when: show_time(when, now)),
        Column("wait", "in", show_wait, justify="right"),
    ]
    return _section(columns, [{**row, "wait": row["run"] - now} for row in rows])


def _section(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    table = make_table(columns, rows)
    table.box = None
    table.padding = (0, 2, 0, 0)
    return table
