"""In which order the reference tells of functions, views and tables, and under which headings."""

from __future__ import annotations

FUNCTIONS: dict[str, tuple[str, ...]] = {
    "Jobs": (
        "create_job", "alter_job", "copy_job", "enable_job", "disable_job", "drop_job", "find_job",
    ),
    "Steps": ("add_step", "alter_step", "drop_step"),
    "Schedules": (
        "add_schedule", "alter_schedule", "drop_schedule", "explain_schedule", "next_run", "upcoming", "calendar",
        "cron", "to_cron",
    ),
    "Exceptions and calendars": (
        "create_calendar", "drop_calendar", "add_holiday", "drop_holiday", "add_exception", "add_exceptions",
        "drop_exception",
    ),
    "Runs": ("run_now", "wait_for_run", "cancel_run", "run_due", "run_until_idle", "next_due", "prune_runs"),
    "Jobs as files": ("export_jobs", "apply_jobs"),
    "Is everything well?": ("check", "health", "check_invariants", "check_owner"),
    "Rights": (
        "grant_use", "revoke_use", "grant_ticker", "revoke_ticker", "grant_administration", "revoke_administration",
        "is_administrator",
    ),
    "For tickers": ("take_batch_steps", "finish_batch_step", "cancelled_batch_steps"),
    "As in pgAgent": ("pga_next_schedule", "pga_is_leap_year", "pgagent_schema_version"),
}  # fmt: skip

VIEWS = ("jobs", "runs", "run_steps", "running", "calendar", "statistics")

TABLES = (
    "pga_job", "pga_jobstep", "pga_schedule", "pga_exception", "pga_calendar", "pga_holiday", "pga_jobclass",
    "pga_joblog", "pga_jobsteplog", "pga_jobagent", "event", "settings",
)  # fmt: skip


def sort_by_theme(names: set[str]) -> dict[str, list[str]]:
    """Return the functions of each theme that has some; every one of ``names`` belongs to one. Errors: LookupError."""
    found = {title: [name for name in listed if name in names] for title, listed in FUNCTIONS.items()}
    left = names - {name for listed in FUNCTIONS.values() for name in listed}
    if left:
        raise LookupError(f"no theme in docs/reference/themes.py has {', '.join(sorted(left))}")
    return {title: listed for title, listed in found.items() if listed}


def in_order(names: set[str], listed: tuple[str, ...]) -> list[str]:
    """Return the names in the order of a list, those that it lacks behind."""
    return [name for name in listed if name in names] + sorted(names - set(listed))
