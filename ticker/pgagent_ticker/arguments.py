"""The command line: pgAgent's flags, long forms of them, and the ticker's own."""

from __future__ import annotations

import argparse
import math
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pgagent_ticker import __version__
from pgagent_ticker.account import Account, UnknownAccount, find_account
from pgagent_ticker.rules import Rules, Variable

SHORTEST_RECONNECT_SECONDS = 10.0  # pgAgent's lower bound of -r
MOST_BATCH_PARALLEL = 256  # three file descriptors a script: stays below the usual limit of 1024

EPILOG = """\
CONNINFO is a libpq connection string (host=... dbname=...) or URI; several words are joined by spaces.
The PG* variables, .pgpass and pg_service.conf apply. Give no password here: every user of this host can
read command lines. Put it into ~/.pgpass, a file that PGPASSFILE or passfile=... names, or a service
file (PGSERVICE, service=...), readable for the ticker's user only; or use peer authentication.
Scripts get PATH, LANG, LC_*, TZ and TMPDIR of the ticker, HOME, USER, LOGNAME and SHELL of the user they
run as, PGAGENT_JOBID, PGAGENT_JOBNAME, PGAGENT_STEPID, PGAGENT_RUNID, PGAGENT_DUE, and what --environment adds.
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
    rules: Rules


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
        rules=Rules(found.run_as, tuple(found.program_directory), tuple(found.environment)),
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
    _add_script_flags(parser)
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


def _add_script_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("batch steps").add_argument
    add("--no-batch", dest="batch", action="store_false", help="run no batch steps here")
    add(
        "--run-as",
        type=_account,
        metavar="USER",
        help="user (name or number) as whom scripts run, with that user's groups; only root can do that",
    )
    add(
        "--program-directory",
        type=_directory,
        action="append",
        default=[],
        metavar="DIR",
        help="run no scripts, only programs in DIR: the step is one command line, not read by a shell; "
        "may be given several times",
    )
    add(
        "--environment",
        type=_variable,
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="another variable for scripts, without VALUE the ticker's own; may be given several times",
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


def _account(word: str) -> Account:
    if os.geteuid() != 0:
        raise argparse.ArgumentTypeError("the ticker does not run as root: it cannot run scripts as another user")
    try:
        return find_account(word)
    except UnknownAccount as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _directory(word: str) -> str:
    if not os.path.isabs(word):  # noqa: PTH117
        raise argparse.ArgumentTypeError(f'"{word}" is not an absolute path')
    if not os.path.isdir(word):  # noqa: PTH112
        raise argparse.ArgumentTypeError(f'"{word}" is not a directory')
    return word


def _variable(word: str) -> Variable:
    name, separator, value = word.partition("=")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        raise argparse.ArgumentTypeError(f'"{name}" is not the name of an environment variable')
    if name == "PGPASSWORD":
        raise argparse.ArgumentTypeError(
            "scripts get no password in their environment: put it into a .pgpass of theirs"
        )
    return Variable(name.encode(), os.fsencode(value) if separator else None)
