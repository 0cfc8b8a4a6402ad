"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from pgagent_cli.app import App
from pgagent_cli.outcome import JOBS_HINT, Failure
from pgagent_cli.suggestions import suggest_jobs

F = TypeVar("F", bound=Callable[..., Any])

LARGEST_ID = 2**31 - 1

_FIND_JOB = "select pgagent.find_job(%(name)s)"
_HAS_JOB = "select exists (select from pgagent.pga_job where jobid = %(id)s)"


class WholeNumber(click.IntRange):
    """A whole number within bounds, in words that people use."""

    name = "whole number"


class Number(click.FloatRange):
    """A number within bounds, in words that people use."""

    name = "number"


def json_option(command: F) -> F:
    """The option --json of a listing."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON: times as ISO 8601, durations in seconds.")(
        command
    )


def _complete_job(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    return suggest_jobs(ctx, incomplete)


def job_argument(command: F) -> F:
    """The argument JOB, an id or a name."""
    return click.argument("job", metavar="JOB", shell_complete=_complete_job)(command)


def optional_job_argument(command: F) -> F:
    """The argument JOB, which may be left out."""
    return click.argument("job", metavar="[JOB]", required=False, shell_complete=_complete_job)(command)


def jobs_argument(command: F) -> F:
    """Any number of arguments JOB."""
    return click.argument("jobs", metavar="[JOB]...", nargs=-1, shell_complete=_complete_job)(command)


def is_id(word: str) -> bool:
    """Whether a word is an id and not a name: digits only, and no more than an id may have."""
    return word.isascii() and word.isdigit() and int(word) <= LARGEST_ID


def find_job(app: App, job: str) -> int:
    """The id of a job that is given by id or name; `Failure` or the server's error when there is none."""
    if is_id(job):
        if not app.value(_HAS_JOB, {"id": int(job)}):
            raise Failure(f"job {job} does not exist", hint=JOBS_HINT)
        return int(job)
    return int(app.value(_FIND_JOB, {"name": job}))
