"""The engine: drives the steps of its runs, many at once, in one thread. The only place where the parts meet.

It lives in the backend that calls run_due and stays there between the calls, with the work in flight. Its loop waits
for sockets, 100 ms at the most, and then lets the server interrupt it: a cancel reaches Python only in a call of plpy.
"""

from __future__ import annotations

import math
import random
import select
import time
from dataclasses import dataclass

from . import ledger, run
from .bookkeeper import Agent, Answers, Bookkeeper
from .encoding import Untranslatable, find
from .ledger import Row
from .outbox import Ended, Outbox, Settled
from .pool import Pool
from .run import ABORTED, FAILED, INTERNAL_FAILURE, SUCCEEDED, Outcome, Run
from .session import (
    CONNECTION_FAILURE,
    TOO_MANY_CONNECTIONS,
    ConnectionLost,
    Event,
    State,
    StepSession,
)
from .spi import Plpy
from .target import (
    INVALID_AUTHORIZATION,
    InvalidTarget,
    Loopback,
    Target,
    advise_login,
    find_server_user,
    redact_failure,
    remote_target,
)

INTERRUPT_SECONDS = 0.1
LOOK_SECONDS = 1.0
FLUSH_SECONDS = 0.5
SEND_SECONDS = 0.2
GATHER_SECONDS = 0.002
CANCEL_SECONDS = 0.25
ABORT_SECONDS = 2.0
REMOTE_PAUSE_SECONDS = 1.0
FORCE_SECONDS = 0.5
SHOW_SECONDS = 1.0
SHOWN_BYTES_PER_SECOND = 65536
CANCELED = "57014"
# Idle sessions that stay between two calls: all if there are connections for so many engines, else a few.
PLENTY = 3
IDLE_SESSIONS_KEPT = 4
NO_CONNECTION = "Couldn't get a connection to the database!"
CANCELLED = "aborted: run_due was cancelled"
STEP_DELETED = "the step was deleted before a ticker could take it"
SCRIPT_ENDINGS = {SUCCEEDED: "", FAILED: "the script failed", ABORTED: "the ticker ended the script"}

Report = tuple[int, int, str, str, str, str, str]


@dataclass(slots=True)
class Stop:
    """Why the current step is being ended, and how the run ends then; None: as after any failure.

    ``force_at_seconds``: when its session is ended, if it does not heed the cancel.
    """

    run_status: str | None
    reason: str
    force_at_seconds: float = math.inf


@dataclass(slots=True)
class ActiveRun:
    """A run in this engine's hands; ``run.steps[0]`` is its current step.

    ``begun``: the step may be sent, at ``not_before_seconds``; ``jslid``: its log row, None if its row or the run's was
    deleted meanwhile. ``retry_at_seconds``: its step has failed and is begun again then, when the row of the attempt
    before, ``failed_jslid``, is closed; infinite: it is not waiting.
    ``deadline_seconds`` and ``step_deadline_seconds``: the time limits of the run and of the step that is executed.
    ``show_at_seconds``: when its output so far is shown, of which ``shown_size`` bytes are.
    """

    run: Run
    since_seconds: float
    begun: bool = False
    jslid: int | None = None
    session: StepSession | None = None
    not_before_seconds: float = 0.0
    retry_at_seconds: float = math.inf
    failed_jslid: int | None = None
    deadline_seconds: float = math.inf
    step_deadline_seconds: float = math.inf
    show_at_seconds: float = math.inf
    shown_size: int = 0
    stop: Stop | None = None
    detail: str = ""

    @property
    def is_waiting(self) -> bool:
        """Whether it needs nothing until its step is tried again."""
        return self.retry_at_seconds < math.inf


