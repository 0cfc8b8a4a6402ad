"""One drill, from the plan to the report."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drill.plan import Plan
from drill.site import Site
from drill.storm import Diary, Storm
from drill.verdict import judge

SHOWN_PER_KIND = 5

_TABLES = (
    "drill.claim",
    "drill.release",
    "drill.change",
    "drill.run",
    "drill.rewrite",
    "drill.evidence",
    "drill.planned",
    "pgagent.pga_job",
    "pgagent.pga_jobstep",
    "pgagent.pga_joblog",
    "pgagent.pga_jobsteplog",
    "pgagent.pga_jobagent",
    "pgagent._batch_step",
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a drill has found. ``directory``: the books, logs and diary of a drill that has failed."""

    plan: Plan
    seconds: float
    faults: dict[str, int]
    figures: dict[str, str]
    violations: list[str]
    directory: Path | None

    def __str__(self) -> str:
        plan = self.plan
        faults = ", ".join(f"{name} {number}" for name, number in sorted(self.faults.items()))
        lines = [
            f"seed {plan.seed}: {plan.jobs} jobs, {plan.agents} agents, a storm of {plan.storm_seconds:g} s",
            f"seconds in all: {self.seconds:.0f}",
            f"faults and changes: {sum(self.faults.values())}: {faults}",
            *(f"{name}: {figure}" for name, figure in self.figures.items()),
            *self._failures(),
        ]
        return "\n".join(lines)

    def _failures(self) -> Iterator[str]:
        if not self.violations:
            yield "the books are true"
            return
        kinds: dict[str, list[str]] = {}
        for line in self.violations:
            kinds.setdefault(line.partition(": ")[0], []).append(line)
        for lines in kinds.values():
            yield f"VIOLATED {len(lines)} times:"
            yield from (f"  {line}" for line in lines[:SHOWN_PER_KIND])
        yield f"books, logs and diary: {self.directory}"


def run_drill(plan: Plan) -> Report:
    """Make a site, let the storm rage, judge. Needs the extension installed; takes a minute more than the storm."""
    began = time.monotonic()
    diary = Diary()
    with _directory() as directory, Site(plan, directory) as site:
        Storm(site, diary).rage()
        verdict = judge(site, diary)
        kept = _keep(site, diary, verdict.violations) if verdict.violations else None
    return Report(plan, time.monotonic() - began, dict(diary.faults), verdict.figures, verdict.violations, kept)


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pgagent_py-drill-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _keep(site: Site, diary: Diary, violations: list[str]) -> Path:
    """Write everything that explains what has happened into a directory that stays."""
    directory = Path(tempfile.mkdtemp(prefix=f"pgagent_py-drill-{site.plan.seed}-"))
    (directory / "violations").write_text("\n".join(violations))
    (directory / "diary").write_text("\n".join(diary.lines))
    (directory / "server.log").write_text(site.cluster.log)
    for number, ticker in enumerate(site.tickers):
        (directory / f"ticker-{number}.log").write_text(ticker.log)
    shutil.copy(site.evidence, directory / "evidence")
    for table in _TABLES:
        with site.admin.cursor().copy(f"copy {table} to stdout csv header") as rows:
            (directory / f"{table}.csv").write_bytes(b"".join(rows))
    return directory
