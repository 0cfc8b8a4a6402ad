"""What tests share: clusters, ticker processes, jobs as pgAgent's clients make them, waiting."""

from __future__ import annotations

from harness.cluster import Cluster, Database
from harness.jobs import (
    WAITING_CODE,
    Run,
    Step,
    StepLog,
    Touched,
    add_exception,
    add_job,
    add_schedule,
    batch_step,
    held_steps,
    hold_steps,
    make_due,
    release_steps,
    run_due,
    run_job,
    run_until_held,
    runs,
    sql_step,
    step_logs,
    value,
)
from harness.ticker import Ticker
from harness.waiting import wait_until

__all__ = [
    "WAITING_CODE",
    "Cluster",
    "Database",
    "Run",
    "Step",
    "StepLog",
    "Ticker",
    "Touched",
    "add_exception",
    "add_job",
    "add_schedule",
    "batch_step",
    "held_steps",
    "hold_steps",
    "make_due",
    "release_steps",
    "run_due",
    "run_job",
    "run_until_held",
    "runs",
    "sql_step",
    "step_logs",
    "value",
    "wait_until",
]
