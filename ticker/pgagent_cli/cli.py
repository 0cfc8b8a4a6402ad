"""The console script `pgagent-py`: global options, the list of commands, exit codes."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
import psycopg

from pgagent_cli import __version__
from pgagent_cli.app import App
from pgagent_cli.connection import read_target
from pgagent_cli.outcome import Exit, Failure, to_failure
from pgagent_cli.render import new_console, print_failure

# Command: module of pgagent_cli.commands and the click command in it. In the order of the help.
COMMANDS = {
    "jobs": "jobs:jobs",
    "show": "jobs:show",
    "runs": "runs:runs",
    "log": "runs:log",
    "run": "run:run",
    "cancel": "run:cancel",
    "create": "change:create",
    "enable": "change:enable",
    "disable": "change:disable",
    "drop": "change:drop",
    "next": "next:next_runs",
    "history": "history:history",
    "top": "top:top",
    "export": "files:export",
    "diff": "files:diff",
    "apply": "files:apply",
    "import": "imports:import_jobs",
    "check": "health:check",
    "health": "health:health",
    "ticker": "ticker:ticker",
    "completion": "completion:completion",
}

_HELP = """
Jobs of pgagent_py, the job scheduler in PostgreSQL: see, run, change them, keep them in files.

JOB is the name of a job or its id. Options that say where to connect stand before the command and mean what they
mean to psql; so do the PG* environment variables, the service file and .pgpass. Times are shown in the time zone of the
session (PGTZ sets it).

\b
  pgagent-py -d postgres jobs
  pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
  pgagent-py run 'nightly vacuum'

Where output goes to a file or another program it has no colours and is not cut; NO_COLOR takes the colours from the
terminal, too.

\b
Exit codes:
    0  done
    1  failed, or the run has failed
    2  wrong usage
    3  the run was aborted
    4  the run had not ended when the time was over
    5  no connection to the database, or it was lost
    6  check, health or diff has found something
  130  interrupted with Ctrl-C
"""


class Commands(click.Group):
    """The commands, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """A command by its name; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"pgagent_cli.commands.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; a similar word is told of."""
        similar = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if similar and args[0] not in COMMANDS:
            ctx.fail(f"No such command {args[0]!r}, do you mean {similar[0]!r}?")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands, help=_HELP, context_settings={"help_option_names": ["--help", "-?"], "max_content_width": 100}
)
@click.option(
    "-d", "--dbname", metavar="NAME", help="Database, connection string or URI. Default: as libpq, PGDATABASE."
)
@click.option("-h", "--host", metavar="HOST", help="Host of the server, or directory of its socket. Default: PGHOST.")
@click.option("-p", "--port", metavar="PORT", help="Port of the server. Default: PGPORT, 5432.")
@click.option("-U", "--username", metavar="NAME", help="Role to log in as. Default: PGUSER, your name.")
@click.option("-w", "--no-password", "never_ask", is_flag=True, help="Never ask for a password.")
@click.option("-W", "--password", "ask", is_flag=True, help="Ask for a password at once.")
@click.version_option(__version__, "-V", "--version", prog_name="pgagent-py", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    dbname: str | None,
    host: str | None,
    port: str | None,
    username: str | None,
    never_ask: bool,
    ask: bool,
) -> None:
    """Take the global options; the commands do the rest."""
    if ask and never_ask:
        raise click.UsageError("-w and -W cannot be used together")
    target = read_target(dbname, host, port, username, True if ask else False if never_ask else None)
    app = App(target, new_console(), new_console(stderr=True))
    ctx.obj = app
    ctx.call_on_close(app.close)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    try:
        code = _exit_code(cli.main(given or ["--help"], prog_name="pgagent-py", standalone_mode=False))
        sys.stdout.flush()
    except (click.ClickException, Failure, psycopg.Error, UnicodeError) as error:
        return _tell(error)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except OSError as error:
        return _give_up_output(error)
    return code


def _prepare_streams() -> None:
    """Have all three: a file or socket of ours must not become the standard output that somebody has closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _give_up_output(error: OSError) -> int:
    """Nothing more may be written, at the interpreter's end either. Whoever closed a pipe has had enough."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        os.dup2(nothing, sys.stderr.fileno())
        return Exit.FAILED
    return _tell(Failure("cannot write the output", detail=error.strerror or str(error)))


def _tell(error: click.ClickException | Failure | psycopg.Error | UnicodeError) -> int:
    if isinstance(error, click.ClickException):
        failure = _usage_failure(error)
    elif isinstance(error, psycopg.Error):
        failure = to_failure(error)
    elif isinstance(error, UnicodeError):
        failure = Failure("a text is no UTF-8", detail=str(error))
    else:
        failure = error
    print_failure(new_console(stderr=True), failure.message, failure.detail, failure.hint)
    return failure.code


def _exit_code(answer: Any) -> int:
    return int(answer) if isinstance(answer, int) else Exit.OK


def _usage_failure(error: click.ClickException) -> Failure:
    hint = None
    if isinstance(error, click.NoSuchOption) and error.option_name in ("-d", "-h", "-p", "-U", "-w", "-W"):
        command = error.ctx.info_name if error.ctx else "COMMAND"
        hint = f"{error.option_name} stands before the command: pgagent-py {error.option_name} ... {command}"
    elif isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"{error.ctx.command_path} --help says more."
    return Failure(error.format_message(), hint=hint, code=Exit.USAGE)
