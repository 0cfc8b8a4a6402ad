"""What the shell offers when it completes the name of a job."""

from __future__ import annotations

import re

import click
import psycopg
from click.shell_completion import CompletionItem

from pgagent_cli.connection import Target, connect, read_target
from pgagent_cli.outcome import Failure

_JOBS = "select jobid, jobname from pgagent.pga_job order by jobname limit 1000"
_WORD = re.compile(r"[\w.:@%+,/-]+", re.ASCII)
_CONNECT_TIMEOUT_SECONDS = 2


def suggest_jobs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Names of jobs that begin so; for a name that a shell would take apart, its id. Nothing without a connection."""
    try:
        with connect(_target(ctx)) as connection:
            rows = connection.execute(_JOBS).fetchall()
    except (Failure, psycopg.Error):
        return []
    items = (_item(str(row["jobid"]), str(row["jobname"])) for row in rows)
    return [item for item in items if item.value.startswith(incomplete) or (item.help or "").startswith(incomplete)]


def _item(jobid: str, name: str) -> CompletionItem:
    is_word = _WORD.fullmatch(name) and not name.isdigit()
    return CompletionItem(name, help=jobid) if is_word else CompletionItem(jobid, help=name)


def _target(ctx: click.Context) -> Target:
    given = ctx.find_root().params
    target = read_target(given.get("dbname"), given.get("host"), given.get("port"), given.get("username"), False)
    return Target({"connect_timeout": str(_CONNECT_TIMEOUT_SECONDS), **target.settings}, ask_password=False)
