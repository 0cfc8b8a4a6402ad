"""Faults that a test injects at a point of its choice, and what must hold after every one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from harness.cluster import Database
from harness.jobs import value
from harness.waiting import DEADLINE_SECONDS, wait_until

BOOKS = "pgagent_py engine"
"""Application name of the session in which an engine keeps its books."""

STEPS = "pgagent_py step %"
"""Application names of the sessions of steps, as a pattern of LIKE."""

_RECORDS = Path(__file__).resolve().parents[1] / "drill" / "records.sql"

# Not pg_advisory_lock: the engine's lock_timeout would end the wait. The lock of who stands there is for all to see.
_GATE = """
    create function drill.stand_still() returns trigger language plpgsql as $$
    begin
        if not pg_try_advisory_xact_lock_shared(4713) then
            perform pg_advisory_xact_lock_shared(4714);
            while not pg_try_advisory_xact_lock_shared(4713) loop
                perform pg_sleep(0.01);
            end loop;
        end if;
        return coalesce(new, old);
    end
    $$
"""
_STANDING = """
    select l.pid from pg_locks l join pg_database d on d.oid = l.database
     where l.locktype = 'advisory' and l.objid = 4714 and d.datname = current_database()
"""
_STATE = """
    select format('jobs %s, runs %s, steps %s, agents %s',
        (select json_agg(json_build_array(j.jobid, j.jobagentid, j.jobnextrun)) from pgagent.pga_job j),
        (select json_agg(json_build_array(l.jlgid, l.jlgjobid, l.jlgstatus) order by l.jlgid)
           from pgagent.pga_joblog l),
        (select json_agg(json_build_array(s.jslid, s.jsljlgid, s.jslstatus, s.jsloutput) order by s.jslid)
           from pgagent.pga_jobsteplog s),
        (select json_agg(json_build_array(a.jagpid, a.jagstation, a.jagleaseuntil, pgagent._agent_is_alive(a)))
           from pgagent.pga_jobagent a))
"""
_NEVER = {
    "a due time has had two runs": "select jobid, due from drill.claim group by jobid, due having count(*) > 1",
    "what was written as ended was written again": "select * from drill.rewrite",
    "a run or a step has no end": """
        select 'run', jlgid from pgagent.pga_joblog where jlgstatus = 'r'
        union all
        select 'step', jslid from pgagent.pga_jobsteplog where jslstatus = 'r'
        union all
        select 'job', jobid from pgagent.pga_job where jobagentid is not null
    """,
}


def keep_records(conn: Connection[Any]) -> None:
    """Have the database record every claim and every change of an ended row; ``Gate`` and full disks need it too."""
    conn.execute(_RECORDS.read_text())
    conn.execute(_GATE)


def assert_sound(conn: Connection[Any], deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until agents have cleaned up and nothing runs; then nothing may be wrong, and nothing may have been."""

    def find_faults() -> list[Any]:
        found = conn.execute("select * from pgagent.check_invariants()").fetchall()
        return found + [(title, *row) for title, query in _NEVER.items() for row in conn.execute(query).fetchall()]

    wait_until(
        lambda: not find_faults(), deadline_seconds, lambda: f"a sound state: {find_faults()}; {value(conn, _STATE)}"
    )


def backends(conn: Connection[Any], application: str) -> list[int]:
    """Return the pids of the sessions of this database with such an application name, a pattern of LIKE."""
    query = "select pid from pg_stat_activity where datname = current_database() and application_name like %s"
    return [pid for (pid,) in conn.execute(query, (application,)).fetchall()]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def close_gate(holder: Connection[Any], point: str, condition: str = "true") -> None:
    """Have every session that writes a row at a point stand still there, in its transaction, while ``holder`` lives.

    ``point`` is a trigger's, such as ``before insert on pgagent.pga_joblog``, ``condition`` its WHEN.
    """
    holder.execute("select pg_advisory_lock(4713)")
    holder.execute(f"create trigger gate {point} for each row when ({condition}) execute function drill.stand_still()")


def wait_at_gate(conn: Connection[Any]) -> int:
    """Wait until a session stands at the gate; return its pid."""
    return int(wait_until(lambda: conn.execute(_STANDING).fetchall(), what="a session at the gate")[0][0])


def close_entrance(holder: Connection[Any]) -> None:
    """Let no new session of the server begin before ``holder`` ends: each waits for a lock while it starts."""
    holder.execute("begin")
    holder.execute("lock table pg_catalog.pg_db_role_setting in access exclusive mode")


def sessions_at_entrance(conn: Connection[Any]) -> int:
    """Count the sessions that cannot begin."""
    query = "select count(*) from pg_locks where relation = 'pg_db_role_setting'::regclass and not granted"
    return int(value(conn, query))


def kill_backend(witness: Connection[Any], pid: int) -> None:
    """Kill a server process with -9; returns when the server has ended all its sessions, ``witness`` among them."""
    os.kill(pid, signal.SIGKILL)
    wait_until_unanswered(witness)


def wait_until_unanswered(witness: Connection[Any]) -> None:
    """Wait until the server has ended all its sessions, ``witness`` among them."""
    wait_until(lambda: not _answers(witness), what="the server to end all its sessions")


def connect_when_possible(database: Database) -> Connection[TupleRow]:
    """Open a session in autocommit mode as soon as the server accepts one. The caller closes it."""

    def connect() -> Connection[TupleRow] | None:
        try:
            return psycopg.connect(database.conninfo, autocommit=True)
        except psycopg.OperationalError:
            return None

    return wait_until(connect, what="the server to accept connections")


def _answers(conn: Connection[Any]) -> bool:
    try:
        conn.execute("select")
    except psycopg.OperationalError:
        return False
    return True
