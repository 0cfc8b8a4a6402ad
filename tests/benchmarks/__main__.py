"""``python -m benchmarks [NAME ...] [--quick] [--minutes N]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import daemon, definitions, due_query, idle, latency, memory, next_run, soak, steps, throughput
from benchmarks.bench import REAL_SETTINGS, Bench, fetch_row
from benchmarks.report import Result, format_result
from benchmarks.usage import machine
from harness import Cluster

BENCHMARKS: dict[str, Callable[[Bench], Result]] = {
    "throughput": throughput.measure,
    "steps": steps.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "idle": idle.measure,
    "due_query": due_query.measure,
    "next_run": next_run.measure,
    "definitions": definitions.measure,
}
ON_REQUEST: dict[str, Callable[[Bench], Result]] = {"soak": soak.measure}
ALL = {**BENCHMARKS, **ON_REQUEST}


def main(words: Sequence[str]) -> int:
    """Measure and print; 1 if jobs of ours were lost or done twice, never because of a slow machine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure pgagent_py.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(ALL)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller tables")
    parser.add_argument("--minutes", type=float, metavar="N", help="how long the soak takes")
    options = parser.parse_args(words)
    unknown = set(options.names) - set(ALL)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    with Cluster(**REAL_SETTINGS) as cluster:
        bench = Bench(cluster, options.quick, daemon.version(), options.minutes)
        _print_circumstances(bench)
        return max([_run(name, bench) for name in options.names or BENCHMARKS])


def _run(name: str, bench: Bench) -> int:
    began = time.monotonic()
    result = ALL[name](bench)
    print(format_result(name, result))
    print(f"  ({time.monotonic() - began:.0f} s)\n", flush=True)
    return 1 if result.wrong else 0


def _print_circumstances(bench: Bench) -> None:
    names = [*REAL_SETTINGS, "shared_buffers", "synchronous_commit", "autovacuum"]
    with bench.cluster.connect() as conn:
        version = fetch_row(conn, "select current_setting('server_version')")[0]
        settings = [f"{name} {fetch_row(conn, 'select current_setting(%s)', name)[0]}" for name in names]
    rival = f"pgAgent {bench.rival}" if bench.rival else f"without pgAgent (to compare: {daemon.REMEDY})"
    print(f"machine: {machine()}")
    print(f"PostgreSQL {version}: {', '.join(settings)}; parallel_runs 16, all else as by default")
    print(f"{rival}; median (least to greatest) of the repetitions{', quick' if bench.quick else ''}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
