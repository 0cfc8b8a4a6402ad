"""50 jobs of 10 steps, all due at once."""

from __future__ import annotations

from benchmarks import burst
from benchmarks.bench import Bench, add_jobs
from benchmarks.burst import Burst
from benchmarks.report import Aim, Figure, Result

JOBS = 50
STEPS = 10
LIMIT_SECONDS = 60


def measure(bench: Bench) -> Result:
    """Steps per second of both engines, in turns."""
    result = Result(f"{JOBS} due jobs of {STEPS} steps, 'select 1'")
    ours, theirs = _take_turns(bench)
    for one in ours:
        result.wrong += one.tally.faults(JOBS, STEPS)
    result.figures += [
        Figure("steps/s", _rates(ours), _rates(theirs), Aim(2500, True)),
        Figure("steps/s by the log", [one.tally.succeeded_steps / one.tally.seconds for one in ours]),
        Figure("jobs lost", _lost(ours), _lost(theirs)),
    ]
    result.notes += [f"pgAgent, at most {LIMIT_SECONDS} s: {one.ending}" for one in theirs]
    return result


def _take_turns(bench: Bench) -> tuple[list[Burst], list[Burst]]:
    ours, theirs = [], []
    with bench.database("steps") as conn:
        add_jobs(conn, JOBS, STEPS)
        for turn in range(bench.choose(10, 3)):
            ours.append(burst.run_ours(bench, conn)[1])
            if bench.rival and turn < bench.choose(3, 1):
                theirs.append(_run_rival(bench))
    return ours, theirs


def _run_rival(bench: Bench) -> Burst:
    with bench.database("steps_pgagent", of_rival=True) as conn:
        add_jobs(conn, JOBS, STEPS)
        return burst.run_theirs(bench, conn, LIMIT_SECONDS)


def _rates(bursts: list[Burst]) -> list[float]:
    return [one.tally.succeeded_steps / one.seconds for one in bursts if one.seconds]


def _lost(bursts: list[Burst]) -> list[float]:
    return [JOBS - one.tally.succeeded_jobs for one in bursts]
