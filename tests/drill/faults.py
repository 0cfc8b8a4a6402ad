"""What the storm does. A fault is a generator: it strikes, yields for how many seconds it lasts, and then mends itself.

One that finds nothing to strike, or cannot reach the server, raises ``NothingToStrike`` or psycopg's error and does
not count.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress

import psycopg

from drill.plan import LEASE_SECONDS
from drill.site import CALLER, Site
from harness import Ticker

Work = Generator[float, None, None]
"""Yields for how many seconds to wait before it goes on; closed, it mends what it has broken."""

Fault = Callable[[Site, random.Random], Work]

ENGINES = (CALLER, "pgagent-ticker")
"""Application names of the sessions in which engines live; a ticker's batch session has the same as its other one."""

VICTIMS = (*ENGINES, "pgagent_py engine", "pgagent_py step %")

_FIND = """
select pid from pg_stat_activity
 where application_name like %s and datname = current_database() order by random() limit %s
"""
_LOCKS = {
    "pga_job": "jobid",
    "pga_joblog": "jlgid",
    "pga_jobsteplog": "jslid",
    "pga_jobstep": "jstid",
    "pga_jobagent": "jagpid",
    "_batch_step": "jslid",
}


class NothingToStrike(Exception):
    """There is no such process or row now."""


def _find_backends(site: Site, names: tuple[str, ...], rng: random.Random) -> list[int]:
    found = site.admin.execute(_FIND, (rng.choice(names), rng.choice([1, 1, 1, 3]))).fetchall()
    if not found:
        raise NothingToStrike
    return [pid for (pid,) in found]


def _suspend(site: Site, pid: int, seconds: float) -> None:
    try:
        site.suspend(pid, seconds)
    except ProcessLookupError as error:
        raise NothingToStrike from error


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError as error:
        raise NothingToStrike from error


def _pick_ticker(site: Site, rng: random.Random) -> Ticker:
    """One that runs: others may be down at the moment."""
    running = [ticker for ticker in site.tickers if ticker.exit_code is None]
    if not running:
        raise NothingToStrike
    return rng.choice(running)


# Sessions


def terminate_backend(site: Site, rng: random.Random) -> Work:
    """As an administrator does, or idle_session_timeout."""
    site.admin.execute("select pg_terminate_backend(pid) from unnest(%s) pid", (_find_backends(site, VICTIMS, rng),))
    yield 0.0


def cancel_backend(site: Site, rng: random.Random) -> Work:
    """As an administrator does, or statement_timeout."""
    site.admin.execute("select pg_cancel_backend(pid) from unnest(%s) pid", (_find_backends(site, VICTIMS, rng),))
    yield 0.0


def stall_backend(site: Site, rng: random.Random) -> Work:
    """A short stall of an engine, of its control session or of a step."""
    seconds = rng.uniform(0.2, LEASE_SECONDS / 3)
    _suspend(site, _find_backends(site, VICTIMS, rng)[0], seconds)
    yield seconds


def stall_engine_past_its_lease(site: Site, rng: random.Random) -> Work:
    """Others take over meanwhile; when it wakes up, it must not write over their truth."""
    seconds = LEASE_SECONDS + rng.uniform(1, 3)
    _suspend(site, _find_backends(site, ENGINES, rng)[0], seconds)
    yield seconds


def kill_backend(site: Site, rng: random.Random) -> Work:
    """The server restarts all its sessions."""
    _signal(_find_backends(site, VICTIMS, rng)[0], signal.SIGKILL)
    yield 0.0


# Tickers


def kill_ticker(site: Site, rng: random.Random) -> Work:
    """With -9; a supervisor starts it again."""
    ticker = _pick_ticker(site, rng)
    ticker.kill9()
    try:
        yield rng.uniform(0, 2)
    finally:
        ticker.start()


def end_ticker(site: Site, rng: random.Random) -> Work:
    """In order, as for an upgrade."""
    ticker = _pick_ticker(site, rng)
    ticker.send(signal.SIGTERM)
    ticker.wait(30)
    ticker.start()
    yield 0.0


