"""What an engine still has to write: ends of steps and runs, jobs to release, steps to begin. Pure.

Everything stays here until the ledger has confirmed it, so that nothing is lost with a connection, and whatever is
locked or refused is written again later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from .encoding import Encoding
from .ledger import (
    BEGIN_STEPS,
    CLOSE_RUNS,
    CLOSE_STEPS,
    PARK,
    RELEASE,
    WRITE_OUTPUT,
    WRITE_PROGRESS,
    Entry,
    Row,
    Statement,
    Value,
)
from .output import escape
from .run import Run, dump_steps

_Pending = TypeVar("_Pending")

RETRY_SECONDS = 0.1
GIVEN_UP = b"0"
TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58")


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a step or a run: its status letter, its result, and when, on the monotonic clock.

    ``reason``: why a run did not succeed, None if it did.
    """

    status: str
    result: int | None
    at_seconds: float
    reason: str | None = None


@dataclass(slots=True)
class Settled:
    """What a submission has brought about.

    ``begun`` and ``parked`` map a run to its step's log row, None: the row is gone. ``given_up``: runs that another
    agent has ended. ``refused``: runs whose step cannot be logged, and why. ``complaints``: each refusal's SQLSTATE and
    message.
    """

    begun: dict[int, int | None] = field(default_factory=dict)
    parked: dict[int, int | None] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    complaints: list[tuple[str, str]] = field(default_factory=list)


