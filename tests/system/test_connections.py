"""The server's connections are shared: the engine leaves some to others, and waits when there are none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from harness import WAITING_CODE, Cluster, add_job, held_steps, hold_steps, make_due, run_due, runs, sql_step, value

MOST_CONNECTIONS = 20
OTHERS = 5
CLIENTS = "select count(*) from pg_stat_activity where backend_type = 'client backend'"


def test_the_reserve_is_left_to_others_and_no_job_fails(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(max_connections=MOST_CONNECTIONS)
    made = cluster.create_database("jobs")
    with ExitStack() as stack:
        watcher, engine, *_ = [stack.enter_context(cluster.connect(made.name)) for _ in range(2 + OTHERS)]
        watcher.execute("update pgagent.settings set reserved_connections = 4")
        hold_steps(watcher)
        jobids = [add_job(watcher, f"job {number}", sql_step(WAITING_CODE)) for number in range(16)]
        make_due(watcher, *jobids)
        warnings: set[str | None] = set()
        engine.add_notice_handler(lambda warning: warnings.add(warning.sqlstate))
        run_due(engine, "1.5 s")
        # Three are the superusers', four the reserve; one has the control session.
        assert value(watcher, CLIENTS) == MOST_CONNECTIONS - 3 - 4
        assert held_steps(watcher) == MOST_CONNECTIONS - 3 - 4 - 2 - OTHERS - 1
        assert warnings == {"53300"}
        watcher.execute("select pg_advisory_unlock_all()")
        run_due(engine)
        assert {run.status for jobid in jobids for run in runs(watcher, jobid)} == {"s"}


def test_without_a_connection_to_spare_jobs_wait(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(max_connections=MOST_CONNECTIONS)
    made = cluster.create_database("jobs")
    with cluster.connect(made.name) as watcher, cluster.connect(made.name) as engine:
        watcher.execute("update pgagent.settings set reserved_connections = 1000")
        jobid = add_job(watcher, "job", sql_step("select 1"))
        make_due(watcher, jobid)
        run_due(engine, "0.3 s")
        assert runs(watcher, jobid) == []
        watcher.execute("update pgagent.settings set reserved_connections = default")
        run_due(engine)
        assert [run.status for run in runs(watcher, jobid)] == ["s"]
