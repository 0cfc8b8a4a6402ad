from __future__ import annotations

import json

import pytest

from pgagent_py.encoding import UTF8
from pgagent_py.ledger import (
    BEGIN_STEPS,
    CLAIM,
    CLOSE_RUNS,
    CLOSE_STEPS,
    PARK,
    RELEASE,
    WRITE_OUTPUT,
    Entry,
    Row,
    Statement,
)
from pgagent_py.outbox import RETRY_SECONDS, Ended, Outbox
from pgagent_py.run import Run, Step

UNTRANSLATABLE = "22P05"
LOCKED = "55P03"
DISK_FULL = "53100"
SEQUENCE_FULL = "2200H"

BATCH = Step(5, "größer", "b", b"echo", "", "", "f")
RUN = Run(
    7, 3, "job", "host", "2031-01-01 00:00:00+00", "2030-12-31 00:00:00+00", "alice", is_superuser=False, steps=(BATCH,)
)
SUCCESS = Ended("s", 1, 100.0)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(4711, UTF8)


def rows_of(entries: list[Entry], statement: Statement) -> list[Row]:
    """Return the rows submitted for a statement."""
    return [row for entry in entries if entry.statement is statement for row in entry.rows]


def answer(entries: list[Entry], statement: Statement, *rows: Row) -> None:
    """Let a statement answer with some rows."""
    (entry,) = [entry for entry in entries if entry.statement is statement]
    entry.answers.extend(rows)


def refuse(entries: list[Entry], statement: Statement, sqlstate: str, message: str = "no") -> None:
    """Let a statement fail for all its rows."""
    (entry,) = [entry for entry in entries if entry.statement is statement]
    entry.failures.extend((row, sqlstate, message) for row in entry.rows)


def test_nothing_pending(outbox: Outbox) -> None:
    assert not outbox
    assert outbox.wait_seconds(100.0) is None
    assert outbox.entries(100.0) == []
    assert outbox.open_runs() == set()


def test_end_of_a_step_and_its_run(outbox: Outbox) -> None:
    outbox.end_step(11, Ended("f", -1, 100.0), "ERROR:  größer")
    outbox.end_run(RUN, Ended("f", None, 100.25, "Schlüssel fehlt"))
    assert outbox
    assert outbox.open_runs() == {7}
    assert outbox.wait_seconds(101.0) == 0.0
    entries = outbox.entries(101.0)
    assert [entry.statement for entry in entries] == [CLOSE_STEPS, WRITE_OUTPUT, CLOSE_RUNS, RELEASE]
    assert rows_of(entries, CLOSE_STEPS) == [(b"11", b"f", b"-1", b"1.000000")]
    assert rows_of(entries, WRITE_OUTPUT) == [(b"11", "ERROR:  größer".encode())]
    assert rows_of(entries, CLOSE_RUNS) == [(b"7", b"f", b"0.750000", "Schlüssel fehlt".encode())]
    assert rows_of(entries, RELEASE) == [(b"3", b"7", b"4711")]
    settled = outbox.settle(entries)
    assert (settled.begun, settled.parked, settled.refused, settled.complaints) == ({}, {}, {}, [])
    assert not outbox
    assert outbox.entries(200.0) == []


def test_step_without_output_or_result(outbox: Outbox) -> None:
    outbox.end_step(11, Ended("d", None, 100.0), "")
    entries = outbox.entries(100.0)
    assert [entry.statement for entry in entries] == [CLOSE_STEPS]
    answer(entries, CLOSE_STEPS, (b"11",))
    outbox.settle(entries)
    assert rows_of(outbox.entries(100.0 + RETRY_SECONDS), CLOSE_STEPS) == [(b"11", b"d", None, b"0.100000")]


def test_run_ends_whatever_becomes_of_its_reason(outbox: Outbox) -> None:
    outbox.end_run(RUN, Ended("f", None, 100.0, "größer"))
    reasons = []
    for attempt in range(3):
        (entry,) = [each for each in outbox.entries(101.0 + attempt) if each.statement is CLOSE_RUNS]
        reasons.append(entry.rows[0][3])
        entry.failures.append((entry.rows[0], UNTRANSLATABLE, "refused"))
        outbox.settle([entry])
    assert reasons == ["größer".encode(), rb"gr\xf6\xdfer", None]


def test_reason_waits_while_the_disk_is_full(outbox: Outbox) -> None:
    outbox.end_run(RUN, Ended("f", None, 100.0, "größer"))
    for attempt in range(2):
        (entry,) = [each for each in outbox.entries(101.0 + attempt) if each.statement is CLOSE_RUNS]
        assert entry.rows[0][3] == "größer".encode()
        entry.failures.append((entry.rows[0], DISK_FULL, "full"))
        outbox.settle([entry])


