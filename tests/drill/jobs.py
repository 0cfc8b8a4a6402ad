"""The jobs of a drill. Their steps leave evidence; the names of the steps say what they must have left.

A ``clean`` step fails only when something happens to it: logged as succeeded, it has been done, once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg import Connection

from drill.plan import Plan
from harness import Step, add_job, batch_step, sql_step

TOUCHED_SHARE = 0.4
"""Which part of the jobs clients may change."""

_LIMITS = """
update pgagent.pga_jobstep
   set jsttimeout = %s::interval, jstretries = %s, jstretrydelay = '0.2 s'
 where jstjobid = %s and jstname = %s
"""
_SCHEDULE = """
insert into pgagent.pga_schedule (jscjobid, jscname, jscstart, jscinterval)
values (%s, 'drill', date_trunc('second', now()) + interval '3 s', make_interval(secs => %s))
returning jscstart, jscinterval
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: the label of its job, its number, and where evidence goes that is not in the database."""

    label: str
    number: int
    file: Path
    remote: str

    def sql(self, work: str) -> str:
        """Code that does some work between two pieces of evidence; the first stays even if the work fails."""
        note = f"select drill.note('{self.label}', {self.number}, '%s')"
        return f"begin; {note % 'begin'}; commit; {work}; {note % 'end'}"

    def script(self, work: str) -> str:
        """The same for a batch step."""
        note = f'echo "{self.label}|{self.number}|$PGAGENT_RUNID|%s|$(date +%%s.%%N)" >> {self.file}'
        return f"{note % 'begin'}\n{work}\n{note % 'end'}"


@dataclass(frozen=True, slots=True)
class DrillStep:
    """A step, whether it is clean, and its limits."""

    step: Step
    clean: bool = True
    timeout: str | None = None
    retries: int = 0


def _short(place: Place, _: random.Random) -> DrillStep:
    return DrillStep(sql_step(place.sql("select 1")))


def _long(place: Place, rng: random.Random) -> DrillStep:
    return DrillStep(sql_step(place.sql(f"select pg_sleep({rng.uniform(0.05, 1.5):.2f})")))


def _remote(place: Place, rng: random.Random) -> DrillStep:
    return DrillStep(sql_step(place.sql(f"select pg_sleep({rng.uniform(0, 0.5):.2f})"), connstr=place.remote))


def _retried(place: Place, rng: random.Random) -> DrillStep:
    work = f"select 1 / (random() < {rng.uniform(0.2, 0.9):.1f})::int"
    return DrillStep(sql_step(place.sql(work)), retries=rng.choice([1, 3]))


def _too_long(place: Place, rng: random.Random) -> DrillStep:
    step = sql_step(place.sql("select pg_sleep(20)"), on_error=rng.choice("fsi"))
    return DrillStep(step, clean=False, timeout="0.3 s")


def _failing(place: Place, rng: random.Random) -> DrillStep:
    return DrillStep(sql_step(place.sql("select 1/0"), on_error=rng.choice("fsi")), clean=False)


def _script(place: Place, rng: random.Random) -> DrillStep:
    return DrillStep(batch_step(place.script(f"sleep {rng.choice([0, 0, 0.3, 1])}")))


def _failing_script(place: Place, rng: random.Random) -> DrillStep:
    step = batch_step(place.script("echo fails; exit 3"), on_error=rng.choice("fsi"))
    return DrillStep(step, clean=False, retries=rng.choice([0, 1]))


def _endless_script(place: Place, _: random.Random) -> DrillStep:
    return DrillStep(batch_step(place.script("sleep 20"), on_error="i"), clean=False, timeout="0.4 s")


_KINDS: dict[Callable[[Place, random.Random], DrillStep], int] = {
    _short: 30,
    _long: 25,
    _remote: 8,
    _retried: 8,
    _too_long: 3,
    _failing: 10,
    _script: 10,
    _failing_script: 3,
    _endless_script: 1,
}


@dataclass(frozen=True, slots=True)
class Maker:
    """Adds jobs. ``file``: for the evidence of scripts; ``remote``: conninfo of the database, as if it were another."""

    plan: Plan
    file: Path
    remote: str

    def add_all(self, conn: Connection[Any]) -> None:
        """Add the jobs of the plan, a schedule each; those that clients do not touch are planned."""
        rng = self.plan.stream("jobs")
        for number in range(self.plan.jobs):
            is_touched = rng.random() < TOUCHED_SHARE
            self.add(conn, f"{'touched' if is_touched else 'planned'} {number}", rng)
        conn.execute("""
            insert into drill.planned
            select j.jobid, s.jscstart, s.jscinterval
              from pgagent.pga_job j join pgagent.pga_schedule s on s.jscjobid = j.jobid
             where j.jobname like 'planned%'
        """)

    def add(self, conn: Connection[Any], label: str, rng: random.Random) -> None:
        """Add one job in one transaction."""
        places = [Place(label, number, self.file, self.remote) for number in range(1, rng.choice([1, 1, 2, 3, 4]) + 1)]
        steps = [_make_step(place, rng) for place in places]
        with conn.transaction():
            jobid = add_job(conn, label, *[made.step for made in steps])
            for made in steps:
                if made.timeout or made.retries:
                    conn.execute(_LIMITS, (made.timeout, made.retries, jobid, made.step.name))
            conn.execute(_SCHEDULE, (jobid, rng.choice(self.plan.every_seconds)))
            if rng.random() < 0.05:
                conn.execute("update pgagent.pga_job set jobtimeout = '1 s' where jobid = %s", (jobid,))


def _make_step(place: Place, rng: random.Random) -> DrillStep:
    (kind,) = rng.choices([*_KINDS], weights=[*_KINDS.values()])
    made = kind(place, rng)
    name = f"{place.number} {'clean' if made.clean else 'dirty'} {kind.__name__.strip('_')}"
    return replace(made, step=replace(made.step, name=name))
