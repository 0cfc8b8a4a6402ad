from __future__ import annotations

import pytest

from pgagent_ticker.wakeup import FREE_CALLS, FREE_RUNNING_CALLS, Answer, Backoff, Pace, Pulse

INTERVAL_SECONDS = 5.0


def idle(due_in_seconds: float | None) -> Answer:
    return Answer(progress=False, running=False, due_in_seconds=due_in_seconds, took_seconds=0.001)


def running(took_seconds: float, progress: bool = False) -> Answer:
    return Answer(progress=progress, running=True, due_in_seconds=None, took_seconds=took_seconds)


def test_backoff_doubles_to_its_longest_wait() -> None:
    backoff = Backoff(0.2, 10.0, lambda: 1.0)
    assert [backoff.next_seconds() for _ in range(8)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    backoff.reset()
    assert backoff.next_seconds() == pytest.approx(0.2)


def test_backoff_has_jitter_down_to_a_half() -> None:
    assert Backoff(0.2, 10.0, lambda: 0.0).next_seconds() == pytest.approx(0.1)


def test_backoff_never_overflows() -> None:
    backoff = Backoff(0.2, 30.0, lambda: 1.0)
    assert max(backoff.next_seconds() for _ in range(5000)) == 30.0


@pytest.mark.parametrize(
    ("due_in_seconds", "expected"), [(None, 5.0), (100.0, 5.0), (5.0, 5.0), (1.25, 1.25), (0.0004, 0.0004)]
)
def test_sleeps_until_due_but_no_longer_than_the_interval(due_in_seconds: float, expected: float) -> None:
    assert Pace().pause_seconds(idle(due_in_seconds), INTERVAL_SECONDS) == expected


def test_a_look_just_before_the_due_time_is_left_out() -> None:
    answer = Answer(progress=False, running=False, due_in_seconds=2.05, took_seconds=0.1)
    assert Pace().pause_seconds(answer, 2.0) == 2.05
    assert Pace().pause_seconds(answer, 1.9) == 1.9


def test_an_overdue_job_that_nobody_takes_is_no_busy_loop() -> None:
    pace = Pace()
    pauses = [pace.pause_seconds(idle(-3.0), INTERVAL_SECONDS) for _ in range(8)]
    assert pauses == pytest.approx([0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_progress_means_at_once_again() -> None:
    pace = Pace()
    for _ in range(5):
        pace.pause_seconds(idle(-3.0), INTERVAL_SECONDS)
    done = Answer(progress=True, running=False, due_in_seconds=-3.0, took_seconds=0.01)
    assert pace.pause_seconds(done, INTERVAL_SECONDS) == 0.0


def test_running_steps_are_followed_without_a_pause() -> None:
    pace = Pace()
    assert [pace.pause_seconds(running(1.0), INTERVAL_SECONDS) for _ in range(100)] == [0.0] * 100


def test_running_steps_that_are_answered_too_quickly_are_no_busy_loop() -> None:
    pace = Pace()
    pauses = [pace.pause_seconds(running(0.0001), INTERVAL_SECONDS) for _ in range(20)]
    assert pauses[: FREE_RUNNING_CALLS + 1] == [0.0] * (FREE_RUNNING_CALLS + 1)
    assert pauses[-1] == 1.0
    assert pace.pause_seconds(running(0.0001, progress=True), INTERVAL_SECONDS) == 0.0


def test_the_interval_bounds_every_pause() -> None:
    pace = Pace()
    assert max(pace.pause_seconds(idle(-1.0), 0.1) for _ in range(50)) == pytest.approx(0.1)
    assert max(pace.pause_seconds(running(0.0001), 0.1) for _ in range(50)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("now_seconds", "expected"), [(100.0, 5.0), (100.001, 4.999), (104.75, 0.25), (105.0, 5.0), (1_000_002.0, 3.0)]
)
def test_pulse_beats_at_whole_intervals_from_its_beginning(now_seconds: float, expected: float) -> None:
    assert Pulse(INTERVAL_SECONDS, 100.0).left_seconds(now_seconds) == pytest.approx(expected)


def test_notifications_that_lead_to_nothing_are_slowed_down() -> None:
    pace = Pace()
    rests = [pace.rest_seconds(idle(3.0), woken=True) for _ in range(FREE_CALLS + 2)]
    assert rests == [0.0] * FREE_CALLS + [0.05, 0.05]
    assert pace.rest_seconds(idle(3.0), woken=False) == 0.0
    assert pace.rest_seconds(idle(3.0), woken=True) == 0.05, "a beat of the pulse between them is no rest from them"
    assert [pace.rest_seconds(idle(3.0), woken=False) for _ in range(2)] == [0.0, 0.0]
    assert pace.rest_seconds(idle(3.0), woken=True) == 0.0