def test_age_is_never_negative(outbox: Outbox) -> None:
    outbox.end_step(11, SUCCESS, "")
    assert rows_of(outbox.entries(99.0), CLOSE_STEPS) == [(b"11", b"s", b"1", b"0.000000")]


def test_many_ends_are_written_by_one_statement(outbox: Outbox) -> None:
    for jslid in range(50):
        outbox.end_step(jslid, SUCCESS, "")
    (entry,) = outbox.entries(100.0)
    assert len(entry.rows) == 50


def test_steps_are_closed_before_runs_before_jobs_are_released_before_steps_begin(outbox: Outbox) -> None:
    outbox.park(RUN)
    outbox.begin_step(8, 6)
    outbox.end_run(Run(9, 4, "other", "", "now", "now", "alice", is_superuser=False, steps=()), SUCCESS)
    outbox.end_step(11, SUCCESS, "output")
    statements = [entry.statement for entry in outbox.entries(100.0)]
    assert statements == [CLOSE_STEPS, WRITE_OUTPUT, CLOSE_RUNS, RELEASE, BEGIN_STEPS, PARK]


def test_what_is_submitted_is_not_submitted_again_at_once(outbox: Outbox) -> None:
    outbox.end_step(11, SUCCESS, "")
    assert outbox.entries(100.0)
    assert outbox.wait_seconds(100.0) == pytest.approx(RETRY_SECONDS)
    assert outbox.entries(100.0 + RETRY_SECONDS / 2) == []


def test_what_was_lost_with_the_connection_is_submitted_again(outbox: Outbox) -> None:
    outbox.end_step(11, SUCCESS, "output")
    outbox.begin_step(8, 6)
    first = outbox.entries(100.0)
    outbox.refresh()
    again = outbox.entries(100.0)
    assert [entry.statement for entry in again] == [entry.statement for entry in first]


def test_what_is_on_its_way_is_not_submitted_twice(outbox: Outbox) -> None:
    outbox.end_step(11, SUCCESS, "output")
    outbox.end_run(RUN, SUCCESS)
    outbox.begin_step(8, 6)
    assert outbox.waiting_runs() == 2
    first = outbox.entries(100.0)
    assert outbox.waiting_runs() == 0
    assert outbox.entries(100.0 + 2 * RETRY_SECONDS) == []
    outbox.end_step(12, SUCCESS, "")
    outbox.begin_step(9, 6)
    assert outbox.waiting_runs() == 1
    second = outbox.entries(100.0)
    assert (rows_of(second, CLOSE_STEPS)[0][0], rows_of(second, BEGIN_STEPS)) == (b"12", [(b"9", b"6")])
    answer(first, BEGIN_STEPS, (b"8", b"21"))
    answer(first, CLOSE_RUNS, (b"7",))
    outbox.settle(first)
    assert outbox.waiting_runs() == 1
    assert rows_of(outbox.entries(100.0 + 2 * RETRY_SECONDS), CLOSE_RUNS)[0][0] == b"7"
    outbox.settle(second)
    assert outbox.open_runs() == {7}


def test_something_new_is_submitted_without_waiting_for_the_retry(outbox: Outbox) -> None:
    outbox.end_step(11, SUCCESS, "")
    entries = outbox.entries(100.0)
    answer(entries, CLOSE_STEPS, (b"11",))
    outbox.settle(entries)
    outbox.end_step(12, SUCCESS, "")
    assert outbox.wait_seconds(100.01) == 0.0
    assert [row[0] for row in rows_of(outbox.entries(100.01), CLOSE_STEPS)] == [b"11", b"12"]


@pytest.mark.parametrize("statement", [CLOSE_STEPS, CLOSE_RUNS, RELEASE])
def test_locked_rows_stay_and_the_others_go(outbox: Outbox, statement: Statement) -> None:
    other = Run(8, 4, "other", "", "now", "now", "alice", is_superuser=False, steps=())
    for jslid, run in ((11, RUN), (12, other)):
        outbox.end_step(jslid, SUCCESS, "")
        outbox.end_run(run, SUCCESS)
    entries = outbox.entries(100.0)
    locked = {CLOSE_STEPS: b"12", CLOSE_RUNS: b"8", RELEASE: b"4"}[statement]
    answer(entries, statement, (locked,))
    outbox.settle(entries)
    assert outbox
    again = outbox.entries(100.0 + RETRY_SECONDS)
    assert [(entry.statement, [row[0] for row in entry.rows]) for entry in again] == [(statement, [locked])]


