"""After the storm: whether all works again, and whether what the books say is what has happened."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from drill.plan import LEASE_SECONDS
from drill.site import Site
from drill.storm import Diary
from harness.waiting import wait_until

GRACE_SECONDS = 15.0
"""How late after the storm a job may run again: its agents' leases, their reconnects, a queue of jobs."""

END_SECONDS = 30.0

_LATE_JOBS = """
select jobid, jobname, jobenabled, jobnextrun, jobagentid
  from pgagent.pga_job j
 where not exists (select from pgagent.pga_joblog l
                    where l.jlgjobid = j.jobid and l.jlgstart > %s and l.jlgstatus <> 'r')
"""
_ADD_EVIDENCE = """
insert into drill.evidence (label, step, jlgid, phase, at) values (%s, %s, %s, %s, to_timestamp(%s::float8))
"""
_WORKING = "select jobid, jobname, jobagentid from pgagent.pga_job where jobagentid is not null"
_INVARIANTS = "select * from pgagent.check_invariants()"

# All of them answer nothing when the books are true. Schedules are asked only where no client has interfered.
_QUESTIONS = {
    "a due time has had two runs": """
        select jobid, due, array_agg(at) from drill.claim group by jobid, due having count(*) > 1
    """,
    "a claim without a run, or a run without a claim": """
        select c.jobid, r.jobid, c.due, c.at, r.jlgid
          from drill.claim c full join drill.run r on r.xid = c.xid and r.jobid = c.jobid
         where c.jobid is null or r.jobid is null
    """,
    "a due time was lost": """
        select p.jobid, due.at,
               (select array_agg(row (c.due, c.at) order by c.at) from drill.claim c
                 where c.jobid = p.jobid and c.due between due.at - interval '1 min' and due.at + interval '1 min')
          from drill.planned p
         cross join generate_series(p.first, %(end)s, p.every) due (at)
         where not exists (select from drill.claim c where c.jobid = p.jobid and c.due = due.at)
           and not exists (select from drill.claim c
                            where c.jobid = p.jobid
                              and c.due < due.at
                              and due.at <= coalesce((select min(r.at) from drill.release r
                                                       where r.jobid = c.jobid and r.at >= c.at), 'infinity'))
    """,
    "a run that did not succeed says nothing": """
        select jlgid, jlgjobid, jlgstatus, jlgstart, jlgduration from pgagent.pga_joblog
         where jlgstatus in ('f', 'i', 'd') and coalesce(jlgreason, '') = ''
    """,
    "a run at a time that no schedule says": """
        select c.jobid, c.due, p.first, p.every
          from drill.claim c join drill.planned p on p.jobid = c.jobid
         where mod(extract(epoch from c.due - p.first), extract(epoch from p.every)) <> 0
    """,
    "the next run of a free job was changed by nobody who may": """
        select jobid, was, becomes, application, at from drill.change where application not like 'drill%%'
    """,
    "what was written as ended was written again": "select * from drill.rewrite",
    "a step was done more often than its log says": """
        select e.label, e.step, e.jlgid, e.phase, count(*), l.logged
          from drill.evidence e
         cross join lateral (
             select count(*) as logged
               from pgagent.pga_jobsteplog s join pgagent.pga_jobstep t on t.jstid = s.jsljstid
              where s.jsljlgid = e.jlgid and split_part(t.jstname, ' ', 1)::int = e.step) l
         where e.label like 'planned%%'
         group by e.label, e.step, e.jlgid, e.phase, l.logged
        having count(*) > l.logged
    """,
    "a step was logged as succeeded but not done": """
        select j.jobname, s.jsljlgid, s.jslid, t.jstname, s.jslstart, s.jsloutput
          from pgagent.pga_jobsteplog s
          join pgagent.pga_jobstep t on t.jstid = s.jsljstid
          join pgagent.pga_job j on j.jobid = t.jstjobid
         where s.jslstatus = 's'
           and t.jstname like '%% clean %%'
           and not exists (select from drill.evidence e
                            where e.label = j.jobname and e.jlgid = s.jsljlgid and e.phase = 'end'
                              and e.step = split_part(t.jstname, ' ', 1)::int)
    """,
    "a run that has succeeded has not had all its steps": """
        select l.jlgid, l.jlgjobid, count(distinct s.jsljstid)
          from pgagent.pga_joblog l left join pgagent.pga_jobsteplog s on s.jsljlgid = l.jlgid
         where l.jlgstatus = 's'
         group by l.jlgid, l.jlgjobid
        having count(distinct s.jsljstid) <> (select count(*) from pgagent.pga_jobstep where jstjobid = l.jlgjobid)
    """,
    "a run has failed, but its last step has not": """
        select l.jlgid, l.jlgjobid, string_agg(s.jslstatus, '' order by s.jslid)
          from pgagent.pga_joblog l left join pgagent.pga_jobsteplog s on s.jsljlgid = l.jlgid
         where l.jlgstatus = 'f'
         group by l.jlgid, l.jlgjobid
        having coalesce(string_agg(s.jslstatus, '' order by s.jslid) !~ '[fd]$', l.jlgduration < '1 s')
    """,
    "two runs of a job at once, says the log": """
        select a.jlgjobid, a.jlgid, a.jlgstatus, a.jlgstart, a.jlgduration, b.jlgid, b.jlgstatus, b.jlgstart
          from pgagent.pga_joblog a
          join pgagent.pga_joblog b on b.jlgjobid = a.jlgjobid and b.jlgid > a.jlgid
         where b.jlgstart < a.jlgstart + a.jlgduration - interval '5 ms'
    """,
    "two runs of a job at once, say its steps": """
        select a.label, a.step, a.jlgid, a.at, b.step, b.jlgid, b.at
          from drill.evidence a
          join drill.evidence b on b.label = a.label and b.jlgid > a.jlgid
         where a.at > b.at
    """,
    "an end without a duration": """
        select 'run', jlgid, jlgstatus from pgagent.pga_joblog where jlgstatus <> 'r' and jlgduration is null
        union all
        select 'step', jslid, jslstatus from pgagent.pga_jobsteplog where jslstatus <> 'r' and jslduration is null
    """,
}
_FIGURES = {
    "runs": "select count(*) from pgagent.pga_joblog",
    "runs that succeeded, failed, were aborted, internal": """
        select concat_ws(' / ', count(*) filter (where jlgstatus = 's'), count(*) filter (where jlgstatus = 'f'),
                         count(*) filter (where jlgstatus = 'd'), count(*) filter (where jlgstatus = 'i'))
          from pgagent.pga_joblog
    """,
    "steps": "select count(*) from pgagent.pga_jobsteplog",
    "evidence": "select count(*) from drill.evidence",
    "due times of planned jobs": """
        select count(*) from drill.planned p cross join generate_series(p.first, %(end)s, p.every)
    """,
    "of these passed during an earlier run, or while nobody was there": """
        select count(*)
          from drill.planned p cross join generate_series(p.first, %(end)s, p.every) due (at)
         where not exists (select from drill.claim c where c.jobid = p.jobid and c.due = due.at)
    """,
    "claimed late by seconds, median / 99 percent / most": """
        select concat_ws(' / ', round(percentile_cont(0.5) within group (order by s)::numeric, 3),
                         round(percentile_cont(0.99) within group (order by s)::numeric, 3), round(max(s)::numeric, 3))
          from (select extract(epoch from at - due)::float8 as s from drill.claim) late
    """,
}
_SUSPICIOUS = re.compile(
    r"PANIC|deadlock detected|terminated by signal (6|11)|internal error|Traceback \(most recent call last\):$"
    r"|ERROR:  (\w+\.)*(?!QueryCanceled|LockNotAvailable|DiskFull|AdminShutdown)[A-Z]\w+: "
    r"(?!could not open the engine|canceling statement)"  # a cancel during a warning has not the name of a cancel
)
_NO_TRACEBACK = re.compile(r"CONTEXT:  Traceback")
"""Of an error that PL/Python reports; its line is judged."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``violations`` is empty, or the drill has failed."""

    figures: dict[str, str]
    violations: list[str]


