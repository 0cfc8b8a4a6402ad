"""What the views cost with a million log rows: what is asked for often reads few of them. No time is measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster, value
from harness.cluster import Database
from harness.people import People
from harness.plans import explain, nodes

Session = Connection[TupleRow]

# 1,000 jobs of four owners, a million runs, the steps of the latest hundred thousand; one run in a thousand failed,
# ten go on. The index of the runs by job is made at the end, because that takes a third of the time.
FILL = """
    set session_replication_role = replica;
    insert into pgagent.pga_job (jobid, jobjclid, jobname, jobowner, jobnextrun, jobagentid)
    select i, 1, 'job ' || i, (array['alice', 'bob', 'team', 'dba'])[1 + i % 4], now() + interval '1 day',
           case when i <= 10 then 1 end
      from generate_series(1, 1000) i;
    insert into pgagent.pga_jobstep (jstid, jstjobid, jstname, jstkind, jstdbname, jstcode)
    select i, i, 'step', 's', 'postgres', 'select 1' from generate_series(1, 1000) i;
    insert into pgagent.pga_schedule (jscid, jscjobid, jscname, jscminutes, jschours)
    select i, i, 'schedule', c.jscminutes, c.jschours
      from generate_series(1, 1000) i cross join pgagent.cron('30 2 * * *') c;
    drop index pgagent.pga_joblog_jobid;
    insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgduration)
    select i, 1 + i % 1000, case when i > 999000 and i % 1000 < 10 then 'r' when i % 997 = 0 then 'f' else 's' end,
           i % 60 * interval '1 s'
      from generate_series(1, 1000000) i;
    create index pga_joblog_jobid on pgagent.pga_joblog (jlgjobid, jlgid);
    insert into pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus)
    select i, i, 1 + i % 1000, 's' from generate_series(900001, 1000000) i;
    reset session_replication_role;
    analyze pgagent.pga_job, pgagent.pga_jobstep, pgagent.pga_schedule, pgagent.pga_joblog, pgagent.pga_jobsteplog
"""

# What a person or the command asks for, and how many rows a superuser, and alice, get.
PAGES = {
    "select * from pgagent.jobs order by name limit 50": (50, 50),
    "select * from pgagent.jobs where job = 400": (1, 1),
    "select * from pgagent.jobs where name = 'job 400'": (1, 1),
    "select job, name, next_run, last_status from pgagent.jobs where last_status = 'failed'": (1, 1),
    "select * from pgagent.runs where run = 999400": (1, 0),
    "select * from pgagent.runs where job = 400 order by run desc limit 20": (20, 20),
    "select * from pgagent.runs where status = 'failed' and job = 400": (1, 1),
    "select * from pgagent.runs order by run desc limit 50": (50, 50),
    "select * from pgagent.run_steps where run = 999399 order by step_run": (1, 1),
    "select * from pgagent.run_steps where step = 400 order by step_run desc limit 20": (20, 20),
    "select * from pgagent.run_steps order by step_run desc limit 20": (20, 20),
    "select * from pgagent.running": (10, 5),
    "select * from pgagent.statistics where job = 400": (1, 1),
    "select * from pgagent.statistics where name = 'job 400'": (1, 1),
}
LOGS = {"pga_joblog", "pga_jobsteplog"}
# For a page of jobs: the last run of each of a thousand, and a hundred runs of each of fifty.
MOST_LOG_ROWS = 7000


@pytest.fixture(scope="module")
def readers(cluster: Cluster) -> Iterator[tuple[Session, Session]]:
    """A superuser's and alice's session in a database with long logs; half of them are alice's or her team's."""
    name = cluster.create_database("long_logs").name
    with cluster.connect(name) as superuser, People(superuser, Database(name, cluster.conninfo(name))) as people:
        superuser.execute(FILL)
        yield superuser, people.log_in("alice")
        superuser.execute("set session_replication_role = replica")
        superuser.execute("truncate pgagent.pga_job cascade")
    cluster.drop_database(name)


def rows_read(node: dict[str, Any]) -> int:
    """How many rows a scan has looked at."""
    per_loop = float(node["Actual Rows"]) + float(node.get("Rows Removed by Filter", 0))
    return round(per_loop * int(node["Actual Loops"]))


@pytest.mark.parametrize("query", PAGES)
def test_few_log_rows_are_read(readers: tuple[Session, Session], query: str) -> None:
    for conn, count in zip(readers, PAGES[query], strict=True):
        plan = explain(conn, query, "analyze, timing off,")
        assert plan["Actual Rows"] == count
        scans = [node for node in nodes(plan) if node.get("Relation Name") in LOGS]
        assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
        assert sum(rows_read(node) for node in scans) <= MOST_LOG_ROWS


def plan_of(conn: Session, query: str) -> str:
    return "\n".join(row[0] for row in conn.execute(f"explain (verbose) {query}".encode()))


@pytest.mark.parametrize("view", ["jobs", "runs", "run_steps", "running", "statistics"])
def test_function_of_a_view_is_put_into_the_query(readers: tuple[Session, Session], view: str) -> None:
    for conn in readers:
        assert f"Function Scan on pgagent._{view}" not in plan_of(conn, f"select * from pgagent.{view}")


def test_what_is_not_asked_for_is_not_computed(readers: tuple[Session, Session]) -> None:
    for conn in readers:
        assert "_describe_schedule" in plan_of(conn, "select schedule from pgagent.jobs")
        plan = plan_of(conn, "select job, name, next_run from pgagent.jobs")
        assert "_describe_schedule" not in plan
        assert "array_agg" not in plan
        assert "jobsteplog" not in plan_of(conn, "select run, status from pgagent.runs order by run desc limit 50")


def test_page_of_jobs_tells_the_schedules_of_its_own_jobs_alone(readers: tuple[Session, Session]) -> None:
    superuser, _ = readers
    superuser.execute("set track_functions = 'all'")
    calls = "select pg_stat_get_xact_function_calls('pgagent._describe_schedule(int4, float8)'::regprocedure)"
    with superuser.transaction():
        superuser.execute("select * from pgagent.jobs order by name limit 50")
        assert value(superuser, calls) == 50