def test_refused_end_stays_and_is_complained_of(outbox: Outbox) -> None:
    outbox.end_run(RUN, SUCCESS)
    entries = outbox.entries(100.0)
    refuse(entries, CLOSE_RUNS, DISK_FULL, "disk full")
    refuse(entries, RELEASE, DISK_FULL, "disk full")
    settled = outbox.settle(entries)
    assert settled.complaints == [(DISK_FULL, "disk full")] * 2
    assert outbox.open_runs() == {7}
    assert len(outbox.entries(100.0 + RETRY_SECONDS)) == 2


def test_output_that_is_refused_is_written_in_ascii_and_then_given_up(outbox: Outbox) -> None:
    outbox.end_step(11, SUCCESS, "5 €")
    entries = outbox.entries(100.0)
    refuse(entries, WRITE_OUTPUT, UNTRANSLATABLE)
    outbox.settle(entries)
    entries = outbox.entries(101.0)
    assert [entry.statement for entry in entries] == [WRITE_OUTPUT]
    assert rows_of(entries, WRITE_OUTPUT) == [(b"11", b"5 \\u20ac")]
    refuse(entries, WRITE_OUTPUT, UNTRANSLATABLE)
    outbox.settle(entries)
    assert not outbox


@pytest.mark.parametrize("sqlstate", [LOCKED, DISK_FULL, "40001", "57014", "08006"])
def test_output_refused_for_a_while_is_kept_as_it_is(outbox: Outbox, sqlstate: str) -> None:
    outbox.end_step(11, SUCCESS, "5 €")
    entries = outbox.entries(100.0)
    refuse(entries, WRITE_OUTPUT, sqlstate)
    outbox.settle(entries)
    assert rows_of(outbox.entries(101.0), WRITE_OUTPUT) == [(b"11", "5 €".encode())]


def test_step_that_has_begun_and_step_whose_row_is_gone(outbox: Outbox) -> None:
    outbox.begin_step(7, 5)
    outbox.begin_step(8, 6)
    outbox.begin_step(9, 6)
    entries = outbox.entries(100.0)
    assert rows_of(entries, BEGIN_STEPS) == [(b"7", b"5"), (b"8", b"6"), (b"9", b"6")]
    answer(entries, BEGIN_STEPS, (b"7", b"21"), (b"8", None))
    assert outbox.settle(entries).begun == {7: 21, 8: None}
    assert rows_of(outbox.entries(101.0), BEGIN_STEPS) == [(b"9", b"6")]


@pytest.mark.parametrize("statement", [BEGIN_STEPS, PARK])
def test_step_that_cannot_be_logged_is_refused_for_good(outbox: Outbox, statement: Statement) -> None:
    outbox.park(RUN) if statement is PARK else outbox.begin_step(7, 5)
    entries = outbox.entries(100.0)
    refuse(entries, statement, SEQUENCE_FULL, "nextval: reached maximum value")
    settled = outbox.settle(entries)
    assert settled.refused == {7: "nextval: reached maximum value"}
    assert not outbox


@pytest.mark.parametrize("statement", [BEGIN_STEPS, PARK])
def test_step_that_cannot_be_logged_now_is_tried_again(outbox: Outbox, statement: Statement) -> None:
    outbox.park(RUN) if statement is PARK else outbox.begin_step(7, 5)
    entries = outbox.entries(100.0)
    refuse(entries, statement, DISK_FULL)
    assert outbox.settle(entries).refused == {}
    assert [entry.statement for entry in outbox.entries(101.0)] == [statement]


def test_run_that_reaches_a_batch_step(outbox: Outbox) -> None:
    outbox.park(RUN)
    entries = outbox.entries(100.0)
    (row,) = rows_of(entries, PARK)
    assert row[:8] == (b"7", b"5", b"3", b"job", b"host", b"2031-01-01 00:00:00+00", b"alice", b"4711")
    (step,) = json.loads(row[8] or b"")
    assert (step["jstid"], step["name"], step["code"]) == (5, "größer", "echo")
    answer(entries, PARK, (b"7", b"31"))
    assert outbox.settle(entries).parked == {7: 31}
    assert not outbox


def test_run_that_ends_waits_for_no_step(outbox: Outbox) -> None:
    """An abort may come between."""
    outbox.begin_step(7, 5)
    outbox.end_run(RUN, Ended("d", None, 100.0))
    assert [entry.statement for entry in outbox.entries(100.0)] == [CLOSE_RUNS, RELEASE]
    outbox.park(RUN)
    outbox.end_run(RUN, Ended("d", None, 100.0))
    assert PARK not in [entry.statement for entry in outbox.entries(100.0)]


def test_answers_to_other_statements_mean_nothing_here(outbox: Outbox) -> None:
    outbox.end_run(RUN, SUCCESS)
    outbox.settle([Entry(CLAIM, [(b"7",)])])
    assert outbox.open_runs() == {7}
