"""One run of one job: which step is next, and what an outcome does to the run. Pure.

The rules are pgAgent's: steps in the order of name and id, as they were when the run started; a step that fails
counts by its on-error letter. A run without steps succeeds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from .encoding import Encoding

RUNNING = "r"
SUCCEEDED = "s"
FAILED = "f"
INTERNAL_FAILURE = "i"
ABORTED = "d"

RUN_STATUS_WORDS = {
    RUNNING: "running",
    SUCCEEDED: "succeeded",
    FAILED: "failed",
    INTERNAL_FAILURE: "internal failure",
    ABORTED: "aborted",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it was when its run started. ``kind``: s or b; ``on_error``: f, s or i."""

    jstid: int
    name: str
    kind: str
    code: bytes
    dbname: str
    connstr: str
    on_error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended. ``ending``: s, f, or d; ``result``: rows or exit code, None if there is none."""

    ending: str
    result: int | None
    output: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run that goes on: ``steps[0]`` is the current step."""

    jlgid: int
    jobid: int
    jobname: str
    jobhostagent: str
    started: str
    steps: tuple[Step, ...]

    def without_first_step(self) -> Run:
        """The run, gone on to its next step."""
        return replace(self, steps=self.steps[1:])


def judge_step(ending: str, on_error: str) -> str:
    """The status letter of a step that ended so: a failure counts as its on-error letter says."""
    return on_error if ending == FAILED else ending


def judge_run(step_status: str, steps_left: int) -> str | None:
    """The status letter of a run after a step with this status; None: it goes on with the next step."""
    if step_status in (FAILED, ABORTED):
        return step_status
    return None if steps_left else SUCCEEDED


def dump_steps(steps: tuple[Step, ...], encoding: Encoding) -> bytes:
    """The steps as JSON, for a run that leaves this session. Code of any bytes survives."""
    rows = [
        {
            "jstid": step.jstid,
            "name": step.name,
            "kind": step.kind,
            "code": encoding.decode(step.code),
            "dbname": step.dbname,
            "connstr": step.connstr,
            "on_error": step.on_error,
        }
        for step in steps
    ]
    return encoding.encode(json.dumps(rows, ensure_ascii=False))


def load_run(data: bytes, encoding: Encoding) -> Run:
    """A run as the ledger's claims and adoptions answer it, with the steps that it has before it."""
    fields = json.loads(encoding.decode(data))
    return Run(**{**fields, "steps": tuple(_read_step(step, encoding) for step in fields["steps"])})


def _read_step(fields: dict[str, Any], encoding: Encoding) -> Step:
    return Step(**{**fields, "code": encoding.encode(fields["code"])})
