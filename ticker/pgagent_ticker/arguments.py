"""The command line: pgAgent's flags, long forms of them, and the ticker's own."""

from __future__ import annotations

import argparse
import math
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pgagent_ticker import __version__

SHORTEST_RECONNECT_SECONDS = 10.0  # pgAgent's lower bound of -r
MOST_BATCH_PARALLEL = 256  # three file descriptors a script: stays below the usual limit of 1024

EPILOG = """\
CONNINFO is a libpq connection string (host=... dbname=...) or URI; several words are joined by spaces.
The PG* variables, .pgpass and pg_service.conf apply. Give no password here: other users can read it.
Exit status: 0 after SIGTERM or SIGINT, 1 after a failure of the ticker itself, 2 for a wrong command line.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    conninfo: str
    interval_seconds: float
    reconnect_seconds: float
    reconnect_clamped: bool
    log_file: str | None
    log_level: int
    station: str
    grace_seconds: float
    batch_parallel: int
    batch: bool


def parse_arguments(words: Sequence[str]) -> Options:
    """Read the command line; a wrong one prints a message and exits with status 2."""
    parser = _build_parser()
    found = parser.parse_intermixed_args(list(words))
    conninfo = " ".join(found.conninfo)
    if has_ambiguous_authority(conninfo):
        parser.error('the URI has more than one "@" before its path: write "@" in a password as "%40"')
    return Options(
        conninfo=conninfo,
        interval_seconds=found.poll_interval,
        reconnect_seconds=max(found.reconnect, SHORTEST_RECONNECT_SECONDS),
        reconnect_clamped=found.reconnect < SHORTEST_RECONNECT_SECONDS,
        log_file=found.log_file,
        log_level=found.log_level,
        station=found.station or socket.gethostname(),
        grace_seconds=found.grace,
        batch_parallel=found.batch_parallel,
        batch=found.batch,
    )


def has_ambiguous_authority(conninfo: str) -> bool:
    """Whether libpq would take a part of a URI's password for its host, and show it in messages."""
    match = re.match(r"postgres(?:ql)?://([^/?]*)", conninfo)
    return match is not None and match.group(1).count("@") > 1


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pgagent-ticker",
        usage="pgagent-ticker [options] [CONNINFO ...]",
        description="Wake the job scheduler pgagent_py of a PostgreSQL database when a job is due, "
        "and run its batch steps on this host.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("conninfo", nargs="*", metavar="CONNINFO", help="where to connect; default: libpq's")
    _add_pgagent_flags(parser)
    _add_own_flags(parser)
    return parser


def _add_pgagent_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-f", "--foreground", action="store_true", help="stay in the foreground: always so, kept for pgAgent")
    add(
        "-t",
        "--poll-interval",
        type=_interval,
        default=5.0,
        metavar="SECONDS",
        help="longest sleep between two looks at the database (default: 5)",
    )
    add(
        "-r",
        "--reconnect",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="longest wait between two attempts to connect (default: 30, at least 10)",
    )
    add("-s", "--log-file", metavar="FILE", help="append the log to FILE instead of standard error")
    add(
        "-l",
        "--log-level",
        type=int,
        choices=(0, 1, 2),
        default=1,
        help="0: errors, 1: warnings, connects and losses (default), 2: every event",
    )
    add("-v", "--version", action="version", version=f"pgagent-ticker {__version__}")


def _add_own_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--station",
        default="",
        metavar="NAME",
        help="name by which jobs ask for this host (jobhostagent; default: the host name)",
    )
    add(
        "--grace",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="time for scripts between SIGTERM and SIGKILL when the ticker stops (default: 10)",
    )
    add(
        "--batch-parallel",
        type=_slots,
        default=32,
        metavar="N",
        help=f"most scripts at a time, 1 to {MOST_BATCH_PARALLEL} (default: 32)",
    )
    add("--no-batch", dest="batch", action="store_false", help="run no batch steps here")


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{word}" is not a number of seconds') from None
    if not math.isfinite(seconds) or not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f'"{word}" is not between 0 and 86400 seconds')
    return seconds


def _interval(word: str) -> float:
    seconds = _seconds(word)
    if seconds < 0.1:
        raise argparse.ArgumentTypeError(f'"{word}" is too short: at least 0.1 seconds')
    return seconds


def _slots(word: str) -> int:
    if not word.isascii() or not word.isdigit() or not 1 <= int(word) <= MOST_BATCH_PARALLEL:
        raise argparse.ArgumentTypeError(f'"{word}" is not between 1 and {MOST_BATCH_PARALLEL}')
    return int(word)
