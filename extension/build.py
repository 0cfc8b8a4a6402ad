#!/usr/bin/env python3
"""Builds the extension's script: one self-contained SQL file out of ../sql and the Python modules in pgagent_py.

Needs nothing but the standard library. The same sources give the same bytes. Writes build/pgagent_py--VERSION.sql
beside this file, or into the directory given as the only argument.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

EXTENSION = Path(__file__).resolve().parent
SQL = EXTENSION.parent / "sql"
MODULES = EXTENSION / "pgagent_py"

TABLES = (
    "pga_jobagent", "pga_jobclass", "pga_job", "pga_jobstep", "pga_calendar", "pga_holiday", "pga_schedule",
    "pga_exception", "pga_joblog", "pga_jobsteplog", "settings", "_shared_settings", "_run_request", "_claimable_job",
    "_batch_step", "_cancel_request", "_prune_walk", "_claim_turn", "event", "_alarm",
)  # fmt: skip
FUNCTIONS = (
    "_may_run_programs", "_python_source", "_python_load", "_check_parameters", "pgagent_schema_version",
    "pga_is_leap_year", "_epoch", "_zone_name", "_next_run_epochs", "_job_next_run", "_recompute", "find_job",
    "next_run", "upcoming", "explain_schedule", "pga_next_schedule", "cron", "_require_schedule", "create_calendar",
    "add_holiday", "create_job", "alter_job", "drop_job", "enable_job", "copy_job", "add_step", "alter_step",
    "drop_step", "add_schedule", "alter_schedule", "drop_schedule", "add_exception", "export_jobs", "apply_jobs",
    "_agent_is_alive", "next_due", "check_invariants", "run_due", "_wait_for_work", "run_until_idle",
    "take_batch_steps", "finish_batch_step", "run_now", "wait_for_run", "cancel_run", "prune_runs", "_tell_alarms",
    "_watch_jobs", "_status_words", "_has_session", "health", "grant_use", "check_owner", "check",
)  # fmt: skip
VIEWS = ("jobs", "runs", "run_steps", "running", "calendar", "statistics")
TRIGGERS = (
    "_run_request", "_cancel_request", "pga_jobclass", "pga_job", "pga_jobstep", "pga_calendar", "pga_holiday",
    "pga_schedule", "pga_exception", "pga_joblog", "settings",
)  # fmt: skip
PARTS = (
    "install_check.sql",
    *(f"tables/{name}.sql" for name in TABLES),
    *(f"functions/{name}.sql" for name in FUNCTIONS),
    *(f"views/{name}.sql" for name in VIEWS),
    *(f"triggers/{name}.sql" for name in TRIGGERS),
    "policies.sql",
    "privileges.sql",
    "dump.sql",
)
HEADER = """\
-- Made by extension/build.py: do not edit.
\\echo Use "CREATE EXTENSION pgagent_py CASCADE" to load this file. \\quit
set local search_path = pg_catalog, pg_temp;
"""


def read_version() -> str:
    """The extension's version, from the control file."""
    control = (EXTENSION / "pgagent_py.control").read_text(encoding="utf-8")
    found = re.search(r"^default_version\s*=\s*'([^']+)'", control, re.MULTILINE)
    if found is None:
        raise SystemExit("pgagent_py.control: no default_version")
    return found.group(1)


def read_modules() -> dict[str, str]:
    """Name and source of each Python module, in order of name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(MODULES.glob("*.py"))}


def hash_modules(modules: dict[str, str]) -> str:
    """SHA-256 over names and sources, as pgagent._python_load() computes it."""
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(name.encode() + b"\0" + modules[name].encode() + b"\0")
    return digest.hexdigest()


def render_values(modules: dict[str, str]) -> str:
    """The modules as rows of a VALUES list."""
    rows = []
    for name, source in modules.items():
        tag = f"$module_{name}$"
        if tag in source or "$source_of_pgagent_py$" in source:
            raise SystemExit(f"{name}.py: contains a dollar quote of the build")
        rows.append(f"('{name}', {tag}{source}{tag})")
    return ",\n".join(rows)


def build_script() -> str:
    """The whole installation script."""
    modules = read_modules()
    sha256 = hash_modules(modules)
    values = render_values(modules)
    unlisted = {str(path.relative_to(SQL)) for path in SQL.rglob("*.sql")} - set(PARTS)
    if unlisted:
        raise SystemExit(f"not in PARTS: {', '.join(sorted(unlisted))}")
    texts = [HEADER]
    for part in PARTS:
        text = (SQL / part).read_text(encoding="utf-8")
        text = text.replace("@python_sha256@", sha256).replace("@python_package@", f"pgagent_py_{sha256[:16]}")
        texts.append(f"-- sql/{part}\n{text}".replace("@python_values@", values))
    return "\n".join(texts)


def main() -> None:
    """Writes the script and says where."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else EXTENSION / "build"
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"pgagent_py--{read_version()}.sql"
    target.write_bytes(build_script().encode())
    print(target)


if __name__ == "__main__":
    main()
