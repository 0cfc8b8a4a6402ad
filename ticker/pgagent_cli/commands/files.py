"""`export`, `diff` and `apply`: jobs as files."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from psycopg import errors
from psycopg.types.json import Jsonb

from pgagent_cli.app import App, Row
from pgagent_cli.changes import show_changes, summarise
from pgagent_cli.files import Document, find_namesakes, locate_problems, read_document, write_document
from pgagent_cli.options import find_job, jobs_argument, json_option
from pgagent_cli.outcome import Exit, Failure
from pgagent_cli.render import is_utf8, plain, print_json
from pgagent_cli.texts import read_text, write_text

EXPORT = "select pgagent.export_jobs(%(jobs)s::text[])"
APPLY = """
    select action, object, job, name, attribute, was, becomes
      from pgagent.apply_jobs(%(definitions)s, dry_run => %(dry_run)s, prune => %(prune)s)
"""
JOB_NAME = "select jobname from pgagent.pga_job where jobid = %(job)s"


@click.command()
@jobs_argument
@click.option("-o", "--output", "path", metavar="FILE", help="Write to FILE. Default: standard output.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML; diff and apply read both.")
@click.pass_obj
def export(app: App, jobs: tuple[str, ...], path: str | None, as_json: bool) -> int:
    """Write jobs as YAML: all that you may see, or those named.

    What has its default value is left out. Connection strings of steps are written as they are: if they hold passwords,
    the file does.

    \b
      pgagent-py export -o jobs.yaml
      pgagent-py export 'nightly vacuum'
    """
    names = [app.value(JOB_NAME, {"job": find_job(app, job)}) for job in jobs] or None
    definitions = app.value(EXPORT, {"jobs": names})
    file = None if path == "-" else path
    ascii_only = file is None and not is_utf8(app.out)
    if as_json:
        text = json.dumps(definitions, indent=2, ensure_ascii=ascii_only) + "\n"
    else:
        text = write_document(definitions, ascii_only=ascii_only)
    if file is None:
        app.out.file.write(text)
    else:
        write_text(file, text)
    return Exit.OK


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--prune", is_flag=True, help="Show jobs and calendars as dropped that no FILE names.")
@json_option
@click.pass_obj
def diff(app: App, files: tuple[str, ...], prune: bool, as_json: bool) -> int:
    """Show what `apply` would change.

    Several files count as one; - is standard input. The exit code is 6 where there are differences, 0 where there are
    none.

    \b
      pgagent-py diff jobs.yaml
      pgagent-py diff --prune jobs/*.yaml
    """
    rows = _apply(app, files, dry_run=True, prune=prune)
    _print_changes(app, rows, as_json=as_json)
    return Exit.FOUND if rows else Exit.OK


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Change nothing, only show what would be.")
@click.option("--prune", is_flag=True, help="Drop jobs and calendars that no FILE names, with their logs.")
@json_option
@click.pass_obj
def apply(app: App, files: tuple[str, ...], dry_run: bool, prune: bool, as_json: bool) -> int:
    """Make the jobs equal to what files say.

    Several files count as one; - is standard input. Jobs that no file names stay as they are, unless --prune is given.
    Jobs that stay keep their ids and their logs. All happens in one transaction: after an error nothing is changed.

    \b
      pgagent-py apply --dry-run jobs.yaml
      pgagent-py apply jobs.yaml
    """
    rows = _apply(app, files, dry_run=dry_run, prune=prune)
    _print_changes(app, rows, as_json=as_json)
    if not as_json:
        app.err.print(f"{'would be' if dry_run and rows else 'done'}: {summarise(rows)}")
    return Exit.OK


def _apply(app: App, files: Sequence[str], *, dry_run: bool, prune: bool) -> list[Row]:
    document = read_document([(path, read_text(path)) for path in files])
    try:
        rows = app.rows(APPLY, {"definitions": Jsonb(document.definitions), "dry_run": dry_run, "prune": prune})
    except errors.InvalidParameterValue as error:
        raise _to_failure(app, error, document) from None
    if any(row["object"] == "job" and row["action"] == "create" for row in rows):
        for line in find_namesakes(document):
            app.err.print(f"note: {plain(line)}", soft_wrap=True)
    return rows


def _to_failure(app: App, error: errors.InvalidParameterValue, document: Document) -> Exception:
    """The problems with their places go before, a line each, as editors want them; the failure counts them."""
    if error.diag.message_detail is None:
        return error
    problems = locate_problems(error.diag.message_detail, document)
    for problem in problems:
        app.err.print(plain(problem), soft_wrap=True)
    if len(problems) == 1:
        return Failure("1 problem; nothing is changed", hint=error.diag.message_hint)
    return Failure(f"{len(problems)} problems; nothing is changed")


def _print_changes(app: App, rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        print_json(app.out, rows)
        return
    for line in show_changes(rows):
        app.out.print(line, soft_wrap=True)