class Outbox:
    """The pending writes, each under the id of its row."""

    def __init__(self, pid: int, encoding: Encoding) -> None:
        self._pid = pid
        self._encoding = encoding
        self._retry_at_seconds = 0.0
        self._fresh = False
        self._steps: dict[int, Ended] = {}
        self._outputs: dict[int, str] = {}
        self._runs: dict[int, Ended] = {}
        self._releases: dict[int, int] = {}
        self._begins: dict[int, int] = {}
        self._parks: dict[int, Run] = {}
        self._progress: dict[int, str] = {}
        self._sent: dict[Statement, set[int]] = {}

    def __bool__(self) -> bool:
        """Whether anything is pending."""
        return any((self._steps, self._outputs, self._runs, self._releases, self._begins, self._parks, self._progress))

    def open_runs(self) -> set[int]:
        """Runs whose end is not yet written."""
        return set(self._runs)

    def waiting_runs(self) -> int:
        """How many runs have ended, or wait for the log row of their next step, and are not on their way yet."""
        return len(self._unsent(CLOSE_RUNS, self._runs)) + len(self._unsent(BEGIN_STEPS, self._begins))

    def end_step(self, jslid: int, ended: Ended, output: str) -> None:
        """A step has ended."""
        self._steps[jslid] = ended
        self._progress.pop(jslid, None)
        if output:
            self._outputs[jslid] = output
        self._fresh = True

    def show_output(self, jslid: int, output: str) -> None:
        """What a step has put out so far. It is written once, if it can be: the end of the step brings all of it."""
        self._progress[jslid] = output
        self._fresh = True

    def has_open_step(self, jslid: int | None) -> bool:
        """Whether the end of a step is still to be written."""
        return jslid in self._steps

    def end_run(self, run: Run, ended: Ended) -> None:
        """A run has ended: its job is to be released."""
        self._runs[run.jlgid] = ended
        self._releases[run.jobid] = run.jlgid
        self._begins.pop(run.jlgid, None)
        self._parks.pop(run.jlgid, None)
        self._fresh = True

    def begin_step(self, jlgid: int, jstid: int) -> None:
        """A step is to be begun: its log row comes first."""
        self._begins[jlgid] = jstid
        self._fresh = True

    def park(self, run: Run) -> None:
        """A run has reached a batch step."""
        self._parks[run.jlgid] = run
        self._fresh = True

    def refresh(self) -> None:
        """What was submitted last may not have been written: it is submitted again at once."""
        self._fresh = bool(self)
        self._sent.clear()

    def wait_seconds(self, now_seconds: float) -> float | None:
        """How long until there is something to submit; None: nothing is pending."""
        if not self:
            return None
        return 0.0 if self._fresh else max(0.0, self._retry_at_seconds - now_seconds)

    def entries(self, now_seconds: float) -> list[Entry]:
        """What to submit now: all but what is on its way."""
        if self.wait_seconds(now_seconds) != 0.0:
            return []
        self._fresh = False
        self._retry_at_seconds = now_seconds + RETRY_SECONDS
        pid = _text(self._pid)
        found: list[tuple[Statement, list[Row]]] = [
            (CLOSE_STEPS, [_step_row(*each, now_seconds) for each in self._unsent(CLOSE_STEPS, self._steps)]),
            (WRITE_OUTPUT, [self._text_row(*each) for each in self._unsent(WRITE_OUTPUT, self._outputs)]),
            (WRITE_PROGRESS, [self._text_row(*each) for each in self._progress.items()]),
            (CLOSE_RUNS, [self._run_row(*each, now_seconds) for each in self._unsent(CLOSE_RUNS, self._runs)]),
            (RELEASE, [(_text(key), _text(jlgid), pid) for key, jlgid in self._unsent(RELEASE, self._releases)]),
            (BEGIN_STEPS, [(_text(key), _text(jstid)) for key, jstid in self._unsent(BEGIN_STEPS, self._begins)]),
            (PARK, [self._park_row(run, pid) for _, run in self._unsent(PARK, self._parks)]),
        ]
        self._progress = {}
        entries = [Entry(statement, rows) for statement, rows in found if rows]
        for entry in entries:
            self._sent.setdefault(entry.statement, set()).update(_keys(entry))
        return entries

    def settle(self, entries: Sequence[Entry]) -> Settled:
        """Takes out what is written; what is locked or was refused for a while stays."""
        settled = Settled()
        self._note_return(entries)
        for entry in (each for each in entries if each.statement is not WRITE_PROGRESS):
            settled.complaints.extend((sqlstate, message) for _, sqlstate, message in entry.failures)
            if entry.statement is CLOSE_STEPS:
                _remove_written(self._steps, entry)
            elif entry.statement is CLOSE_RUNS:
                _remove_written(self._runs, entry)
                self._simplify_reasons(entry)
            elif entry.statement is RELEASE:
                _remove_written(self._releases, entry)
            elif entry.statement is WRITE_OUTPUT:
                self._settle_outputs(entry)
            elif entry.statement is BEGIN_STEPS:
                self._settle_begins(self._begins, entry, settled.begun, settled)
            elif entry.statement is PARK:
                self._settle_begins(self._parks, entry, settled.parked, settled)
        return settled

    def _note_return(self, entries: Iterable[Entry]) -> None:
        """What is not written now is to be submitted again."""
        for entry in entries:
            sent = self._sent.get(entry.statement)
            if sent:
                sent.difference_update(_keys(entry))

    def _unsent(self, statement: Statement, pending: dict[int, _Pending]) -> list[tuple[int, _Pending]]:
        """What is pending for a statement and not on its way."""
        sent = self._sent.get(statement)
        return [each for each in pending.items() if each[0] not in sent] if sent else list(pending.items())

    def _simplify_reasons(self, entry: Entry) -> None:
        """A run ends whatever becomes of its reason: one that is refused is written in ASCII, then left out."""
        for row, sqlstate, _ in entry.failures:
            ended = self._runs.get(_number(row[0]))
            if ended is not None and ended.reason is not None and not _is_transient(sqlstate):
                reason = None if ended.reason.isascii() else escape(ended.reason)
                self._runs[_number(row[0])] = replace(ended, reason=reason)

    def _settle_outputs(self, entry: Entry) -> None:
        failed = {_number(row[0]): sqlstate for row, sqlstate, _ in entry.failures}
        left_out = {_number(row[0]) for row in entry.answers}
        for row in entry.rows:
            jslid = _number(row[0])
            if jslid in left_out:
                continue
            sqlstate = failed.get(jslid)
            text = self._outputs.get(jslid, "")
            if sqlstate is None or (not _is_transient(sqlstate) and text.isascii()):
                self._outputs.pop(jslid, None)
            elif not _is_transient(sqlstate):
                self._outputs[jslid] = escape(text)

    def _text_row(self, key: int, text: str) -> Row:
        return (_text(key), self._encoding.encode(text))

    def _run_row(self, key: int, ended: Ended, now_seconds: float) -> Row:
        reason = None if ended.reason is None else self._encoding.encode(ended.reason)
        return (_text(key), ended.status.encode(), _age(ended, now_seconds), reason)

    def _park_row(self, run: Run, pid: bytes) -> Row:
        texts = (self._encoding.encode(text) for text in (run.jobname, run.jobhostagent, run.started, run.owner))
        timeout = None if run.timeout_seconds is None else str(run.timeout_seconds).encode()
        steps = dump_steps(run.steps, self._encoding)
        ids = (_text(run.jlgid), _text(run.steps[0].jstid), _text(run.jobid))
        return (*ids, *texts, pid, steps, timeout, run.due.encode())

    @staticmethod
    def _settle_begins(
        pending: dict[int, int] | dict[int, Run],
        entry: Entry,
        begun: dict[int, int | None],
        settled: Settled,
    ) -> None:
        for jlgid_text, jslid_text in entry.answers:
            jlgid = _number(jlgid_text)
            pending.pop(jlgid, None)
            if jslid_text == GIVEN_UP:
                settled.given_up.add(jlgid)
            else:
                begun[jlgid] = None if jslid_text is None else _number(jslid_text)
        for row, sqlstate, message in entry.failures:
            if not _is_transient(sqlstate):
                settled.refused[_number(row[0])] = message
                pending.pop(_number(row[0]), None)


def _remove_written(pending: dict[int, Ended] | dict[int, int], entry: Entry) -> None:
    """What was submitted is written, but for the ids that the answers and the failures name."""
    left = {_number(row[0]) for row in entry.answers} | {_number(row[0]) for row, _, _ in entry.failures}
    for key in _keys(entry) - left:
        pending.pop(key, None)


def _keys(entry: Entry) -> set[int]:
    return {_number(row[0]) for row in entry.rows}


def _is_transient(sqlstate: str) -> bool:
    return sqlstate[:2] in TRANSIENT_CLASSES


def _step_row(key: int, ended: Ended, now_seconds: float) -> Row:
    result = None if ended.result is None else _text(ended.result)
    return (_text(key), ended.status.encode(), result, _age(ended, now_seconds))


def _age(ended: Ended, now_seconds: float) -> bytes:
    return f"{max(0.0, now_seconds - ended.at_seconds):.6f}".encode()


def _text(number: int) -> bytes:
    return b"%d" % number


def _number(value: Value) -> int:
    return int(value or b"0")