class Engine:
    """Everything that one session runs. ``work`` is one slice of the loop.

    ``draining``: claims nothing, because newer code is about to take over. ``parked``: runs that have gone to a ticker.
    """

    def __init__(self, agent: Agent, loopback: Loopback) -> None:
        self.agent = agent
        self.loopback = loopback
        self.encoding = find(loopback.encoding)
        self.parallel_runs = 1
        self.long_run_seconds = math.inf
        self.draining = False
        self.pool = Pool()
        self.complaints: dict[str, str] = {}
        self.parked: list[int] = []
        self._runs: dict[int, ActiveRun] = {}
        self._reports: dict[int, Report] = {}
        self._outbox = Outbox(agent.pid, self.encoding)
        self._until = 0.0
        self._gather_until = 0.0
        self._show_at = 0.0
        self._aborting = False
        self._answers = 0
        self._unread_runs = 0
        self._has_plenty = False
        self._lacks_connections = False
        self.books = Bookkeeper(self._outbox)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight in this session."""
        return not self._runs and self._is_flushed and not self.books.is_unsure

    @property
    def is_short_of_connections(self) -> bool:
        """Whether others leave it fewer sessions than parallel_runs, and jobs may wait for that."""
        return self._lacks_connections and not self.books.claimed_all

    @property
    def _is_flushed(self) -> bool:
        return not self._outbox and not self.books.is_waiting

    def work(self, plpy: Plpy, until: float) -> None:
        """Claims and runs until nothing is left to do here, or until a time of the monotonic clock."""
        self._until = until
        interrupt_at = look_at = time.monotonic()
        self.pool.discard_ended()
        self.pool.trim(time.monotonic())
        while not self._is_done(time.monotonic()):
            now = time.monotonic()
            if now >= look_at:
                self._limit_pool(plpy)
                look_at = now + LOOK_SECONDS
            self.books.connect(self.loopback, now)
            self._keep_books(now)
            self._enforce_limits(now)
            self._show_outputs(now)
            self._start_steps(now)
            self._advance(*self._wait(now), time.monotonic())
            if time.monotonic() >= interrupt_at:
                plpy.execute("select 1")
                self._expire_connections(time.monotonic())
                self.pool.trim(time.monotonic())
                interrupt_at = time.monotonic() + INTERRUPT_SECONDS
            if self.books.is_refused and not self._runs:
                break
        keeps_all = self._runs or self._has_plenty
        self.pool.leave(time.monotonic(), self.parallel_runs if keeps_all else IDLE_SESSIONS_KEPT)

    def _limit_pool(self, plpy: Plpy) -> None:
        """Leaves the connections that are reserved for others, and those that others have taken meanwhile."""
        plpy.execute(ledger.LOOK_ANEW)
        row = plpy.execute(ledger.FREE_CONNECTIONS)[0]
        free = row["free"] - self.books.connections_wanted
        # Others look at the same moment, and take their share.
        share = math.ceil(free / max(1, row["engines"])) if free > 0 else free
        self.pool.limit = max(0, min(self.parallel_runs + self._count_long_runs(), len(self.pool) + share))
        self._has_plenty = free >= PLENTY * self.parallel_runs
        self._lacks_connections = free < self.parallel_runs - len(self.pool)
        self.pool.shrink()

    def _count_long_runs(self) -> int:
        """How many runs have lasted so long that others need not wait for their places."""
        since = time.monotonic() - self.long_run_seconds
        return sum(active.session is not None and active.since_seconds < since for active in self._runs.values())

    def abort(self) -> None:
        """Ends everything in flight without a call of plpy, and logs it: half a second on a server that answers."""
        self._aborting = True
        self._until = time.monotonic() + CANCEL_SECONDS
        self._cancel_steps()
        self._until = time.monotonic() + ABORT_SECONDS
        self._abort_runs()
        answers = self._answers
        # The log is worth waiting for on a slow machine; a locked row, left out twice, is not: the next call writes it.
        most = answers + ledger.MOST_SUBMISSIONS + 2
        while not self._is_flushed and time.monotonic() < self._until and self._answers < most:
            now = time.monotonic()
            self.books.write(now)
            self._advance(*self._wait(now), time.monotonic())
            self._abort_runs()
        self._aborting = False

    def report(self) -> list[Report]:
        """A row per run touched since the last report: those that have ended, and those still running."""
        now = time.monotonic()
        for active in self._runs.values():
            if active.run.steps:
                active.detail = active.detail or f'step "{active.run.steps[0].name}"'
            self._note(active, run.RUNNING, now)
        rows = [self._reports[jlgid] for jlgid in sorted(self._reports)]
        self._reports = {}
        return rows

    def close(self) -> None:
        """Ends all sessions of the engine."""
        self.pool.close()
        self.books.close()

    # The loop

    def _is_done(self, now: float) -> bool:
        if self.is_idle and not self.books.is_reaping and (self.books.claimed_all or self.draining):
            return not self.books.wants_to_tidy(now) or now >= self._until
        if now < self._until:
            return False
        has_sent = self.books.has_claimed and not self._has_unsent()
        return (
            self._is_flushed and (has_sent or now >= self._until + SEND_SECONDS)
        ) or now >= self._until + FLUSH_SECONDS

    def _has_unsent(self) -> bool:
        sessions = [active.session for active in self._runs.values() if active.begun]
        return any(session is None or not session.is_executing for session in sessions)

    def _keep_books(self, now: float) -> None:
        """Submits, unless more ends of steps are likely to come in a moment, to be written in the same transaction."""
        if not self.books.is_ready:
            if self._has_batch and self.books.takes_more(now):
                self.books.follow(self.agent, self._capacity(now), now)
        elif now >= self._gather_until or self._has_batch or not self._executing_sessions():
            self.books.keep(self.agent, self._known_runs, self._capacity(now), now)

    @property
    def _has_batch(self) -> bool:
        """Whether half of the runs wait to be submitted: the control session writes these while the others execute."""
        return self._outbox.waiting_runs() * 2 >= self.parallel_runs

    def _known_runs(self) -> set[int]:
        return set(self._runs) | self._outbox.open_runs()

    def _capacity(self, now: float) -> int:
        """How many more runs may be claimed; while connections are scarce, no more than there are sessions."""
        if self.draining or self._aborting or (now >= self._until and self.books.has_claimed):
            return 0
        most = min(self.pool.limit, max(1, len(self.pool))) if self.pool.is_paused(now) else self.pool.limit
        most -= self._unread_runs + self.books.claims_sent
        return most - sum(not active.is_waiting for active in self._runs.values())

    def _wait(self, now: float) -> tuple[list[StepSession], bool]:
        """Waits until a socket is ready or a time has come, an interrupt's time at the most: the sessions that have
        something to do, and whether the books' socket is ready.
        """
        poll = select.poll()
        ready = []
        waiting = {}
        for session in self.pool:
            descriptor = session.descriptor
            if session.unread or descriptor < 0:
                ready.append(session)
            else:
                waiting[descriptor] = session
                poll.register(descriptor, session.wait_events)
        interest = self.books.interest
        books_ready = interest is not None and interest[0] < 0
        if interest is not None and not books_ready:
            poll.register(*interest)
        seconds = self.books.sleep_seconds(now, may_claim=self._capacity(now) > 0)
        seconds = min(seconds, INTERRUPT_SECONDS, max(0.0, self._until - now))
        for descriptor, _ in poll.poll(0 if ready or books_ready else max(1.0, seconds * 1000)):
            if descriptor in waiting:
                ready.append(waiting[descriptor])
            else:
                books_ready = True
        return ready, books_ready

    def _advance(self, sessions: list[StepSession], books_ready: bool, now: float) -> None:
        """Goes on with what has something to do."""
        for session in sessions:
            event = session.advance(now)
            if event is not None:
                self._take_event(session, event, now)
                if self._has_batch and not self._aborting:
                    self._keep_books(now)
        executed = self.books.advance(now, socket_ready=books_ready)
        self._unread_runs = sum(answers.new_runs for answers in executed)
        for answers in executed:
            self._answers += 1
            self._gather_until = now + GATHER_SECONDS
            self._take_answers(answers, now)

    def _expire_connections(self, now: float) -> None:
        """Gives up the connections whose time is over; what had come of them was read just before."""
        for session in self.pool:
            event = session.expire(now)
            if event is not None:
                self._take_event(session, event, now)

    # Steps and their sessions

    def _start_steps(self, now: float) -> None:
        """Gives a session to every run whose step has its log row and waits for one."""
        for active in tuple(self._runs.values()):
            if now >= active.retry_at_seconds:
                if not self._outbox.has_open_step(active.failed_jslid):
                    active.retry_at_seconds = math.inf
                    self._next_step(active)
            elif active.begun and active.session is None and now >= active.not_before_seconds and self._may_send(now):
                self._start_step(active, now)

    def _may_send(self, now: float) -> bool:
        """Nothing is sent when another agent may have given up this one's runs, for example after a standstill."""
        return self.books.holds_lease(now)

    def _start_step(self, active: ActiveRun, now: float) -> None:
        try:
            session = self.pool.acquire(self._target(active.run), now)
        except InvalidTarget as error:
            text = f"{NO_CONNECTION}\nthe connection string of the step is not valid: {error}"
            self._end_step(active, Outcome(FAILED, -1, text), now)
            return
        active.session = session
        if session is not None and session.state is State.IDLE:
            self._send(active, session, now)

    def _send(self, active: ActiveRun, session: StepSession, now: float) -> None:
        timeout_seconds = active.run.steps[0].timeout_seconds
        active.step_deadline_seconds = math.inf if timeout_seconds is None else now + timeout_seconds
        active.show_at_seconds, active.shown_size = now + SHOW_SECONDS, 0
        try:
            session.begin(active.run.steps[0].code, active.run.settings, self.encoding)
        except Untranslatable as error:
            session.taken = False
            active.session = None
            text = f"the step cannot be executed in its database: {error}"
            self._end_step(active, Outcome(FAILED, -1, text), now)

    def _target(self, this: Run) -> Target:
        step, loopback = this.steps[0], self.loopback
        if not step.connstr:
            return loopback.step_target(step.dbname, this.owner)
        timeout, name = loopback.connect_timeout_seconds, loopback.step_application_name
        return remote_target(step.connstr, timeout, name, is_superuser=this.is_superuser)

    def _take_event(self, session: StepSession, event: Event, now: float) -> None:
        active = next((active for active in self._runs.values() if active.session is session), None)
        if event is Event.READY:
            self.pool.resume()
            if active is None or self._aborting or not self._may_send(now):
                session.taken = False
                if active is not None:
                    active.session = None
            else:
                self._send(active, session, now)
            return
        if session.state is State.CLOSED:
            self.pool.discard(session)
        if active is not None:
            active.session = None
            outcome = self._read_outcome(active, session, now)
            if active.stop is not None:
                self._end_stopped(active, active.stop, outcome, now)
            elif outcome is not None:
                self._end_step(active, outcome, now)

    def _read_outcome(self, active: ActiveRun, session: StepSession, now: float) -> Outcome | None:
        """How the step of this session ended; None: it was not sent, and waits for another session."""
        outcome = session.outcome
        if session.loss is not None and session.was_ready and session.target.is_own_server:
            self.books.doubt_lease()
        if outcome is None:
            active.step_deadline_seconds = math.inf
            if session.loss is None or (session.was_ready and session.target.is_own_server):
                return None
            if session.loss.sqlstate == TOO_MANY_CONNECTIONS:
                self._wait_for_slot(active, session, now)
                return None
            text = self._describe_failure(active.run, session, session.loss)
            return Outcome(FAILED, -1, f"{NO_CONNECTION}\n{text}", session.loss.sqlstate or CONNECTION_FAILURE)
        if self._aborting and outcome.ending != SUCCEEDED:
            return Outcome(ABORTED, outcome.result, f"{outcome.output}\n{CANCELLED}".strip())
        return outcome

    def _describe_failure(self, this: Run, session: StepSession, loss: ConnectionLost) -> str:
        """Why the step has no session, and what would help."""
        if not session.target.is_own_server:
            return redact_failure(str(loss))
        if loss.sqlstate[:2] != INVALID_AUTHORIZATION:
            return str(loss)
        advice = advise_login(this.owner, this.steps[0].dbname, find_server_user())
        return f"{loss}\n{advice}"

    def _wait_for_slot(self, active: ActiveRun, session: StepSession, now: float) -> None:
        """The server has no connection left. If it is ours, all runs wait a little; if another one, this run does."""
        if session.target.is_own_server:
            self.pool.pause(now)
        else:
            active.not_before_seconds = now + REMOTE_PAUSE_SECONDS

    def _cancel_steps(self) -> None:
        """Has the server cancel what the steps execute, and waits a little for their true ends."""
        for active in self._runs.values():
            if active.session is not None and active.session.state is State.PREPARING:
                self.pool.discard(active.session)  # its step would be sent after the cancel
                active.session = None
        asked = False
        while time.monotonic() < self._until:
            executing = self._executing_sessions()
            if not asked and self.books.is_open:
                pids = [session.backend_pid for session in executing if session.target.is_own_server]
                self.books.cancel_statements(pids, time.monotonic())
                asked = True
            if asked and not executing:
                break
            self._advance(*self._wait(time.monotonic()), time.monotonic())

    def _executing_sessions(self) -> list[StepSession]:
        sessions = [active.session for active in self._runs.values() if active.session is not None]
        return [session for session in sessions if session.is_executing]

    # Time limits and requests to cancel

    def _enforce_limits(self, now: float) -> None:
        for active in tuple(self._runs.values()):
            if active.stop is not None:
                if active.is_waiting:
                    active.retry_at_seconds = now  # its next attempt is not sent; its log says why
                elif active.session is None and active.begun:
                    self._end_stopped(active, active.stop, None, now)
                elif now >= active.stop.force_at_seconds:
                    self._force_stop(active, active.stop, now)
            elif now >= active.deadline_seconds:
                limit = f"{active.run.timeout_seconds:g} s"
                self._stop(active, Stop(FAILED, f"aborted: the run has taken longer than jobtimeout, {limit}"), now)
            elif now >= active.step_deadline_seconds:
                limit = f"{active.run.steps[0].timeout_seconds:g} s"
                self._stop(active, Stop(None, f"cancelled: the step has taken longer than jsttimeout, {limit}"), now)

    def _show_outputs(self, now: float) -> None:
        """Has what steps have put out so far written to their logs, the less often the more it is."""
        if now < self._show_at:
            return
        self._show_at = now + SHOW_SECONDS
        for active in self._runs.values():
            session = active.session
            if session is None or not session.is_executing or active.jslid is None or now < active.show_at_seconds:
                continue
            if session.output_size > active.shown_size:
                active.shown_size = session.output_size
                active.show_at_seconds = now + SHOW_SECONDS * (1 + session.output_size / SHOWN_BYTES_PER_SECOND)
                self._outbox.show_output(active.jslid, session.read_output())

    def _stop(self, active: ActiveRun, stop: Stop, now: float) -> None:
        """Has the current step ended: its end, or the time to force it, comes later, unless nothing is executed."""
        active.stop = stop
        session = active.session
        if session is None:
            return
        if session.is_executing and session.target.is_own_server:
            # What is cancelled must not be another run's step.
            session.is_spent = True
            self.books.cancel_step(session.backend_pid)
            stop.force_at_seconds = now + FORCE_SECONDS
        else:
            self.pool.discard(session)
            active.session = None
            self._end_stopped(active, stop, None, now)

    def _force_stop(self, active: ActiveRun, stop: Stop, now: float) -> None:
        session = active.session
        if session is not None:
            self.books.terminate_step(session.backend_pid)
            self.pool.discard(session)
            active.session = None
        self._end_stopped(active, stop, None, now)

    def _end_stopped(self, active: ActiveRun, stop: Stop, outcome: Outcome | None, now: float) -> None:
        """The step that was to be ended has ended."""
        active.stop = None
        if outcome is not None and outcome.ending == SUCCEEDED:
            # By itself, just before. If that was not the last one, the next one is not sent, and its log says why.
            self._end_step(active, outcome, now)
            if stop.run_status is not None:
                active.stop = Stop(stop.run_status, stop.reason)
            return
        result = -1 if outcome is None else outcome.result
        output = stop.reason if outcome is None else f"{outcome.output}\n{stop.reason}".strip()
        if stop.run_status is None:
            self._end_step(active, Outcome(FAILED, result, output, CANCELED), now, stop.reason)
            return
        if active.jslid is not None:
            self._outbox.end_step(active.jslid, Ended(ABORTED, result, now), output)
        active.detail = f'step "{active.run.steps[0].name}": {stop.reason}'
        self._end_run(active, stop.run_status, now)

    def _cancel_runs(self, rows: list[Row], now: float) -> None:
        """Runs that somebody wants to be cancelled."""
        for jlgid, requested_by in rows:
            active = self._runs.get(int(jlgid or b"0"))
            if active is not None and (active.stop is None or active.stop.run_status is None):
                who = self.encoding.decode(requested_by or b"")
                self._stop(active, Stop(ABORTED, f"cancelled by {who}"), now)

    # Runs

    def _end_step(self, active: ActiveRun, outcome: Outcome, now: float, reason: str = "") -> None:
        """Writes the end of the current step, and tries it again, or goes on with the run, or ends it.

        ``reason``: why it has failed, if its output does not begin with that.
        """
        step = active.run.steps[0]
        if self._retry(active, outcome, now):
            return
        status = run.judge_step(outcome.ending, step.on_error)
        if active.jslid is not None:
            self._outbox.end_step(active.jslid, Ended(status, outcome.result, now), outcome.output)
        self._go_on(active, status, reason or outcome.output, now)

    def _retry(self, active: ActiveRun, outcome: Outcome, now: float) -> bool:
        """Has the step tried again later, if it has failed and has attempts left."""
        step = active.run.steps[0]
        if outcome.ending != FAILED or self._aborting or step.retry is None or active.stop is not None:
            return False
        delay_seconds = run.retry_delay(step, outcome.sqlstate, random.random())  # noqa: S311  (only spreads retries)
        if delay_seconds is None:
            return False
        attempts = step.retry.limit + 1
        active.detail = f'step "{step.name}" waits for attempt {step.attempt + 1} of {attempts}'
        if active.jslid is not None:
            note = f"attempt {step.attempt} of {attempts} failed; the next one comes in {round(delay_seconds, 2):g} s"
            self._outbox.end_step(active.jslid, Ended(FAILED, outcome.result, now), f"{outcome.output}\n{note}".strip())
        active.run = active.run.with_next_attempt()
        active.failed_jslid, active.jslid, active.begun = active.jslid, None, False
        active.step_deadline_seconds = math.inf
        active.retry_at_seconds = now + delay_seconds
        return True

    def _go_on(self, active: ActiveRun, status: str, output: str, now: float) -> None:
        """The current step has ended with this status: on to the next one, or to the end of the run."""
        step = active.run.steps[0]
        first_line = output.strip().partition("\n")[0]
        if first_line:
            active.detail = f'step "{step.name}": {first_line}'
        ended = run.judge_run(status, len(active.run.steps) - 1)
        if ended is None:
            active.run = active.run.without_first_step()
            self._next_step(active)
        else:
            self._end_run(active, ended, now)

    def _next_step(self, active: ActiveRun) -> None:
        """Asks for the log row of the run's current step; a batch step leaves the engine."""
        active.jslid, active.begun, active.step_deadline_seconds = None, False, math.inf
        step = active.run.steps[0]
        if step.kind == "b":
            self._outbox.park(active.run)
        else:
            self._outbox.begin_step(active.run.jlgid, step.jstid)

    def _end_run(self, active: ActiveRun, status: str, now: float) -> None:
        reason = None if status == SUCCEEDED else active.detail or None
        self._outbox.end_run(active.run, Ended(status, None, now, reason))
        self._note(active, status, now)
        del self._runs[active.run.jlgid]

    def _abort_runs(self) -> None:
        now = time.monotonic()
        for active in tuple(self._runs.values()):
            if active.session is not None:
                self.pool.discard(active.session)
                active.session = None
            if active.jslid is not None:
                self._outbox.end_step(active.jslid, Ended(ABORTED, None, now), CANCELLED)
            active.detail = CANCELLED
            self._end_run(active, ABORTED, now)

    def _note(self, active: ActiveRun, status: str, now: float) -> None:
        this = active.run
        duration = f"{max(0.0, now - active.since_seconds):.6f} seconds"
        words, show = run.RUN_STATUS_WORDS[status], self.encoding.show
        self._reports[this.jlgid] = (
            this.jlgid, this.jobid, show(this.jobname), words, this.started, duration, show(active.detail),
        )  # fmt: skip

    # Answers of the books

    def _take_answers(self, answers: Answers, now: float) -> None:
        self._take_lost(answers.lost, now)
        self._take_settled(answers.settled, now)
        if self.books.registered and not self.books.is_unsure and self._has_batch and not self._aborting:
            # The control session goes on while this one reads its new runs, of which it need not know.
            self._keep_books(now)
        self._unread_runs -= answers.new_runs
        self._take_claimed(answers.claimed, now)
        self._cancel_runs(answers.cancelled, now)
        # Last: a run that was found to be parked may come back in the same moment.
        for row in answers.adopted:
            self._take_adopted(row, now)

    def _take_settled(self, settled: Settled, now: float) -> None:
        self.complaints.update({message: sqlstate for sqlstate, message in settled.complaints})
        for jlgid, jslid in settled.begun.items():
            self._take_begun(jlgid, jslid, now)
        for jlgid, jslid in settled.parked.items():
            self._take_parked(jlgid, jslid, now)
        for jlgid, message in settled.refused.items():
            self._give_up(jlgid, INTERNAL_FAILURE, f"could not be logged: {message}", now)
        for jlgid in settled.given_up:
            self._give_up(jlgid, ABORTED, "is not begun: another agent has given the run up", now)

    def _take_lost(self, rows: list[Row], now: float) -> None:
        """Runs that another agent has given up while this one was not registered: what they have left is not sent."""
        for row in rows:
            active = self._runs.get(int(row[0] or b"0"))
            if active is not None:
                if active.session is not None:
                    self.pool.discard(active.session)
                    active.session = None
                self._give_up(active.run.jlgid, ABORTED, "goes no further: another agent has given the run up", now)

    def _take_begun(self, jlgid: int, jslid: int | None, now: float) -> None:
        active = self._runs.get(jlgid)
        if active is not None and jslid is None and active.run.steps[0].attempt > 1:
            self._give_up(jlgid, ABORTED, "is not tried again: it was deleted", now)
        elif active is not None:
            active.jslid, active.begun = jslid, True
        elif jslid is not None:
            self._outbox.end_step(jslid, Ended(ABORTED, None, now), "aborted before it was sent: the run has ended")

    def _give_up(self, jlgid: int, status: str, reason: str, now: float) -> None:
        active = self._runs.get(jlgid)
        if active is not None:
            active.detail = f'step "{active.run.steps[0].name}" {reason}'
            self._end_run(active, status, now)

    def _take_claimed(self, rows: list[Row], now: float) -> None:
        """New runs."""
        for data, jslid, refusal, *_ in rows:
            active = self._take_run(data, now)
            this = active.run
            if refusal is not None:
                self._refuse(active, jslid, refusal, now)
            elif not this.steps:
                self._end_run(active, SUCCEEDED, now)
            elif jslid is not None:
                active.jslid, active.begun = int(jslid), True
            else:
                self._next_step(active)

    def _take_run(self, data: bytes | None, since_seconds: float) -> ActiveRun:
        this = run.load_run(data or b"", self.encoding)
        active = self._runs[this.jlgid] = ActiveRun(this, since_seconds)
        if this.timeout_seconds is not None:
            active.deadline_seconds = since_seconds + this.timeout_seconds
        return active

    def _refuse(self, active: ActiveRun, jslid: bytes | None, refusal: bytes, now: float) -> None:
        """The run may not start: its log says why, at its first step, where clients show it."""
        active.detail = self.encoding.decode(refusal)
        if jslid is not None:
            self._outbox.end_step(int(jslid), Ended(ABORTED, None, now), active.detail)
        self._end_run(active, ABORTED, now)

    def _take_adopted(self, row: Row, now: float) -> None:
        """A run whose batch step has ended; the ticker's session has written that step's log."""
        data, ending, age, cancelled_by = row
        active = self._take_run(data, now - float(age or b"0"))
        outcome = Outcome((ending or b"").decode(), None, SCRIPT_ENDINGS[(ending or b"").decode()])
        step = active.run.steps[0]
        # A failed attempt that another one was to follow has been logged as failed, whatever a failure counts for.
        has_retry = outcome.ending == FAILED and run.retry_delay(step, outcome.sqlstate, 0.0) is not None
        status = FAILED if has_retry else run.judge_step(outcome.ending, step.on_error)
        active.stop = self._stop_of_adopted(active, cancelled_by, now)
        if active.stop is not None and status in (FAILED, ABORTED):
            active.detail = f'step "{step.name}": {active.stop.reason}'
            self._end_run(active, active.stop.run_status or status, now)
        elif not self._retry(active, outcome, now):
            self._go_on(active, status, outcome.output, now)

    def _stop_of_adopted(self, active: ActiveRun, cancelled_by: bytes | None, now: float) -> Stop | None:
        """Why the run may not go on: the next step, if there is one, is begun only in the log."""
        if now >= active.deadline_seconds:
            return Stop(FAILED, f"aborted: the run has taken longer than jobtimeout, {active.run.timeout_seconds:g} s")
        if cancelled_by is not None:
            return Stop(ABORTED, f"cancelled by {self.encoding.decode(cancelled_by)}")
        return None

    def _take_parked(self, jlgid: int, jslid: int | None, now: float) -> None:
        active = self._runs.get(jlgid)
        if active is None:
            return
        if jslid is None:
            self._end_step(active, Outcome(FAILED, None, STEP_DELETED), now)
            return
        del self._runs[jlgid]
        self.parked.append(jlgid)
