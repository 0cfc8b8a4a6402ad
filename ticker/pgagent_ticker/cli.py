"""The console script `pgagent-ticker`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pgagent_ticker import descriptors
from pgagent_ticker.account import current_account
from pgagent_ticker.arguments import SHORTEST_RECONNECT_SECONDS, Options, parse_arguments
from pgagent_ticker.events import EventLog, LogFile, write_stderr
from pgagent_ticker.guardian import Guardian
from pgagent_ticker.programs import can_change
from pgagent_ticker.rules import Rules

FAILED = 1
USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ticker; returns the exit status."""
    descriptors.open_standard_ones()
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        log = _open_log(options)
    except OSError as error:
        EventLog(0).error("could not open the log file", file=options.log_file, reason=error.strerror)
        return FAILED
    # Before the imports below: what they load would make the guardian as big as the ticker.
    guardian = Guardian(options.rules.account) if options.batch else None
    return _run(options, log, guardian)


def _open_log(options: Options) -> EventLog:
    write = write_stderr if options.log_file is None else LogFile(options.log_file).write
    return EventLog(options.log_level, write)


def _run(options: Options, log: EventLog, guardian: Guardian | None) -> int:
    try:
        from pgagent_ticker.service import serve  # noqa: PLC0415
        from pgagent_ticker.target import BadConninfo, read_target  # noqa: PLC0415
    except ImportError as error:
        hint = "Install python3-psycopg, or psycopg with pip."
        log.error("cannot load psycopg 3", reason=str(error), hint=hint)
        return FAILED
    try:
        target = read_target(options.conninfo)
    except BadConninfo as error:
        log.error("cannot read the connection string", reason=str(error))
        return USAGE
    if target.password_given:
        hint = "Put it into .pgpass, or a file that PGPASSFILE or PGSERVICEFILE names."
        log.warning("a password on the command line can be seen by other users", hint=hint)
    if options.reconnect_clamped:
        log.warning("-r is too short", seconds_used=SHORTEST_RECONNECT_SECONDS)
    if options.batch:
        _warn_about_scripts(options.rules, log)
    return serve(options, target, log, guardian)


def _warn_about_scripts(rules: Rules, log: EventLog) -> None:
    if rules.account is None and os.geteuid() == 0:
        hint = "Use --run-as USER, or start the ticker as another user."
        log.warning("scripts run as root: whoever may write batch steps is root on this host", hint=hint)
    account = rules.account or current_account()
    for directory in rules.program_directories:
        if can_change(account, directory):
            hint = "Let it belong to root, and nobody else write it."
            log.warning("programs can add to their own directory", directory=directory, user=account.name, hint=hint)
