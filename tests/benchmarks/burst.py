"""Many jobs due at once: by run_due of one session, and by pgAgent's daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import TupleRow

from benchmarks.bench import Bench, Tally, count_undone, make_all_due, tally, tidy_up
from benchmarks.daemon import Daemon

STALL_SECONDS = 30.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Burst:
    """One repetition: seconds by the caller's clock, what the logs say, calls of run_due or how it ended."""

    seconds: float
    tally: Tally
    calls: int = 0
    ending: str = ""


def run_ours(bench: Bench, conn: Connection[TupleRow]) -> tuple[Burst, Burst]:
    """Run all jobs twice in a new session: the first time it loads the engine and opens its connections."""
    with bench.cluster.connect(conn.info.dbname) as session:
        first, second = (_call_run_due(conn, session) for _ in range(2))
    return first, second


def run_theirs(bench: Bench, conn: Connection[TupleRow], limit_seconds: float) -> Burst:
    """Let the daemon run all jobs until they are done, it has ended, nothing moves, or time is up."""
    tidy_up(conn)
    with Daemon(bench.cluster.conninfo(conn.info.dbname), conn) as daemon:
        make_all_due(conn)
        began = moved = time.monotonic()
        undone, ending = count_undone(conn), ""
        for now in _moments():
            left = count_undone(conn)
            if left != undone:
                undone, moved = left, now
            ending = _ending(daemon, left, now - moved, limit_seconds - (now - began))
            if ending:
                break
        return Burst(moved - began, tally(conn), ending=ending)


def _call_run_due(conn: Connection[TupleRow], session: Connection[TupleRow]) -> Burst:
    tidy_up(conn)
    make_all_due(conn)
    calls = 0
    began = time.monotonic()
    while calls == 0 or count_undone(session):
        # Counted in the server: what this process needs to read the rows is not the engine's time.
        session.execute("select count(*) from pgagent.run_due('1 min')")
        calls += 1
    return Burst(time.monotonic() - began, tally(conn), calls)


def _moments() -> Iterator[float]:
    while True:
        time.sleep(_POLL_SECONDS)
        yield time.monotonic()


def _ending(daemon: Daemon, undone: int, still_seconds: float, left_seconds: float) -> str:
    if not undone:
        return "done"
    if daemon.has_ended:
        return "the daemon ended by itself"
    if still_seconds > STALL_SECONDS:
        return f"{undone} jobs stayed claimed or due"
    return "" if left_seconds > 0 else f"time was up with {undone} jobs to do"
