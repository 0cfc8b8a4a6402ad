"""The statements that the engine repeats all the time read no table as a whole, planned however early."""

from __future__ import annotations

import json
import re

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness.plans import explain, nodes
from pgagent_py.ledger import IDENTITY, STATEMENTS, WORK, Kind, Statement
from pgagent_py.target import Loopback

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

REPEATED = [each for each in STATEMENTS if each.kind is Kind.ROWS and "from pgagent." in each.sql]
# So few rows that reading all of them is cheap, when it is planned.
FILL = """
    insert into pgagent.pga_job (jobjclid, jobname) select 1, 'job ' || i from generate_series(1, 300) i;
    insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
    select jobid, 'step', 's', 'select 1', 'postgres' from pgagent.pga_job;
    insert into pgagent.pga_schedule (jscjobid, jscname) select jobid, 'schedule' from pgagent.pga_job;
"""
RUN = """
    insert into pgagent.pga_joblog (jlgjobid, jlgstatus) select jobid, 's' from pgagent.pga_job;
    insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)
    select l.jlgid, s.jstid, 's' from pgagent.pga_joblog l join pgagent.pga_jobstep s on s.jstjobid = l.jlgjobid;
"""
FIRST_COLUMNS = """
    select c.relname, a.attname
      from pg_index i
      join pg_class c on c.oid = i.indexrelid
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
     where c.relnamespace = 'pgagent'::regnamespace
"""
MANY_JOBS = """
    insert into pgagent.pga_job (jobjclid, jobname, jobnextrun)
    select 1, 'job ' || i, now() + %s::interval from generate_series(1, 10000) i
"""
# What is bounded by the number of runs that go on.
BOUNDED = {"_batch_step", "pga_job_jobagentid"}


def control_session(connection: Session) -> Session:
    """A session that plans as the engine's own does."""
    info = connection.info
    loopback = Loopback(
        host=info.host,
        port=str(info.port),
        dbname=info.dbname,
        user=info.user,
        overrides="",
        encoding="UTF8",
        connect_timeout_seconds=10,
        session_idle_timeout_seconds=1,
        step_application_name="",
    )
    return psycopg.connect(loopback.control_conninfo().decode(), autocommit=True)


@pytest.mark.parametrize("fill", [FILL, FILL + RUN], ids=["empty logs", "short logs"])
@pytest.mark.parametrize("statement", REPEATED, ids=[each.name.decode() for each in REPEATED])
def test_rows_are_found_by_their_ids(connection: Session, statement: Statement, fill: str) -> None:
    connection.execute(fill.encode())
    connection.execute("analyze")
    first_columns: dict[str, str] = dict(connection.execute(FIRST_COLUMNS).fetchall())
    with control_session(connection) as control:
        control.pgconn.prepare(statement.name, statement.sql.encode())
        parameters = ["null"] * control.pgconn.describe_prepared(statement.name).nparams
        call = f"execute {statement.name.decode()} ({', '.join(parameters)})"
        plan = explain(control, call)
    scans = [each for each in nodes(plan) if "Relation Name" in each and each["Node Type"] != "ModifyTable"]
    assert scans
    for scan in scans:
        if not BOUNDED & {scan["Relation Name"], scan.get("Index Name")}:
            # Without a condition for its first column an index is read from end to end.
            columns = re.findall(r"\w+", scan.get("Index Cond", ""))
            assert first_columns.get(scan.get("Index Name", "")) in columns, json.dumps(scan, indent=1)


@pytest.mark.parametrize("next_run", ["1 day", "-1 min", "-1 day"], ids=["ahead", "due", "overdue"])
def test_looks_read_the_first_jobs_only(connection: Session, next_run: str) -> None:
    """Planned at whatever time: the plan lives as long as the session that calls run_due."""
    connection.execute(MANY_JOBS, (next_run,))
    connection.execute("analyze pgagent.pga_job")
    with psycopg.connect(connection.info.dsn) as caller:
        caller.execute("set plan_cache_mode = force_generic_plan")
        caller.execute(f"prepare look (text, text) as {WORK}".encode())
        caller.execute(f"prepare identity as {IDENTITY}".encode())
        found = [
            scan for call in ("execute look (null, '0 s')", "execute identity") for scan in nodes(explain(caller, call))
        ]
    scans = [scan for scan in found if scan.get("Relation Name") == "pga_job"]
    assert len(scans) > 1
    assert {scan["Node Type"] for scan in scans} <= {"Index Scan", "Index Only Scan"}, json.dumps(scans, indent=1)