def judge(site: Site, diary: Diary) -> Verdict:
    """Wait until all works again, stop the agents and read the books."""
    violations = [f"during the storm: {line}" for line in dict.fromkeys(diary.broken)]
    figures = {"looks at the invariants during the storm": str(diary.looks)}
    with site.connect("drill judge", options="-c timezone=UTC") as conn:
        end = _fetch(conn, "select now()")[0][0]
        violations += _recover(site, conn, end, figures)
        violations += _come_to_rest(conn)
        site.stop_agents()
        _load_evidence(site, conn)
        violations += _ask(conn, {"end": end})
        figures.update({name: str(_fetch(conn, query, {"end": end})[0][0]) for name, query in _FIGURES.items()})
    violations += _read_logs(site)
    return Verdict(figures, violations)


def _recover(site: Site, conn: Connection[Any], end: Any, figures: dict[str, str]) -> list[str]:
    """Every job runs again, at its next due time."""
    began = time.monotonic()
    conn.execute("update pgagent.pga_job set jobenabled = true where not jobenabled")
    deadline_seconds = max(site.plan.every_seconds) + GRACE_SECONDS
    found = _wait_for_none(conn, _LATE_JOBS, deadline_seconds, end)
    figures["all jobs had run again after seconds"] = f"{time.monotonic() - began:.1f}"
    return [f"a job has not run again within {deadline_seconds:g} s after the storm: {row}" for row in found]


