"""One run of one job: which step is next, and what an outcome does to the run. Pure.

The rules are pgAgent's: steps in the order of name and id, as they were when the run started; a step that fails
counts by its on-error letter. A run without steps succeeds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
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
class Retry:
    """When a failed step is tried again. ``limit``: how often; ``jitter``: 0 to 1, how much of a wait may be left out.

    ``sqlstates``: SQLSTATEs and classes (08*) of an SQL step's error; None: whatever the failure.
    """

    limit: int
    delay_seconds: float
    factor: float
    longest_delay_seconds: float
    jitter: float
    sqlstates: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it was when its run started. ``kind``: s or b; ``on_error``: f, s or i; ``attempt`` counts from 1."""

    jstid: int
    name: str
    kind: str
    code: bytes
    dbname: str
    connstr: str
    on_error: str
    timeout_seconds: float | None = None
    retry: Retry | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended. ``ending``: s, f, or d; ``result``: rows or exit code, None if there is none.

    ``sqlstate``: of the error that ended an SQL step, '' if there was none or it had none.
    """

    ending: str
    result: int | None
    output: str
    sqlstate: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that goes on: ``steps[0]`` is the current step. ``timeout_seconds``: for all of it, from its start.

    ``due``: when it was due; ``owner``: as it was when the run started; ``is_superuser``: whether that role is one.
    """

    jlgid: int
    jobid: int
    jobname: str
    jobhostagent: str
    started: str
    due: str
    owner: str
    is_superuser: bool
    steps: tuple[Step, ...]
    timeout_seconds: float | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What the current step finds as current_setting('pgagent.job_id') and so on."""
        return {
            "pgagent.job_id": str(self.jobid),
            "pgagent.job_name": self.jobname,
            "pgagent.run_id": str(self.jlgid),
            "pgagent.step_id": str(self.steps[0].jstid),
            "pgagent.due": self.due,
        }

    def without_first_step(self) -> Run:
        """The run, gone on to its next step."""
        return replace(self, steps=self.steps[1:])

    def with_next_attempt(self) -> Run:
        """The run, about to try its current step again."""
        step = self.steps[0]
        return replace(self, steps=(replace(step, attempt=step.attempt + 1), *self.steps[1:]))


def retry_delay(step: Step, sqlstate: str, chance: float) -> float | None:
    """How many seconds after this failed attempt the step is tried again; None: it is not.

    ``chance``, from 0 to 1, picks the wait between the shortest and the longest that the jitter allows.
    """
    retry = step.retry
    if retry is None or step.attempt > retry.limit:
        return None
    if step.kind == "s" and retry.sqlstates is not None and not _matches(sqlstate, retry.sqlstates):
        return None
    growth = retry.factor ** min(step.attempt - 1, 100)  # enough for any wait; more would be no number
    return min(retry.delay_seconds * growth, retry.longest_delay_seconds) * (1 - retry.jitter * chance)


def _matches(sqlstate: str, patterns: tuple[str, ...]) -> bool:
    return sqlstate != "" and any(sqlstate.startswith(pattern.rstrip("*")) for pattern in patterns)


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
    rows = [{**asdict(step), "code": encoding.decode(step.code)} for step in steps]
    return encoding.encode(json.dumps(rows, ensure_ascii=False))


def load_run(data: bytes, encoding: Encoding) -> Run:
    """A run as the ledger's claims and adoptions answer it, with the steps that it has before it."""
    fields = json.loads(encoding.decode(data))
    return Run(**{**fields, "steps": tuple(_read_step(step, encoding) for step in fields["steps"])})


def _read_step(fields: dict[str, Any], encoding: Encoding) -> Step:
    retry = fields["retry"]
    if retry is not None:
        patterns = retry["sqlstates"]
        retry = Retry(**{**retry, "sqlstates": None if patterns is None else tuple(patterns)})
    return Step(**{**fields, "code": encoding.encode(fields["code"]), "retry": retry})
