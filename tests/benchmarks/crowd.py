"""A database with very many jobs, none of them due before long, and a long history."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

JOBS = 100_000

_JOBS = """
insert into pgagent.pga_job (jobjclid, jobname)
select 1 + n %% 5, 'job ' || n from generate_series(1, %s) n
"""
_STEPS = """
insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)
select jobid, 'step', 's', current_database(), 'select 1' from pgagent.pga_job
"""
_SCHEDULES = """
insert into pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes, jschours)
select jobid, 'every night', now() + interval '30 days',
       array(select m = jobid % 60 from generate_series(0, 59) m),
       array(select h = jobid / 60 % 24 from generate_series(0, 23) h)
  from pgagent.pga_job
"""
_NEXT_RUNS = "update pgagent.pga_job set jobnextrun = now() + interval '30 days' + jobid * interval '1 s'"
_RUNS = """
insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgstart, jlgduration)
select n, j.ids[1 + n %% array_length(j.ids, 1)], case when n %% 100 = 0 then 'f' else 's' end,
       now() - (%s - n) * interval '1 s', interval '0.1 s'
  from generate_series(1, %s) n, (select array_agg(jobid order by jobid) as ids from pgagent.pga_job) j
"""
_STEP_RUNS = """
insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslresult, jslstart, jslduration, jsloutput)
select l.jlgid, s.jstid, l.jlgstatus, 1, l.jlgstart, l.jlgduration, ''
  from pgagent.pga_joblog l join pgagent.pga_jobstep s on s.jstjobid = l.jlgjobid
 order by l.jlgid
"""
_FORWARD = "select setval('pgagent.pga_joblog_jlgid_seq', %s)"


def add_crowd(conn: Connection[Any]) -> None:
    """Add the jobs, a step and a schedule each, as their owner would: next runs are computed."""
    for statement in (_JOBS, _STEPS, _SCHEDULES):
        conn.execute(statement, (JOBS,) if statement is _JOBS else None)
    conn.execute("vacuum analyze")


def add_crowd_of_rival(conn: Connection[Any]) -> None:
    """The same for pgAgent, whose triggers would compute for many minutes: the next runs are written."""
    conn.execute("set session_replication_role = replica")
    add_crowd(conn)
    conn.execute(_NEXT_RUNS)
    conn.execute("reset session_replication_role")
    conn.execute("vacuum analyze")


def add_history(conn: Connection[Any], runs: int) -> None:
    """Add a run of a step each; foreign keys, which hold, are not checked: it takes half the time."""
    conn.execute("set session_replication_role = replica")
    conn.execute(_RUNS, (runs, runs))
    conn.execute(_STEP_RUNS)
    conn.execute("reset session_replication_role")
    conn.execute(_FORWARD, (runs,))
    conn.execute("vacuum analyze")
