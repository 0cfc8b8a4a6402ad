"""Following jobs that somebody else runs: a ticker, or pgAgent's daemon."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from harness.jobs import Run, Step, StepLog, add_job, make_due, runs, step_logs, value
from harness.waiting import DEADLINE_SECONDS, wait_until

_STATE = """
    select format('job %%s: agent %%s, next run %%s, log %%s, steps %%s, agents %%s',
        j.jobid, j.jobagentid, j.jobnextrun,
        (select string_agg(l.jlgstatus, '' order by l.jlgid) from pgagent.pga_joblog l where l.jlgjobid = j.jobid),
        (select string_agg(concat(s.jslstatus, ' ', s.jsloutput), '; ' order by s.jslid)
           from pgagent.pga_jobsteplog s join pgagent.pga_joblog l on l.jlgid = s.jsljlgid where l.jlgjobid = j.jobid),
        (select string_agg(concat(a.jagpid, ' ', a.jagstation, ' ', pgagent._agent_is_alive(a)), '; ')
           from pgagent.pga_jobagent a))
    from pgagent.pga_job j where j.jobid = %s
"""


def wait_for_runs(
    conn: Connection[Any], jobid: int, count: int = 1, deadline_seconds: float = DEADLINE_SECONDS
) -> list[Run]:
    """Wait until ``count`` runs of a job have ended and the job is free again, and return its runs, oldest first."""

    def find() -> list[Run] | None:
        found = runs(conn, jobid)
        ended = len(found) >= count and all(run.status != "r" for run in found)
        return found if ended and is_free(conn, jobid) else None

    return wait_until(find, deadline_seconds, lambda: f"{count} runs to end; {value(conn, _STATE, jobid)}")


def wait_for_jobs(conn: Connection[Any], jobids: list[int], deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until none of these jobs is due or running."""
    left = (
        "select count(*) from pgagent.pga_job where jobid = any(%s) and (jobagentid is not null or jobnextrun <= now())"
    )
    wait_until(
        lambda: value(conn, left, jobids) == 0,
        deadline_seconds,
        lambda: f"{value(conn, left, jobids)} of {len(jobids)} jobs that are still due or running",
    )


def follow_job(conn: Connection[Any], *steps: Step, name: str = "job") -> tuple[Run, list[StepLog]]:
    """Add a job, make it due, wait until whoever runs it has done so; return its run and that run's step log."""
    jobid = add_job(conn, name, *steps)
    make_due(conn, jobid)
    (run,) = wait_for_runs(conn, jobid)
    return run, step_logs(conn, run)


def is_free(conn: Connection[Any], jobid: int) -> bool:
    """Tell whether no agent has claimed the job."""
    return bool(value(conn, "select jobagentid is null from pgagent.pga_job where jobid = %s", jobid))


def statuses(conn: Connection[Any], jobid: int) -> str:
    """Return the status letters of a job's runs, oldest first."""
    return "".join(run.status for run in runs(conn, jobid))
