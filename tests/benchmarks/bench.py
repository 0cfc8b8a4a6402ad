"""What every benchmark gets: a server with real settings, a database of its own, and both engines' jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, wait_until

REAL_SETTINGS: dict[str, str | int] = {"fsync": "on", "full_page_writes": "on", "max_connections": 100}

_ADD_JOBS = """
with job as (
    insert into pgagent.pga_job (jobjclid, jobname)
    select 1, 'job ' || n from generate_series(1, %(jobs)s) n
    returning jobid
), step as (
    insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)
    select jobid, 'step ' || to_char(n, 'FM000'), 's', current_database(), 'select 1'
      from job, generate_series(1, %(steps)s) n
)
insert into pgagent.pga_schedule (jscjobid, jscname, jscstart, jscminutes, jschours)
select jobid, 'every night', now(),
       array(select m = jobid %% 60 from generate_series(0, 59) m),
       array(select h = 3 from generate_series(0, 23) h)
  from job
 where %(scheduled)s
"""

_UNDONE = "select count(*) from pgagent.pga_job where jobagentid is not null or jobnextrun <= now()"


@dataclass(frozen=True, slots=True)
class Bench:
    """The server, how thorough to be, and the version of pgAgent's daemon (None: not installed).

    ``minutes``: how long the soak is to take; None: as long as it does by default.
    """

    cluster: Cluster
    quick: bool
    rival: str | None
    minutes: float | None = None

    def choose(self, thorough: int, quick: int) -> int:
        """Return one number or the other."""
        return quick if self.quick else thorough

    @contextmanager
    def database(self, name: str, *, of_rival: bool = False) -> Iterator[Connection[TupleRow]]:
        """Make a database with the extension of one engine, give a session in it, drop it afterwards."""
        self.cluster.create_database(name, extension=not of_rival)
        try:
            with self.cluster.connect(name) as conn:
                if of_rival:
                    conn.execute("create extension pgagent")
                yield conn
        finally:
            self.cluster.drop_database(name)


@dataclass(frozen=True, slots=True)
class Tally:
    """What the logs say of a burst; ``seconds`` from the first run's start to the last one's end."""

    jobs: int
    runs: int
    succeeded_runs: int
    succeeded_jobs: int
    steps: int
    succeeded_steps: int
    seconds: float

    def faults(self, jobs: int, steps_each: int) -> list[str]:
        """Name what is not as it must be when each job was done once."""
        steps = jobs * steps_each
        expected = Tally(jobs, jobs, jobs, jobs, steps, steps, self.seconds)
        return [] if self == expected else [f"expected {expected}, found {self}"]


_TALLY = """
select (select count(*) from pgagent.pga_job), count(*), count(*) filter (where jlgstatus = 's'),
       count(distinct jlgjobid) filter (where jlgstatus = 's'),
       (select count(*) from pgagent.pga_jobsteplog),
       (select count(*) from pgagent.pga_jobsteplog where jslstatus = 's'),
       coalesce(extract(epoch from max(jlgstart + jlgduration) - min(jlgstart)), 0)::float8
  from pgagent.pga_joblog
"""


def add_jobs(conn: Connection[Any], jobs: int, steps: int = 1, *, scheduled: bool = False) -> None:
    """Add jobs whose steps are all ``select 1``, by request with a nightly schedule each; none is due."""
    conn.execute(_ADD_JOBS, {"jobs": jobs, "steps": steps, "scheduled": scheduled})
    conn.execute("vacuum analyze")


def tidy_up(conn: Connection[Any]) -> None:
    """Give every repetition the same tables: no logs, no dead rows, no dirty pages."""
    conn.execute("truncate pgagent.pga_joblog, pgagent.pga_jobsteplog")
    conn.execute("vacuum pgagent.pga_job")
    conn.execute("checkpoint")


def make_all_due(conn: Connection[Any]) -> None:
    """Make every job due now."""
    conn.execute("update pgagent.pga_job set jobnextrun = now()")


def count_undone(conn: Connection[Any]) -> int:
    """Count the jobs that are due or running."""
    return int(fetch_row(conn, _UNDONE)[0])


def tally(conn: Connection[Any]) -> Tally:
    """Count what the logs hold."""
    return Tally(*fetch_row(conn, _TALLY))


def fetch_row(conn: Connection[Any], statement: str, *values: object) -> tuple[Any, ...]:
    """Return the only row of a query."""
    row = conn.execute(statement, values or None).fetchone()
    assert row is not None
    return tuple(row)


def wait_until_done(conn: Connection[Any], deadline_seconds: float = 120.0) -> None:
    """Wait until no job is due or running."""
    wait_until(lambda: count_undone(conn) == 0, deadline_seconds, "all jobs to be done")
