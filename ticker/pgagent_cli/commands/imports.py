"""`import crontab` and `import pg_cron`: jobs of other schedulers as a jobs document, or straight into the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg
from rich.text import Text

from pgagent_cli import crontab, pg_cron
from pgagent_cli.app import App
from pgagent_cli.changes import show_changes, summarise
from pgagent_cli.connection import Connection, connect, read_target
from pgagent_cli.conversion import Conversion, Document, Finding, Owners
from pgagent_cli.files import write_document
from pgagent_cli.outcome import Exit, Failure
from pgagent_cli.render import is_utf8, plain
from pgagent_cli.texts import read_text

F = TypeVar("F", bound=Callable[..., Any])

_STYLES = {"left out": "bold red", "differs": "yellow", "note": "cyan"}
_APPLY = "select action, object, job, name, attribute, was, becomes from pgagent.apply_jobs(%(document)s::jsonb)"
_STARTED = "select pg_postmaster_start_time() as started, current_setting('port') as port"


@click.group("import", no_args_is_help=False)
def import_jobs() -> None:
    """Bring jobs over from cron or pg_cron.

    Without --apply nothing is changed: the jobs are printed as YAML, which `pgagent-py apply` reads, and on the
    standard error what has no counterpart or means something else. What came over wrong can be mended in the file.
    """


def _options_of_import(command: F) -> F:
    """The options that both kinds of import have."""
    for option in reversed([
        click.option("--prefix", default="", metavar="TEXT", help="Put TEXT before the names of the jobs."),
        click.option(
            "--owner",
            "owners",
            multiple=True,
            metavar="[USER=]ROLE",
            help="Role that shall own the jobs, or those of USER; may be given several times.",
        ),
        click.option("--apply", "is_applied", is_flag=True, help="Make the jobs in the database."),
        click.option(
            "--replace", is_flag=True, help="With --apply: also change jobs that have these names already."
        ),
    ]):  # fmt: skip
        command = option(command)
    return command


@import_jobs.command("crontab")
@click.argument("file")
@click.option(
    "--system-crontab/--user-crontab",
    "has_users",
    default=None,
    help="Whether lines name a user after the time. Default: those of /etc/crontab and /etc/cron.d do.",
)
@click.option("--timezone", metavar="ZONE", help="Time zone of the times. Default: the schedules name none.")
@_options_of_import
@click.pass_obj
def import_crontab(
    app: App,
    file: str,
    has_users: bool | None,
    timezone: str | None,
    prefix: str,
    owners: Sequence[str],
    is_applied: bool,
    replace: bool,
) -> int:
    """Bring the jobs of a crontab over: FILE, or - for standard input.

    Each line becomes a job with a batch step, which does what cron does: it sets the variables, goes to the home
    directory, and passes on what stands after a "%". A comment above one line names its job; above several lines,
    without an empty one between them, it describes their jobs. Jobs without --owner are owned by whoever applies them.

    \b
      crontab -l | pgagent-py import crontab - > jobs.yaml
      pgagent-py import crontab /etc/cron.d/backup --owner postgres --apply
    """
    options = crontab.Options(
        has_users=names_users(file) if has_users is None else has_users,
        prefix=prefix,
        owners=_read_owners(owners),
        timezone=timezone,
    )
    return _hand_over(app, crontab.convert(read_text(file), options), is_applied, replace)


@import_jobs.command("pg_cron")
@click.option("--from", "source", metavar="CONNINFO", help="Database of pg_cron. Default: the one of pgagent_py.")
@_options_of_import
@click.pass_obj
def import_pg_cron(
    app: App, source: str | None, prefix: str, owners: Sequence[str], is_applied: bool, replace: bool
) -> int:
    """Bring the jobs of pg_cron over, those that your role sees in its table cron.job.

    Each becomes a job with an SQL step in its database, owned by its user (or whom --owner names). CONNINFO is the
    name of a database, a connection string or a URI; it must be a database of the server where pgagent_py is.

    \b
      pgagent-py -d postgres import pg_cron
      pgagent-py -d jobs import pg_cron --from dbname=postgres --owner alice=batch --apply
    """
    server, jobs = _read_pg_cron(app, source, needs_same_server=is_applied)
    converted = pg_cron.convert(server, jobs, pg_cron.Options(prefix, _read_owners(owners)))
    return _hand_over(app, converted, is_applied, replace)


def names_users(file: str) -> bool:
    """Tell whether a file is one of the system's crontabs, whose lines name a user."""
    if file == "-":
        return False
    path = Path(file).resolve()
    return path == Path("/etc/crontab") or path.parent == Path("/etc/cron.d")


def _read_owners(words: Sequence[str]) -> Owners:
    named, others = {}, None
    for word in words:
        user, sign, role = word.rpartition("=")
        if not role or (sign and not user):
            raise Failure(f'"{word}" is no owner', hint="Write ROLE or USER=ROLE.", code=Exit.USAGE)
        if sign:
            named[user] = role
        else:
            others = role
    return Owners(named, others)


def _read_pg_cron(app: App, source: str | None, needs_same_server: bool) -> tuple[pg_cron.Server, list[pg_cron.Job]]:
    if source is None:
        return _read_jobs(app.connection)
    connection = connect(read_target(source, None, None, None, app.target.ask_password))
    try:
        found = connection.execute(_STARTED).fetchall()
        if needs_same_server and app.rows(_STARTED) != found:
            raise Failure(
                "pg_cron is on another server than pgagent_py",
                hint="Without --apply the jobs are printed: mend the databases in the file, then pgagent-py apply.",
            )
        return _read_jobs(connection)
    finally:
        connection.close()


def _read_jobs(connection: Connection) -> tuple[pg_cron.Server, list[pg_cron.Job]]:
    try:
        return pg_cron.read_jobs(connection)
    except psycopg.errors.UndefinedTable:
        raise Failure("pg_cron is not in this database", hint="--from names its database, often postgres.") from None


def _hand_over(app: App, converted: Conversion, is_applied: bool, replace: bool) -> int:
    """Print the document, or apply it, after the report."""
    for finding in converted.findings:
        app.err.print(_show(finding), soft_wrap=True)
    if not is_applied:
        app.out.file.write(write_document(converted.document, ascii_only=not is_utf8(app.out)))
        return Exit.OK
    return _apply(app, converted.document, replace)


def _show(finding: Finding) -> Text:
    place = f"{finding.place}: " if finding.place else ""
    text = Text.assemble((finding.kind, _STYLES[finding.kind]), f": {place}{plain(finding.text)}")
    return text.append(f"\n  {plain(finding.remedy)}") if finding.remedy else text


def _apply(app: App, document: Document, replace: bool) -> int:
    """Make the jobs; unless ``replace``, not if that would change one that is there."""
    given: dict[str, object] = {"document": json.dumps(document)}
    with app.connection.transaction():
        changes = app.rows(_APPLY, given)
        made = {row["job"] for row in changes if row["object"] == "job" and row["action"] == "create"}
        changed = sorted({row["job"] for row in changes} - made)
        if changed and not replace:
            raise Failure(
                "jobs of these names exist already, and differ",
                detail=", ".join(changed),
                hint="--prefix gives other names; --replace makes them equal to the imported ones.",
            )
    for line in show_changes(changes):
        app.out.print(line, soft_wrap=True)
    app.err.print(f"done: {summarise(changes)}")
    return Exit.OK
