"""The batch session: takes batch steps, runs their scripts, reports how they ended.

Its backend is the agent of those runs: when the session ends, the server gives them up, and so must we.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from dataclasses import dataclass

from pgagent_ticker.connection import Connection, ConnectionLost, QueryFailed, Row
from pgagent_ticker.events import Detail
from pgagent_ticker.guardian import Guardian
from pgagent_ticker.output import escape, shorten
from pgagent_ticker.rules import Rules
from pgagent_ticker.scripts import NOT_STARTED, BatchStep, Outcome, Script
from pgagent_ticker.session_loop import SessionLoop, Terms

# At least one row: the lease may be changed at any time.
TAKE = """
select pg_catalog.date_part('epoch', t.agent_lease),
       s.jslid, s.jlgid, s.jobid, s.jobname, s.jstid, s.jstname, s.code, s.output_limit,
       pg_catalog.date_part('epoch', s.time_limit),
       pg_catalog.rtrim(pg_catalog.rtrim(pg_catalog.to_char(
           pg_catalog.timezone('UTC', s.due), 'YYYY-MM-DD HH24:MI:SS.US'), '0'), '.')
from pgagent._shared_settings as t left join pgagent.take_batch_steps($1::text, $2::integer) as s on true"""
CANCELLED = "select c.jslid, c.cancelled_by from pgagent.cancelled_batch_steps() as c"
FINISH = "select pgagent.finish_batch_step($1::integer, $2::integer, $3::text, $4::boolean)"

DATA_EXCEPTION = "22"  # SQLSTATE class: the database's encoding lacks a character
MOST_FULL_ATTEMPTS = 3
LEASE_USED = 0.75  # the part of the lease after which nothing is started
LONGEST_SILENCE_SECONDS = 1.0  # while scripts run: the server takes a silent session for lost


@dataclass(slots=True)
class Report:
    """An outcome on its way to the database."""

    step: BatchStep
    outcome: Outcome
    failures: int = 0
    plain: bool = False

    def values(self) -> tuple[int, int, str, str]:
        """Arguments of finish_batch_step, the output in the form that has a chance.

        As it is, in plain ASCII, or, after several refusals, its end alone.
        """
        output = self.outcome.output
        if self.failures >= MOST_FULL_ATTEMPTS:
            output = shorten(output)
        elif self.plain:
            output = escape(output)
        return self.step.jslid, self.outcome.exit_code, output, "true" if self.outcome.aborted else "false"


class BatchLoop(SessionLoop):
    """Runs batch steps on this host."""

    name = "batch"
    channel = "pgagent_batch"

    def __init__(self, terms: Terms, guardian: Guardian, parallel: int, grace_seconds: float, rules: Rules) -> None:
        super().__init__(terms)
        self._guardian = guardian
        self._parallel = parallel
        self._grace_seconds = grace_seconds
        self._rules = rules
        self._scripts: dict[asyncio.Task[Outcome], Script] = {}
        self._reports: deque[Report] = deque()
        self._lease_seconds = 0.0

    def stop(self) -> None:
        """Take no more steps and end the running scripts; their ends are still reported."""
        super().stop()
        self._abort_all("the ticker was stopped")

    def has_scripts(self) -> bool:
        """Whether any script runs."""
        return bool(self._scripts)

    def kill(self) -> None:
        """End the running scripts at once."""
        for script in self._scripts.values():
            script.kill()

    async def serve(self, connection: Connection) -> None:
        """Take, run and report until stopped and nothing is left to report."""
        prepared = False
        while self._has_work():
            self.wake.clear()
            try:
                if not prepared:
                    await self.prepare(connection)
                    prepared = True
                await self._turn_within_lease(connection)
                self.report_success()
                pause_seconds = self.pulse_seconds()
            except QueryFailed as failure:
                pause_seconds = self.report_failure(failure)
            if self._scripts:
                pause_seconds = min(pause_seconds, LONGEST_SILENCE_SECONDS)
            if self._has_work():
                await connection.idle(self.wake, pause_seconds)

    def _has_work(self) -> bool:
        return not self.stopping or bool(self._scripts) or bool(self._reports)

    async def _turn_within_lease(self, connection: Connection) -> None:
        """A turn. Who has scripts and gets no answer for a whole lease has lost their runs to another agent."""
        patience_seconds = self._lease_seconds if self._scripts and self._lease_seconds else None
        try:
            await asyncio.wait_for(self._turn(connection), patience_seconds)
        except asyncio.TimeoutError:
            raise ConnectionLost(f"no answer for {self._lease_seconds:g} s, the lease of this session") from None

    async def _turn(self, connection: Connection) -> None:
        # Also when no slot is free: what was notified of is taken when one becomes free.
        connection.forget_notifications()
        refusal = await self._send_reports(connection)
        free = self._parallel - len(self._scripts) - len(self._reports)
        if not self.stopping:
            # Also without a free slot: it is the sign of life that the runs of this session depend on.
            asked = asyncio.get_running_loop().time()
            answers = await connection.fetch_prepared(TAKE, self.station, max(0, free))
            self._lease_seconds = float(answers[0][0] or 0) if answers else 0.0
            rows = [answer[1:] for answer in answers if answer[1] is not None]
            if rows and asyncio.get_running_loop().time() - asked > self._lease_seconds * LEASE_USED:
                raise ConnectionLost("this process stood still: its steps may have been given up")
            for row in rows:
                self._start(_read_step(row))
        if self._scripts:
            await self._end_cancelled(connection)
        if refusal is not None:
            raise refusal
        if os.getpid() == 1 and not self._scripts:
            reap_orphans()

    async def _end_cancelled(self, connection: Connection) -> None:
        cancelled = {int(jslid or 0): who for jslid, who in await connection.fetch_prepared(CANCELLED)}
        for script in self._scripts.values():
            if script.step.jslid in cancelled:
                script.abort(f"cancelled by {cancelled[script.step.jslid]}")

    def _start(self, step: BatchStep) -> None:
        script = Script(step, self._guardian, self._grace_seconds, self._rules)
        task = asyncio.ensure_future(script.run())
        self._scripts[task] = script
        task.add_done_callback(self._take_outcome)
        self.log.debug("script started", **_identify(step))
        if self.stopping:  # the answer was under way when the ticker was told to stop
            script.abort("the ticker was stopped")

    def _take_outcome(self, task: asyncio.Task[Outcome]) -> None:
        step = self._scripts.pop(task).step
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.log.error("internal error", reason=repr(error), **_identify(step))
            outcome = Outcome(NOT_STARTED, f"[internal error of the ticker: {error!r}]\n")
        else:
            outcome = task.result()
        self._reports.append(Report(step, outcome))
        self.wake.set()
        aborted = "yes" if outcome.aborted else None
        self.log.debug("script ended", exit_code=outcome.exit_code, aborted=aborted, **_identify(step))

    async def _send_reports(self, connection: Connection) -> QueryFailed | None:
        """Report each outcome once; a refused one stays in the queue. Returns a refusal, if there was one."""
        refusal = None
        for _ in range(len(self._reports)):
            report = self._reports.popleft()
            try:
                await self._send_report(connection, report)
            except QueryFailed as failure:
                report.failures += 1
                self._reports.append(report)
                refusal = failure
        return refusal

    async def _send_report(self, connection: Connection, report: Report) -> None:
        try:
            rows = await connection.fetch_prepared(FINISH, *report.values())
        except QueryFailed as failure:
            if report.plain or not failure.sqlstate.startswith(DATA_EXCEPTION):
                raise
            report.plain = True
            rows = await connection.fetch_prepared(FINISH, *report.values())
        if rows[0][0] == "f":
            self.log.debug("step is no longer ours", **_identify(report.step))

    def _abort_all(self, reason: str) -> None:
        for script in self._scripts.values():
            script.abort(reason)

    async def after_loss(self) -> None:
        """The server has given up the runs of this session: end their scripts before any starts anew."""
        if self._scripts:
            self.log.warning("ending the scripts of the lost session", scripts=len(self._scripts))
            self._abort_all("the connection to the database was lost")
            await asyncio.wait(list(self._scripts))
        if self._reports:
            self.log.warning("outcomes that could not be reported", scripts=len(self._reports))
        self._reports.clear()


def _identify(step: BatchStep) -> dict[str, Detail]:
    return {"run": step.jlgid, "job": step.jobid, "step": step.jstid, "name": step.jobname}


def _read_step(row: Row) -> BatchStep:
    jslid, jlgid, jobid, jobname, jstid, jstname, code, output_limit, time_limit, due = row
    return BatchStep(
        int(jslid or 0), int(jlgid or 0), int(jobid or 0), jobname or "", int(jstid or 0), jstname or "",
        code or "", int(output_limit or 0), None if time_limit is None else float(time_limit), f"{due}+00",
    )  # fmt: skip


def reap_orphans() -> None:
    """As the first process of a container the ticker inherits what its scripts left behind."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