def _come_to_rest(conn: Connection[Any]) -> list[str]:
    """Nothing is due any more; what runs ends; the invariants hold, and no agent that is gone is left."""
    conn.execute("update pgagent.pga_job set jobenabled = false")
    busy = _wait_for_none(conn, _WORKING, END_SECONDS)
    broken = _wait_for_none(conn, _INVARIANTS, LEASE_SECONDS + GRACE_SECONDS)
    return [f"a job does not end: {row}" for row in busy] + [f"at the end: {': '.join(row)}" for row in broken]


def _wait_for_none(conn: Connection[Any], query: str, deadline_seconds: float, *values: object) -> list[Any]:
    """Wait until a query answers nothing; return what it answers if it always does."""
    try:
        wait_until(lambda: not _fetch(conn, query, values or None), deadline_seconds)
    except AssertionError:
        return _fetch(conn, query, values or None)
    return []


def _load_evidence(site: Site, conn: Connection[Any]) -> None:
    """What scripts have left."""
    rows = [line.split("|") for line in site.evidence.read_text().splitlines()]
    with conn.cursor() as cursor:
        cursor.executemany(_ADD_EVIDENCE, rows)


def _ask(conn: Connection[Any], values: dict[str, Any]) -> list[str]:
    found = []
    conn.execute("set statement_timeout = 0")
    for title, query in _QUESTIONS.items():
        rows = _fetch(conn, query, values)
        found += [f"{title}: {' | '.join(map(str, row))}" for row in rows]
    return found


def _read_logs(site: Site) -> list[str]:
    found = [f"a ticker ended with {ticker.exit_code}" for ticker in site.tickers if ticker.exit_code]
    found += [f"a ticker ended by itself: {log}" for log in site.deserters]
    texts = {"server": site.cluster.log, **{f"ticker {number}": one.log for number, one in enumerate(site.tickers)}}
    for name, text in texts.items():
        lines = [line for line in text.splitlines() if _is_suspicious(line)]
        found += [f"the log of the {name} says: {line[:500]}" for line in lines[:5]]
    left = [str(pid) for pid in site.scripts()]
    return found + ([f"processes of tickers are left: {', '.join(left)}"] if left else [])


def _is_suspicious(line: str) -> bool:
    return _SUSPICIOUS.search(line) is not None and _NO_TRACEBACK.search(line) is None


def _fetch(conn: Connection[Any], query: str, values: object = None) -> list[Any]:
    return conn.execute(query, values or {}).fetchall()  # type: ignore[call-overload,no-any-return]
