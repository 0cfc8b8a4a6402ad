"""1,000 jobs of one step, all due at once."""

from __future__ import annotations

from benchmarks import burst
from benchmarks.bench import Bench, add_jobs
from benchmarks.burst import Burst
from benchmarks.report import Aim, Figure, Result

JOBS = 1000
LIMIT_SECONDS = 120


def measure(bench: Bench) -> Result:
    """Jobs per second of both engines, in turns."""
    result = Result(f"{JOBS:,} due jobs of one step, 'select 1'")
    plain, theirs = _take_turns(bench, result)
    scheduled = _measure_scheduled(bench, result)
    result.figures += [
        Figure("jobs/s, session that ran before", _rates(plain, 1), _rival_rates(theirs), Aim(3000, True)),
        Figure("jobs/s, first call of a session", _rates(plain, 0)),
        Figure("jobs/s by the log, session that ran before", _log_rates(plain)),
        Figure("jobs/s, a schedule each", _rates(scheduled, 1)),
        Figure("jobs lost", [_lost(second) for _, second in plain], [_lost(one) for one in theirs]),
        Figure("runs too many", [_surplus(second) for _, second in plain], [_surplus(one) for one in theirs]),
    ]
    result.notes.append(f"calls of run_due for a burst: {max(second.calls for _, second in plain)}")
    result.notes += [f"pgAgent, at most {LIMIT_SECONDS} s: {one.ending}" for one in theirs]
    return result


def _take_turns(bench: Bench, result: Result) -> tuple[list[tuple[Burst, Burst]], list[Burst]]:
    ours, theirs = [], []
    with bench.database("throughput") as conn:
        add_jobs(conn, JOBS)
        for turn in range(bench.choose(10, 3)):
            ours.append(burst.run_ours(bench, conn))
            if bench.rival and turn < bench.choose(2, 1):
                theirs.append(_run_rival(bench))
    for pair in ours:
        result.wrong += [fault for one in pair for fault in one.tally.faults(JOBS, 1)]
    return ours, theirs


def _run_rival(bench: Bench) -> Burst:
    with bench.database("throughput_pgagent", of_rival=True) as conn:
        add_jobs(conn, JOBS)
        return burst.run_theirs(bench, conn, LIMIT_SECONDS)


def _measure_scheduled(bench: Bench, result: Result) -> list[tuple[Burst, Burst]]:
    with bench.database("throughput") as conn:
        add_jobs(conn, JOBS, scheduled=True)
        ours = [burst.run_ours(bench, conn) for _ in range(bench.choose(10, 3))]
    for pair in ours:
        result.wrong += [fault for one in pair for fault in one.tally.faults(JOBS, 1)]
    return ours


def _rates(pairs: list[tuple[Burst, Burst]], which: int) -> list[float]:
    return [JOBS / pair[which].seconds for pair in pairs]


def _rival_rates(bursts: list[Burst]) -> list[float]:
    return [one.tally.succeeded_jobs / one.seconds for one in bursts if one.seconds]


def _log_rates(pairs: list[tuple[Burst, Burst]]) -> list[float]:
    return [JOBS / second.tally.seconds for _, second in pairs if second.tally.seconds]


def _lost(one: Burst) -> float:
    return JOBS - one.tally.succeeded_jobs


def _surplus(one: Burst) -> float:
    return one.tally.succeeded_runs - one.tally.succeeded_jobs
