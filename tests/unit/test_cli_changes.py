from __future__ import annotations

import pytest

from pgagent_cli.changes import show_changes, summarise

Row = dict[str, str | None]


def row(
    action: str,
    kind: str,
    job: str | None,
    name: str | None = None,
    attribute: str | None = None,
    was: str | None = None,
    becomes: str | None = None,
) -> Row:
    return {
        "action": action,
        "object": kind,
        "job": job,
        "name": name,
        "attribute": attribute,
        "was": was,
        "becomes": becomes,
    }


ROWS = [
    row("create", "calendar", None, "holidays"),
    row("create", "holiday", None, "holidays", None, None, "2026-12-25 Christmas"),
    row("create", "job", "new", "new"),
    row("create", "step", "new", "01"),
    row("alter", "job", "old", "old", "timeout", None, "01:00:00"),
    row("alter", "step", "old", "01", "sql", "a\nb\nc\n", "a\nB\nc\n"),
    row("drop", "schedule", "old", "week\x1bly"),
    row("drop", "exception", "old", "daily", None, "2026-12-24 12:00"),
    row("drop", "job", "gone", "gone"),
]


def test_a_diff_has_a_heading_for_each_job() -> None:
    assert [line.plain for line in show_changes(ROWS)] == [
        '+ calendar "holidays"',
        "  + holiday 2026-12-25 Christmas",
        '+ job "new"',
        '  + step "01"',
        '  job "old"',
        "  ~ timeout: (none) → 01:00:00",
        '  ~ step "01" sql:',
        "        a",
        "      - b",
        "      + B",
        "        c",
        '  - schedule "week\\x1bly"',
        '  - exception 2026-12-24 12:00 of schedule "daily"',
        '- job "gone"',
    ]


def test_the_changes_of_a_job_stand_together() -> None:
    """The server tells of all jobs, then of all steps, then of all schedules."""
    kinds = ("job", "step", "schedule")
    rows = [row("create", kind, job, job if kind == "job" else "01") for kind in kinds for job in ("a", "b")]
    assert [line.plain for line in show_changes(rows)] == [
        '+ job "a"',
        '  + step "01"',
        '  + schedule "01"',
        '+ job "b"',
        '  + step "01"',
        '  + schedule "01"',
    ]


def test_a_job_and_a_calendar_of_one_name_are_two() -> None:
    rows = [row("create", "calendar", None, "a"), row("create", "job", "a", "a")]
    assert [line.plain for line in show_changes(rows)] == ['+ calendar "a"', '+ job "a"']


def test_a_diff_is_coloured() -> None:
    styles = {line.plain: str(line.style) for line in show_changes(ROWS)}
    assert styles['+ job "new"'] == "bold green"
    assert styles["      - b"] == "red"
    assert styles["      + B"] == "green"
    assert styles['- job "gone"'] == "bold red"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "nothing to change"),
        (ROWS, "1 calendar created, 1 job created, 1 job altered, 1 job dropped"),
        (ROWS[2:4], "1 job created"),
        ([row("alter", "job", name, name, "timeout") for name in ("a", "b", "a")], "2 jobs altered"),
    ],
)
def test_a_summary_counts_jobs_and_not_their_parts(rows: list[Row], words: str) -> None:
    assert summarise(rows) == words
