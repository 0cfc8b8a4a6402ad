"""`ticker`: becomes the program pgagent-ticker."""

from __future__ import annotations

import os
import sys

import click
from psycopg import pq

from pgagent_cli.app import App
from pgagent_cli.outcome import Failure

# As -m does it, but without the directory in which we are: somebody else may have put modules there.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "import runpy; runpy.run_module('pgagent_ticker', run_name='__main__', alter_sys=True)"
)
_UNKNOWN_TO_US = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


@click.command(context_settings=_UNKNOWN_TO_US, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ticker(app: App, arguments: tuple[str, ...]) -> None:
    """Become a ticker: wake the engine, run batch steps.

    The arguments are those of pgagent-ticker; `pgagent-py ticker --help` lists them. What -h, -p, -U and -d before the
    command say is handed on in the environment.

    \b
      pgagent-py -d postgres ticker -l 1
    """
    os.environ |= environment(app.target.settings)
    os.execv(sys.executable, [sys.executable, "-c", _START, *arguments])  # noqa: S606


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Settings of a connection as the environment variables that libpq has for them; `Failure` if it has none."""
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    unknown = [key for key in settings if not variables.get(key)]
    if unknown:
        raise Failure(f"cannot hand {unknown[0]} on to the ticker", hint="Give it a connection string as an argument.")
    return {str((variables[key] or b"").decode()): value for key, value in settings.items()}
