"""The jobs of pg_cron as a jobs document with a report of what has no counterpart.

pg_cron keeps them in the table cron.job of one database of the server. Its times are Vixie cron's, read in the
zone of its setting cron.timezone, besides "30 seconds" and "$" for a month's last day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import class_row

from pgagent_cli.conversion import Conversion, Document, Finding, Owners, make_document, name_command
from pgagent_cli.crontime import NoCounterpart, explain_two, make_schedules, read_times

DEFAULT_ZONE = "GMT"
"""Of pg_cron where cron.timezone is not set, or not known: before 1.5."""

# Columns that older versions lack are null: 1.0 has no active, 1.2 no jobname.
_JOBS = """
select (r.job ->> 'jobid')::int8 as id, r.job ->> 'jobname' as name, r.job ->> 'schedule' as schedule,
       r.job ->> 'command' as command, r.job ->> 'nodename' as host, (r.job ->> 'nodeport')::int4 as port,
       r.job ->> 'database' as database, r.job ->> 'username' as owner,
       coalesce((r.job ->> 'active')::bool, true) as active
  from (select pg_catalog.to_jsonb(j) as job from cron.job j) r
 order by 1
"""
_SERVER = """
select coalesce(nullif(pg_catalog.current_setting('cron.timezone', true), ''), %(zone)s) as timezone,
       pg_catalog.current_setting('port')::int4 as port,
       array_remove(array['localhost', '', pg_catalog.current_setting('cron.host', true)], null) as hosts
"""

_SECONDS = re.compile(r"\s*([1-9][0-9]?)\s+seconds?\s*", re.IGNORECASE)
_LAST_DAY = re.compile(r"^(\s*\S+\s+\S+\s+)\$(\s)")


@dataclass(frozen=True, slots=True)
class Job:
    """A row of cron.job."""

    id: int
    name: str | None
    schedule: str
    command: str
    host: str
    port: int
    database: str
    owner: str
    active: bool


@dataclass(frozen=True, slots=True)
class Server:
    """What the jobs depend on: the zone of their times, and what pg_cron calls its own server."""

    timezone: str
    port: int
    hosts: list[str]


@dataclass(frozen=True, slots=True)
class Options:
    """What is put before the names, and who shall own the jobs; those that nobody is named for keep their user."""

    prefix: str = ""
    owners: Owners = field(default_factory=Owners)


NO_OPTIONS = Options()


def read_jobs(conn: Connection[Any]) -> tuple[Server, list[Job]]:
    """Return the server and the rows of cron.job that the session's role sees: a superuser sees those of all."""
    with conn.transaction(), conn.cursor(row_factory=class_row(Server)) as cursor:
        server = cursor.execute(_SERVER, {"zone": DEFAULT_ZONE}).fetchone()
        assert server is not None
        with conn.cursor(row_factory=class_row(Job)) as rows:
            return server, rows.execute(_JOBS).fetchall()


def convert(server: Server, jobs: Sequence[Job], options: Options = NO_OPTIONS) -> Conversion:
    """Return the jobs of pg_cron and what is to be said about them."""
    made: list[Document] = []
    findings: list[Finding] = []
    for job in jobs:
        place = f"job {job.id}"
        try:
            schedules = _make_schedules(job.schedule, server)
        except NoCounterpart as error:
            findings.append(Finding("left out", place, str(error), error.remedy))
            continue
        made.append(_make_job(job, schedules, server, options))
        findings += _find_differences(job, schedules, server)
    return Conversion(make_document(made), (*findings, *_find_general(jobs)))


def _make_schedules(text: str, server: Server) -> list[dict[str, str]]:
    seconds = _SECONDS.fullmatch(text)
    if seconds:
        return [{"name": text.strip(), "every": f"{int(seconds[1])} s"}]
    # The rows name the zone, or those of pgagent.settings would count.
    return make_schedules(read_times(_LAST_DAY.sub(r"\1L\2", text)), server.timezone)


def _make_job(job: Job, schedules: list[dict[str, str]], server: Server, options: Options) -> Document:
    owner = options.owners.of(job.owner) or job.owner
    return {
        "name": options.prefix + (job.name or name_command(job.command)),
        "owner": owner,
        **({} if job.active else {"enabled": False}),
        "steps": [{"name": "01", "sql": job.command, **_make_target(job, server)}],
        "schedules": schedules,
    }


def _make_target(job: Job, server: Server) -> Document:
    if _is_here(job, server):
        return {"database": job.database}
    where = {"host": job.host, "port": str(job.port), "dbname": job.database, "user": job.owner}
    return {"connection": make_conninfo("", **{name: value for name, value in where.items() if value})}


def _is_here(job: Job, server: Server) -> bool:
    return (job.host in server.hosts or job.host.startswith("/")) and job.port == server.port


def _find_differences(job: Job, schedules: list[dict[str, str]], server: Server) -> Iterator[Finding]:
    place = f"job {job.id}"
    if len(schedules) > 1:
        yield Finding("note", place, explain_two(job.schedule))
    if not _is_here(job, server):
        text = f"it runs on {job.host} port {job.port}: the step has a connection string"
        remedy = "Unless its owner is a superuser, it must hold a password that the other server asks for."
        yield Finding("differs", place, text, remedy)


def _find_general(jobs: Sequence[Job]) -> Iterator[Finding]:
    if not jobs:
        yield Finding("note", "", "no jobs were found", "A role that is no superuser sees its own jobs only.")
        return
    text = "steps log in as the owner of their job"
    yield Finding("note", "", text, "SELECT * FROM pgagent.check_owner('ROLE') says whether that role can.")
    if any(job.active for job in jobs):
        text = "pg_cron goes on running its jobs"
        remedy = "UPDATE cron.job SET active = false ends that (the rows stay), when the jobs are here."
        yield Finding("note", "", text, remedy)
