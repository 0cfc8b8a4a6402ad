"""The engine's session: calls run_due when something is due, and sleeps exactly until then."""

from __future__ import annotations

import asyncio

from pgagent_ticker.connection import Connection, ConnectionLost, QueryFailed, Row
from pgagent_ticker.session_loop import SessionLoop, Terms
from pgagent_ticker.wakeup import Answer, Pace

SLICE = "1 s"  # a call holds a snapshot, which some steps wait for: it must end now and then
CANCEL_DELAY_SECONDS = 0.05
CANCEL_ANSWER_SECONDS = 3.0

# A row without a status comes last, unless something runs: in how many seconds the next run is due, and how long the
# server took. The question is put after run_due has returned, and sees what it has left.
RUN_DUE = """
with run as materialized (select r.* from pgagent.run_due($1::interval, $2::text) as r)
select r.status, r.jlgid, r.jobid, r.jobname, pg_catalog.date_part('epoch', r.duration), r.detail
from run as r
union all
select null, null, null, null,
       case when next.due > pg_catalog.clock_timestamp()
            then pg_catalog.date_part('epoch', next.due - pg_catalog.clock_timestamp())
            when next.due is not null then 0 end,
       pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::text
from pgagent.next_due($2::text) as next (due)
where not exists (select from run as r where r.status = 'running')"""

RUNNING = "running"
UNFINISHED = (RUNNING, "waiting for ticker")
SUCCEEDED = "succeeded"


class DueLoop(SessionLoop):
    """Keeps the engine going."""

    name = "due"
    channel = "pgagent_due"

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._pace = Pace()
        self._connection: Connection | None = None  # while a call of run_due is in flight
        self._running = False

    def stop(self) -> None:
        """Cancel the call in flight: the engine then cancels its steps and logs them as aborted."""
        super().stop()
        if self._connection:
            self._connection.cancel()

    async def serve(self, connection: Connection) -> None:
        """Call run_due at the right moments until stopped."""
        self._running = False
        prepared = False
        while not self.stopping:
            self.wake.clear()
            try:
                if not prepared:
                    await self.prepare(connection)
                    prepared = True
                await self._turn(connection)
            except QueryFailed as failure:
                if not self.stopping:
                    await connection.idle(self.wake, self.report_failure(failure))
        if self._running:
            await self._cancel_in_flight(connection)

    async def _turn(self, connection: Connection) -> None:
        answer = await self._ask(connection)
        self.report_success()
        pause_seconds = self._pace.pause_seconds(answer, self.pulse_seconds())
        woken = False
        if pause_seconds > 0 and not self.stopping:
            woken = await connection.idle(self.wake, pause_seconds)
        rest_seconds = self._pace.rest_seconds(answer, woken)
        if rest_seconds > 0 and not self.stopping:
            await asyncio.sleep(rest_seconds)

    async def _ask(self, connection: Connection) -> Answer:
        """One call of run_due and, when nothing runs, the time of the next due one."""
        clock = asyncio.get_running_loop().time
        began = clock()
        rows = await self._call_run_due(connection)
        took_seconds = clock() - began
        due_in_seconds = None
        if not self._running:
            due_in, server_took = rows.pop()[-2:]
            if due_in is not None:
                # The next call needs the time to arrive that this one and its answer needed.
                due_in_seconds = float(due_in) - (took_seconds - float(server_took or 0))
        for row in rows:
            self._log_run(row)
        progress = any(row[0] not in UNFINISHED for row in rows)
        return Answer(progress, self._running, due_in_seconds, took_seconds)

    async def _call_run_due(self, connection: Connection) -> list[Row]:
        connection.forget_notifications()
        self._connection = connection
        try:
            rows = await connection.fetch_prepared(RUN_DUE, SLICE, self.station)
        except (QueryFailed, ConnectionLost):
            self._running = False
            raise
        finally:
            self._connection = None
        self._running = any(row[0] == RUNNING for row in rows)
        return rows

    async def _cancel_in_flight(self, connection: Connection) -> None:
        """Steps run on between two calls: begin one more and cancel that."""
        timer = asyncio.get_running_loop().call_later(CANCEL_DELAY_SECONDS, connection.cancel)
        try:
            await asyncio.wait_for(connection.fetch_prepared(RUN_DUE, SLICE, self.station), CANCEL_ANSWER_SECONDS)
        except (QueryFailed, asyncio.TimeoutError):
            pass  # cancelled, as was asked for; or the end of the session ends the steps
        finally:
            timer.cancel()

    def _log_run(self, row: Row) -> None:
        status, jlgid, jobid, jobname, seconds, detail = row
        if status in UNFINISHED:
            return
        emit = self.log.debug if status == SUCCEEDED else self.log.warning
        duration = None if seconds is None else float(seconds)
        emit(f"run {status}", run=jlgid, job=jobid, name=jobname, seconds=duration, detail=detail or None)
