"""Keeps one engine's books: when to register, write, claim, adopt and clean up.

The session may be lost and made anew; nothing that is to be written is lost with it.

It decides what to submit and hands the answers to the engine; what they mean for a run is the engine's concern.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from . import ledger
from .ledger import Entry, Ledger, Row
from .outbox import TRANSIENT_CLASSES, Outbox, Settled
from .session import ConnectionLost
from .target import Loopback

CONNECT_SECONDS = 10.0
RECONNECT_SECONDS = 0.1
POLL_SECONDS = 1.0
FOLLOW_SECONDS = 0.1
SHORTEST_CLAIM_SECONDS = 0.02
PRUNE_SECONDS = 60.0
PRUNED_RUNS = 200
WATCH_SECONDS = 10.0
# Parts of the lease: after the first it is renewed, after the second no step is sent.
LEASE_RENEWED = 0.25
LEASE_USED = 0.75
FOREIGN_KEY_VIOLATION = "23503"
LOCK_NOT_AVAILABLE = "55P03"
CLAIMS = (ledger.CLAIM, ledger.CLAIM_BY_PRIORITY)
NOTHING_CLAIMED: Row = (b"-infinity", b"0")


@dataclass(frozen=True, slots=True)
class Agent:
    """Who keeps these books: a backend is its pid and its start. ``label``: what clients see as the agent's station.
    ``lease_seconds``: after so long without a word from it, others take it for lost.

    Texts are bytes in the database's encoding.
    """

    pid: int
    start_microseconds: int
    station: bytes | None
    label: bytes
    lease_seconds: float


@dataclass(slots=True)
class Answers:
    """What a submission has brought."""

    claimed: list[Row] = field(default_factory=list)
    adopted: list[Row] = field(default_factory=list)
    cancelled: list[Row] = field(default_factory=list)
    lost: list[Row] = field(default_factory=list)
    settled: Settled = field(default_factory=Settled)

    @property
    def new_runs(self) -> int:
        """How many runs the engine has to take on."""
        return len(self.claimed) + len(self.adopted)


class Bookkeeper:
    """The control session of one engine, and the times at which it has something to do.

    ``has_claimed``: this call has claimed, or may not. ``claimed_all``: the last claim left nothing to claim.
    ``is_reaping``: dead agents are still there. ``loss``: why the session could not be made yet. ``is_unsure``: the
    session was lost before an answer, and what may be claimed of which nothing is known is not given back yet.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.claimed_all = False
        self.has_claimed = False
        self.is_reaping = False
        self.registered = False
        self.is_unsure = False
        self.loss: ConnectionLost | None = None
        self._will_pass = False
        self._lease_until = 0.0
        self._renew_at = 0.0
        self._disown_at = 0.0
        self._lease_seconds = 0.0
        self._submitted_at: deque[float] = deque()
        self._claims_sent = 0
        self._kept_at = 0.0
        self._cancel_at = 0.0
        self._prune_at = 0.0
        self._watch_at = math.inf
        self._is_limited = False
        self._is_prioritised = False
        self._cancels: list[int] = []
        self._terminations: list[int] = []
        self._outbox = outbox
        self._ledger: Ledger | None = None
        self._reconnect_at = 0.0
        self._claim_at = 0.0
        self._adopt_at = 0.0
        self._reap_at = 0.0
        self._claimed_last = NOTHING_CLAIMED
        self._next_due_wanted = False
        self._is_claiming = False

    @property
    def is_ready(self) -> bool:
        """Whether something can be submitted now, and nothing is on its way."""
        return self._ledger is not None and self._ledger.ready

    @property
    def is_open(self) -> bool:
        """Whether something can be submitted now, perhaps behind what is on its way."""
        return self._ledger is not None and not self._ledger.full

    def takes_more(self, now: float) -> bool:
        """Whether more writes and claims can follow what is on their way: not so long that the rest has no turn."""
        return self.is_open and self.registered and not self.is_unsure and now < self._kept_at + FOLLOW_SECONDS

    @property
    def claims_sent(self) -> int:
        """How many runs the claims on their way may bring."""
        return self._claims_sent

    @property
    def connections_wanted(self) -> int:
        """How many connections it will still open."""
        return 0 if self._ledger is not None else 1

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is to come."""
        return self._ledger is not None and not self._ledger.ready

    @property
    def interest(self) -> tuple[int, int] | None:
        """The socket and the events to wait for."""
        return None if self._ledger is None else (self._ledger.descriptor, self._ledger.wait_events)

    def start(self, now: float, *, lost: bool, ready: bool, limited: bool, prioritised: bool, untold: bool) -> None:
        """A call of run_due begins. ``lost``: there is something to clean up; ``ready``: runs to adopt; ``limited``:
        jobs may wait for the end of others; ``prioritised``: some come first; ``untold``: there are events to tell.
        """
        self._is_limited, self._is_prioritised = limited, prioritised
        self._watch_at = 0.0 if untold else min(self._watch_at, now + WATCH_SECONDS)
        self.claimed_all = False
        self.has_claimed = False
        self._claimed_last = NOTHING_CLAIMED
        self._is_claiming = False
        self._claim_at = 0.0
        self._adopt_at = self._cancel_at = 0.0 if ready else now + POLL_SECONDS
        self.is_reaping = lost
        self._reap_at = 0.0 if lost else now + POLL_SECONDS

    def sleep_seconds(self, now: float, *, may_claim: bool) -> float:
        """How long until there is something to submit."""
        times = [POLL_SECONDS]
        if self.is_ready:
            pending = self._outbox.wait_seconds(now)
            times.extend([] if pending is None else [pending])
            times.extend([self._claim_at - now] if may_claim else [])
        return max(0.0, min(times))

    def connect(self, loopback: Loopback, now: float) -> None:
        """Starts to make the session, unless there is one or it is too early to try again."""
        if self._ledger is None and now >= self._reconnect_at:
            self._ledger = Ledger(loopback.control_conninfo(), now + CONNECT_SECONDS)

    def keep(self, agent: Agent, known_runs: Callable[[], Iterable[int]], capacity: int, now: float) -> None:
        """Submits what there is to do now: first who keeps the books and for which runs, then within ``capacity``."""
        if self._ledger is None or not self._ledger.ready:
            return
        if agent.lease_seconds < self._lease_seconds:
            self._renew_at = 0.0
        self._lease_seconds = agent.lease_seconds
        if not self.registered:
            self._submit(self._register_entries(agent, known_runs), now)
            return
        self._kept_at = now
        entries = self._end_entries() + self._outbox.entries(now) + self._cancel_entries(known_runs, now)
        entries += self._disown_entries(agent, known_runs, now)
        entries += self._reap_entries(now) + self._claim_entries(agent, capacity, now)
        if not entries or now >= self._prune_at + PRUNE_SECONDS:
            entries += self._tidy_entries(now)
        if now >= self._renew_at and (entries or known_runs()):
            self._renew_at = now + POLL_SECONDS
            pid, start, lease = b"%d" % agent.pid, b"%d" % agent.start_microseconds, b"%f" % agent.lease_seconds
            entries.insert(0, Entry(ledger.RENEW, [(pid, start, lease)]))
        self._submit(entries, now)

    def follow(self, agent: Agent, capacity: int, now: float) -> None:
        """Submits what is to be written since the last submission, which is on its way, and a claim, if there was more
        to claim when one was answered last.
        """
        entries = self._end_entries() + self._outbox.entries(now)
        if entries and capacity > 0 and self._is_claiming:
            entries.append(self._claim_entry(agent, capacity))
        self._submit(entries, now)

    def wants_to_tidy(self, now: float) -> bool:
        """Whether it is time to tidy up: before the call ends, at the latest."""
        return self.registered and now >= min(self._prune_at, self._watch_at)

    def holds_lease(self, now: float) -> bool:
        """Whether no other agent takes this one for lost yet: only then may a step be sent."""
        return now < self._lease_until

    def doubt_lease(self) -> None:
        """Something has happened as if another agent had taken over: nothing is sent until the lease is renewed."""
        self._lease_until = self._renew_at = 0.0

    def cancel_step(self, pid: int) -> None:
        """Has a step's statement cancelled, with the next submission."""
        self._cancels.append(pid)

    def terminate_step(self, pid: int) -> None:
        """Has a step's session ended, with the next submission."""
        self._terminations.append(pid)

    def write(self, now: float) -> None:
        """Submits what is to be written, and nothing else."""
        if self.is_ready and self.registered:
            self._submit(self._outbox.entries(now), now)

    def cancel_statements(self, pids: list[int], now: float) -> None:
        """Asks the server to cancel what these backends execute; the books must be open."""
        if pids:
            self._submit([Entry(ledger.CANCEL, [(b"%d" % pid,) for pid in pids])], now)

    def advance(self, now: float, *, socket_ready: bool) -> list[Answers]:
        """Goes on without waiting: what each submission has brought whose answers are all there."""
        if self._ledger is None:
            return []
        try:
            executed = self._ledger.advance() if socket_ready else []
            deadline = self._ledger.connect_deadline_seconds
            if deadline is not None and now >= deadline:
                raise ConnectionLost(f"connection timed out after {CONNECT_SECONDS:g} s")
        except ConnectionLost as loss:
            self._lose(loss, now)
            return []
        answers = [self._read_answers(entries, now) for entries in executed]
        if self._ledger.notified:
            self._ledger.notified = False
            self.claimed_all = False
            self._claim_at = self._adopt_at = self._cancel_at = 0.0
        return answers

    @property
    def is_refused(self) -> bool:
        """Whether the session cannot be made, for a reason that will not pass by itself."""
        return self.loss is not None and not self._will_pass

    def close(self) -> None:
        """Ends the session."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
            self._submitted_at.clear()
            self._claims_sent = 0

    def _submit(self, entries: list[Entry], now: float) -> None:
        if self._ledger is None or not entries:
            return
        try:
            self._submitted_at.append(now)
            self._claims_sent += _claimed_most(entries)
            self._ledger.submit(entries)
        except ConnectionLost as loss:
            self._lose(loss, now)

    def _lose(self, loss: ConnectionLost, now: float) -> None:
        """Forgets the session; one that had been made is made anew at once. What it was asked is asked again."""
        was_connected = self._ledger is not None and self._ledger.connect_deadline_seconds is None
        self.is_unsure = self.is_unsure or (self.registered and self.is_waiting)
        self._will_pass = loss.sqlstate[:2] in TRANSIENT_CLASSES or (was_connected and not loss.sqlstate)
        self.close()
        self._outbox.refresh()
        self._is_claiming = False
        self.claimed_all = False
        self._claimed_last = NOTHING_CLAIMED
        self._claim_at = self._adopt_at = 0.0
        if self.registered:
            self.registered = False
            self._reconnect_at = now
        else:
            self.loss = loss
            self._reconnect_at = now + RECONNECT_SECONDS

    def _register_entries(self, agent: Agent, known_runs: Callable[[], Iterable[int]]) -> list[Entry]:
        known = _ids(known_runs())
        pid = b"%d" % agent.pid
        return [
            Entry(ledger.END_ORPHANS, [()]),
            Entry(ledger.REAP, [()]),
            Entry(ledger.REGISTER, [(pid, b"%d" % agent.start_microseconds, agent.label, b"%f" % agent.lease_seconds)]),
            Entry(ledger.DISOWN, [(pid, known)]),
            Entry(ledger.LOST_RUNS, [(known,)]),
        ]

    def _disown_entries(self, agent: Agent, known_runs: Callable[[], Iterable[int]], now: float) -> list[Entry]:
        """Gives back what a client had locked when the agent registered."""
        if not self.is_unsure or now < self._disown_at:
            return []
        self._disown_at = now + POLL_SECONDS
        return [Entry(ledger.DISOWN, [(b"%d" % agent.pid, _ids(known_runs()))])]

    def _end_entries(self) -> list[Entry]:
        """Statements and sessions of steps to be ended."""
        ordered = [(ledger.CANCEL, self._cancels), (ledger.TERMINATE, self._terminations)]
        self._cancels, self._terminations = [], []
        return [Entry(statement, [(b"%d" % pid,) for pid in pids]) for statement, pids in ordered if pids]

    def _cancel_entries(self, known_runs: Callable[[], Iterable[int]], now: float) -> list[Entry]:
        if now < self._cancel_at:
            return []
        self._cancel_at = now + POLL_SECONDS
        return [Entry(ledger.CANCEL_REQUESTS, [(_ids(known_runs()),)])]

    def _tidy_entries(self, now: float) -> list[Entry]:
        """Deletes old logs, little by little, and tells of overdue jobs, when there is nothing else to do."""
        entries = []
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_SECONDS
            entries.append(Entry(ledger.PRUNE, [(b"%d" % PRUNED_RUNS,)]))
        if now >= self._watch_at:
            self._watch_at = now + WATCH_SECONDS
            entries.append(Entry(ledger.WATCH, [()]))
        return entries

    def _reap_entries(self, now: float) -> list[Entry]:
        if now < self._reap_at or not self.holds_lease(now):
            return []
        self._reap_at = now + POLL_SECONDS
        return [Entry(ledger.END_ORPHANS, [()]), Entry(ledger.REAP, [()])]

    def _claim_entries(self, agent: Agent, capacity: int, now: float) -> list[Entry]:
        """Adopts, or claims, or asks when to claim next: one of them at a time, within the capacity."""
        if capacity <= 0:
            self.has_claimed = True
            return []
        most, pid = b"%d" % capacity, b"%d" % agent.pid
        if now >= self._adopt_at:
            self._adopt_at = now + POLL_SECONDS
            return [Entry(ledger.ADOPT, [(most, pid)])]
        if now >= self._claim_at:
            self._claim_at = now + POLL_SECONDS
            return [self._claim_entry(agent, capacity)]
        if self._next_due_wanted:
            self._next_due_wanted = False
            return [Entry(ledger.NEXT_DUE, [(agent.station,)])]
        return []

    def _claim_entry(self, agent: Agent, capacity: int) -> Entry:
        most, pid, limited = b"%d" % capacity, b"%d" % agent.pid, b"true" if self._is_limited else b"false"
        claim = ledger.CLAIM_BY_PRIORITY if self._is_prioritised else ledger.CLAIM
        return Entry(claim, [(most, agent.station, pid, *self._claimed_last, limited)])

    def _read_answers(self, entries: list[Entry], now: float) -> Answers:
        submitted_at = self._submitted_at.popleft()
        self._claims_sent -= _claimed_most(entries)
        self._note_unregistered(entries)
        _forgive_tidying(entries)
        answers = Answers(settled=self._outbox.settle(entries))
        for entry in entries:
            if entry.statement in CLAIMS:
                answers.claimed = entry.answers
                self._note_claim(entry, now)
            elif entry.statement is ledger.CANCEL_REQUESTS:
                answers.cancelled = entry.answers
            elif entry.statement is ledger.LOST_RUNS:
                answers.lost = entry.answers
            elif entry.statement is ledger.ADOPT:
                answers.adopted = entry.answers
                self._adopt_at = now + POLL_SECONDS  # counted from the answer: claims must have their turn
                if len(entry.answers) == int(entry.rows[0][0] or b"0"):
                    self._adopt_at = 0.0
            else:
                self._note_answer(entry, now, submitted_at)
        return answers

    def _note_unregistered(self, entries: list[Entry]) -> None:
        """The agent's row was deleted by somebody: it registers again, and claims then."""
        for entry in entries:
            if entry.statement in (*CLAIMS, ledger.ADOPT):
                missing = [failure for failure in entry.failures if failure[1] == FOREIGN_KEY_VIOLATION]
                if missing:
                    self.registered = False
                    entry.failures.clear()

    def _note_claim(self, entry: Entry, now: float) -> None:
        """Claims again at once while there is more, in the end once more from the beginning."""
        if entry.failures:
            self._is_claiming = False
            self._claim_at = now + RECONNECT_SECONDS
            return
        short = len(entry.answers) < int(entry.rows[0][0] or b"0")
        self.has_claimed = True
        self.claimed_all = self.registered and short and entry.rows[0][3:5] == NOTHING_CLAIMED
        self._is_claiming = self.registered and not short
        from_beginning = short or entry.statement is ledger.CLAIM_BY_PRIORITY
        self._claimed_last = NOTHING_CLAIMED if from_beginning else entry.answers[-1][3:]
        if self.claimed_all:
            self._next_due_wanted = True
        else:
            self._claim_at = 0.0

    def _note_answer(self, entry: Entry, now: float, submitted_at: float) -> None:
        first = entry.answers[0][0] if entry.answers else None
        if entry.statement is ledger.REGISTER:
            self.registered = first is not None
            self.loss = None
            self._note_lease(submitted_at, is_renewed=self.registered)
        elif entry.statement is ledger.RENEW:
            self._note_lease(submitted_at, is_renewed=first == b"t")
            # Given up by another agent, or deleted by a client: a new start.
            self.registered = self.registered and (first is not None or bool(entry.failures))
        elif entry.statement is ledger.RELEASE and self._is_limited:
            # Others may have waited for these.
            self.claimed_all = False
            self._claim_at = 0.0
        elif entry.statement is ledger.NEXT_DUE and first is not None:
            self._claim_at = min(self._claim_at, now + max(SHORTEST_CLAIM_SECONDS, float(first)))
        else:
            self._note_cleaning(entry, first, now)

    def _note_cleaning(self, entry: Entry, first: bytes | None, now: float) -> None:
        """What is left of it is done soon."""
        if entry.statement is ledger.PRUNE and first == b"%d" % PRUNED_RUNS:
            self._prune_at = now + POLL_SECONDS
        elif entry.statement is ledger.DISOWN:
            self.is_unsure = first != b"0"
            self._disown_at = now + RECONNECT_SECONDS
        elif entry.statement is ledger.REAP:
            self.is_reaping = first not in (None, b"0")
            if self.is_reaping:
                self._reap_at = now + RECONNECT_SECONDS

    def _note_lease(self, submitted_at: float, *, is_renewed: bool) -> None:
        """It counts from the submission, which was before the server's clock was read."""
        if is_renewed:
            self._lease_until = submitted_at + self._lease_seconds * LEASE_USED
            self._renew_at = submitted_at + self._lease_seconds * LEASE_RENEWED


def _claimed_most(entries: Iterable[Entry]) -> int:
    """How many runs the claims among these entries may bring."""
    return sum(int(entry.rows[0][0] or b"0") for entry in entries if entry.statement in (*CLAIMS, ledger.ADOPT))


def _forgive_tidying(entries: list[Entry]) -> None:
    """Somebody has locked a table: the next time will do."""
    for entry in entries:
        if entry.statement in (ledger.PRUNE, ledger.WATCH):
            entry.failures = [failure for failure in entry.failures if failure[1] != LOCK_NOT_AVAILABLE]


def _ids(runs: Iterable[int]) -> bytes:
    return ledger.array_literal([b"%d" % jlgid for jlgid in runs])
