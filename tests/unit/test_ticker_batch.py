from __future__ import annotations

from pgagent_ticker.batch_loop import MOST_FULL_ATTEMPTS, Report
from pgagent_ticker.scripts import BatchStep, Outcome

STEP = BatchStep(7, 8, 9, "job", 10, "step", "", 1000)


def test_an_outcome_is_reported_as_it_is() -> None:
    assert Report(STEP, Outcome(3, "café €\n")).values() == (7, 3, "café €\n", "false")
    assert Report(STEP, Outcome(143, "", aborted=True)).values() == (7, 143, "", "true")


def test_a_database_that_lacks_a_character_gets_escapes() -> None:
    report = Report(STEP, Outcome(0, "café €\n"))
    report.plain = True
    assert report.values() == (7, 0, "caf\\xe9 \\u20ac\n", "false")


def test_an_output_that_is_refused_again_and_again_is_cut() -> None:
    report = Report(STEP, Outcome(1, "x" * 100_000 + "é the end"), failures=MOST_FULL_ATTEMPTS)
    output = report.values()[2]
    assert output.endswith("\\xe9 the end")
    assert len(output) < 2100
