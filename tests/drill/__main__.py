"""``python -m drill [--seed N] [--minutes M] [--jobs N] [--agents N]``."""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Sequence

from drill.drill import run_drill
from drill.plan import Plan


def main(words: Sequence[str]) -> int:
    """Run one drill and print its report; 1 if the books are not true."""
    parser = argparse.ArgumentParser(prog="python -m drill", description="Kill, cut and starve pgagent_py at random.")
    parser.add_argument("--seed", type=int, default=None, help="which storm (default: any)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the storm lasts (default: 10)")
    parser.add_argument("--jobs", type=int, default=300, help="how many jobs (default: 300)")
    parser.add_argument("--agents", type=int, default=3, help="tickers and sessions that run jobs (default: 3)")
    options = parser.parse_args(words)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(
        f"drill: --seed {seed} --minutes {options.minutes:g} --jobs {options.jobs} --agents {options.agents}",
        flush=True,
    )
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of every session that a fault has ended
    report = run_drill(Plan(seed, options.minutes * 60, options.jobs, options.agents))
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
