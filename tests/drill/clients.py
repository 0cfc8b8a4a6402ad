"""What people do with jobs meanwhile, in transactions that they commit, sometimes late, or roll back."""

from __future__ import annotations

import random

import psycopg
from psycopg.rows import TupleRow

from drill.faults import Fault, NothingToStrike, Work
from drill.site import Site

Connection = psycopg.Connection[TupleRow]

_PICK = "select jobid, jobname from pgagent.pga_job where jobname like 'touched%' order by random() limit 1"
_RUN_NOW = "update pgagent.pga_job set jobnextrun = clock_timestamp() where jobid = %s"
_SWITCH = "update pgagent.pga_job set jobenabled = not jobenabled where jobid = %s"
_SOON = "update pgagent.pga_job set jobnextrun = clock_timestamp() + random() * interval '3 s' where jobid = %s"
_RECOMPUTE = "update pgagent.pga_job set jobnextrun = null where jobid = %s"
_NEW_SCHEDULE = """
    insert into pgagent.pga_schedule (jscjobid, jscname, jscstart, jscinterval)
    values (%s, 'another', now() - interval '1 h', '7 s')
"""
_MOVE_SCHEDULE = "update pgagent.pga_schedule set jscstart = jscstart + interval '1 s' where jscjobid = %s"
_DELETE = "delete from pgagent.pga_job where jobid = %s"
_CANCEL = "select pgagent.cancel_run(jlgid) from pgagent.pga_joblog where jlgstatus = 'r' and jlgjobid = %s"


def _change(site: Site, rng: random.Random, statement: str) -> Work:
    with site.connect("drill client") as conn:
        jobid, _ = _pick(conn)
        conn.execute("begin")
        conn.execute(statement, (jobid,))
        yield from _decide(conn, rng)


def _pick(conn: Connection) -> tuple[int, str]:
    found = conn.execute(_PICK).fetchone()
    if found is None:
        raise NothingToStrike
    return int(found[0]), str(found[1])


def _decide(conn: Connection, rng: random.Random) -> Work:
    if rng.random() < 0.4:
        yield rng.uniform(0.1, 2)
    conn.execute("rollback" if rng.random() < 0.25 else "commit")
    yield 0.0


def run_now(site: Site, rng: random.Random) -> Work:
    """Also of a job that runs."""
    return _change(site, rng, _RUN_NOW)


def run_soon(site: Site, rng: random.Random) -> Work:
    """At an instant of the client's choice."""
    return _change(site, rng, _SOON)


def recompute(site: Site, rng: random.Random) -> Work:
    """As clients of pgAgent do after a change."""
    return _change(site, rng, _RECOMPUTE)


def switch_job(site: Site, rng: random.Random) -> Work:
    """Enable what is disabled, disable what is not."""
    return _change(site, rng, _SWITCH)


def add_schedule(site: Site, rng: random.Random) -> Work:
    """A second one."""
    return _change(site, rng, _NEW_SCHEDULE)


def move_schedule(site: Site, rng: random.Random) -> Work:
    """To other instants."""
    return _change(site, rng, _MOVE_SCHEDULE)


def cancel_run(site: Site, rng: random.Random) -> Work:
    """If the job runs."""
    return _change(site, rng, _CANCEL)


def replace_job(site: Site, rng: random.Random) -> Work:
    """Delete one, which may be running, and add one."""
    with site.connect("drill client") as conn:
        jobid, label = _pick(conn)
        conn.execute("begin")
        conn.execute(_DELETE, (jobid,))
        site.maker().add(conn, f"{label.partition(',')[0]}, {rng.randrange(10**6)}", rng)
        yield from _decide(conn, rng)


CHANGES: dict[Fault, int] = {
    run_now: 6,
    run_soon: 3,
    recompute: 2,
    switch_job: 4,
    add_schedule: 1,
    move_schedule: 2,
    cancel_run: 2,
    replace_job: 1,
}