def kill_guardian(site: Site, rng: random.Random) -> Work:
    """The process that outlives a ticker to end its scripts; or a script."""
    children = _pick_ticker(site, rng).children()
    if not children:
        raise NothingToStrike
    _signal(rng.choice(children), signal.SIGKILL)
    yield 0.0


def stall_ticker(site: Site, rng: random.Random) -> Work:
    """Short of its lease, or past it."""
    seconds = rng.choice([rng.uniform(0.2, 2), LEASE_SECONDS + 2])
    _suspend(site, _pick_ticker(site, rng).pid, seconds)
    yield seconds


# Network


def cut_network(site: Site, rng: random.Random) -> Work:
    """Both sides notice."""
    site.proxy.cut()
    yield from _until_mended(site, rng.uniform(0.1, 3))


def cut_clients(site: Site, rng: random.Random) -> Work:
    """Only the ticker notices."""
    site.proxy.cut_clients()
    yield from _until_mended(site, rng.uniform(0.1, 3))


def deafen_network(site: Site, rng: random.Random) -> Work:
    """Nobody notices."""
    site.proxy.stall()
    yield from _until_mended(site, rng.choice([rng.uniform(0.2, 2), LEASE_SECONDS + 2]))


def slow_network(site: Site, rng: random.Random) -> Work:
    """Everything takes longer."""
    site.proxy.delay_seconds = rng.uniform(0.01, 0.3)
    try:
        yield rng.uniform(1, 4)
    finally:
        site.proxy.delay_seconds = 0.0


def _until_mended(site: Site, seconds: float) -> Work:
    try:
        yield seconds
    finally:
        site.proxy.mend()


# Rows, disks, connections


def lock_rows(site: Site, rng: random.Random) -> Work:
    """A client's open transaction."""
    table, key = rng.choice([*_LOCKS.items()])
    mode = rng.choice(["update", "no key update", "share", "key share"])
    newest = f"select {key} from pgagent.{table} order by {key} desc limit 200"
    some = f"select {key} from ({newest}) row order by random() limit {rng.choice([1, 3, 10, 40])}"
    with site.connect("drill lock") as conn:
        conn.execute("begin")
        conn.execute(f"select from pgagent.{table} where {key} in ({some}) for {mode}")
        yield rng.uniform(0.3, 4)


def fill_disk(site: Site, rng: random.Random) -> Work:
    """No row can be written to a table for a while."""
    table = rng.choice(["pga_joblog", "pga_jobsteplog", "_batch_step"])
    site.admin.execute("insert into drill.full_disk values (%s)", (table,))
    yield rng.uniform(0.3, 4)
    while not site.free_disk():
        yield 0.1


def exhaust_connections(site: Site, rng: random.Random) -> Work:
    """Clients have all there are."""
    with ExitStack() as held:
        with suppress(psycopg.Error):
            while True:
                held.enter_context(site.connect("drill hog"))
        yield rng.uniform(1, 4)


# The server


def restart_fast(site: Site, _: random.Random) -> Work:
    """``pg_ctl restart -m fast``."""
    site.restart("fast")
    yield 0.0


def restart_immediate(site: Site, _: random.Random) -> Work:
    """``pg_ctl restart -m immediate``: without a checkpoint."""
    site.restart("immediate")
    yield 0.0


def kill_postmaster(site: Site, _: random.Random) -> Work:
    """With -9."""
    site.restart("kill")
    yield 0.0


LIGHT: dict[Fault, int] = {
    terminate_backend: 10,
    cancel_backend: 10,
    stall_backend: 4,
    stall_engine_past_its_lease: 2,
    kill_ticker: 2,
    end_ticker: 1,
    kill_guardian: 1,
    stall_ticker: 2,
    cut_network: 2,
    cut_clients: 2,
    deafen_network: 2,
    slow_network: 1,
    lock_rows: 12,
}
HEAVY: dict[Fault, int] = {
    kill_backend: 4,
    fill_disk: 2,
    exhaust_connections: 2,
    restart_fast: 1,
    restart_immediate: 1,
    kill_postmaster: 1,
}
