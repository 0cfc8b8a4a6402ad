"""What the policies cost where there are many jobs and long logs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster
from harness.cluster import Database
from harness.people import People
from harness.plans import explain, nodes

Session = Connection[TupleRow]

# 10,000 jobs of four owners, a due one in a hundred, ten runs each.
FILL = """
    set session_replication_role = replica;
    insert into pgagent.pga_job (jobid, jobjclid, jobname, jobowner, jobnextrun)
    select i, 1, 'job ' || i, (array['alice', 'bob', 'team', 'dba'])[1 + i % 4],
           now() + case when i % 100 = 0 then interval '-1 min' else interval '1 day' end
      from generate_series(1, 10000) i;
    insert into pgagent.pga_jobstep (jstid, jstjobid, jstname, jstkind, jstdbname, jstcode)
    select i, i, 'step', 's', 'postgres', 'select 1' from generate_series(1, 10000) i;
    insert into pgagent.pga_schedule (jscid, jscjobid, jscname)
    select i, i, 'schedule' from generate_series(1, 10000) i;
    insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgduration)
    select i, 1 + i % 10000, 's', '1 s' from generate_series(1, 100000) i;
    insert into pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus)
    select i, i, 1 + i % 10000, 's' from generate_series(1, 100000) i;
    reset session_replication_role;
    analyze pgagent.pga_job, pgagent.pga_jobstep, pgagent.pga_schedule, pgagent.pga_joblog, pgagent.pga_jobsteplog
"""
# As pgAdmin asks: for its tree, with the last result of each job; for the statistics of a job; for its steps.
JOB_LIST = """
    select j.jobid, j.jobname, j.jobenabled, j.jobnextrun, j.joblastrun, c.jclname,
           (select l.jlgstatus from pgagent.pga_joblog l where l.jlgjobid = j.jobid order by l.jlgid desc limit 1)
      from pgagent.pga_job j
      join pgagent.pga_jobclass c on c.jclid = j.jobjclid
      left join pgagent.pga_jobagent a on a.jagpid = j.jobagentid
     order by j.jobname
"""
BY_ID = {
    "a job": "select * from pgagent.pga_job where jobid = 4000",
    "its steps": "select * from pgagent.pga_jobstep where jstjobid = 4000 order by jstname",
    "its schedules": "select * from pgagent.pga_schedule where jscjobid = 4000",
    "its runs": "select * from pgagent.pga_joblog where jlgjobid = 4000 order by jlgid desc limit 100",
    "the steps of a run": "select * from pgagent.pga_jobsteplog where jsljlgid = 3999",
    "run now": "update pgagent.pga_job set jobnextrun = now() where jobid = 4000",
    "a changed step": "update pgagent.pga_jobstep set jstcode = 'select 2' where jstid = 4000",
}
DUE = """
    select jobid, jobnextrun from pgagent.pga_job
     where jobenabled and jobagentid is null and jobnextrun <= now() order by jobnextrun, jobid limit 16
"""


@pytest.fixture(scope="module")
def alice(cluster: Cluster) -> Iterator[Session]:
    """Alice's session in a database with many jobs; 5,000 are hers or those of her team."""
    name = cluster.create_database("many_jobs").name
    with cluster.connect(name) as superuser, People(superuser, Database(name, cluster.conninfo(name))) as people:
        superuser.execute(FILL)
        yield people.log_in("alice")
        superuser.execute("set session_replication_role = replica")
        superuser.execute("truncate pgagent.pga_job cascade")
    cluster.drop_database(name)


def scans(conn: Session, query: str) -> dict[str, set[str]]:
    """Which tables of ours a query reads, and how."""
    found: dict[str, set[str]] = {}
    for node in nodes(explain(conn, query)):
        if node["Node Type"].endswith("Scan") and node.get("Relation Name", "").startswith("pga_"):
            found.setdefault(node["Relation Name"], set()).add(node["Node Type"])
    return found


@pytest.mark.parametrize("query", BY_ID.values(), ids=list(BY_ID))
def test_what_belongs_to_one_job_is_found_by_indexes(alice: Session, query: str) -> None:
    for table, ways in scans(alice, query).items():
        assert "Seq Scan" not in ways, (table, ways)


def test_due_jobs_are_found_by_the_index(alice: Session) -> None:
    assert scans(alice, DUE)["pga_job"] <= {"Index Scan", "Index Only Scan"}
    assert len(alice.execute(DUE).fetchall()) == 16


def test_job_list_reads_no_log_as_a_whole(alice: Session) -> None:
    """All jobs are read, once; of their logs, the latest row each."""
    found = scans(alice, JOB_LIST)
    assert "Seq Scan" not in found["pga_joblog"]


def milliseconds(conn: Session, query: str) -> float:
    """The shortest of five times."""
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        conn.execute(query).fetchall()
        found.append((time.perf_counter() - begin) * 1000)
    return min(found)


def test_job_list_does_not_get_slow(alice: Session) -> None:
    """As alice half of the rows come; they may not cost more than some times what all of them cost a superuser."""
    with psycopg.connect(alice.info.dsn, user="postgres", autocommit=True) as superuser:
        superusers = milliseconds(superuser, JOB_LIST)
    alices = milliseconds(alice, JOB_LIST)
    assert len(alice.execute(JOB_LIST).fetchall()) == 5000
    assert alices < 10 * superusers, f"alice {alices:.0f} ms, superuser {superusers:.0f} ms"
