"""Body of pgagent.run_due: one slice of this session's engine, and the rows that tell of it."""

from __future__ import annotations

import time
from typing import Any, cast

from . import errors, ledger
from .bookkeeper import Agent
from .encoding import find
from .engine import Engine, Report
from .session import TOO_MANY_CONNECTIONS
from .spi import Plpy, execute
from .target import InvalidTarget, Loopback, parse

ENGINE = "pgagent_py engine"
PLANS = "pgagent_py plans"
STANDBY_NOTICED = "pgagent_py standby noticed"
MOST_SECONDS = 86400


def run_due(plpy: Plpy, session: dict[str, Any], max_wait: str | None, station: str | None) -> list[Report]:
    """Runs what is due for at most ``max_wait`` (an interval of 0 s to 1 day). ``session`` is GD: it lives as long
    as the database session, and holds the engine with the work in flight.

    Errors: 22023 max_wait out of range; 55000 called from a job step; 08006 the engine cannot connect to its server.
    """
    plans = session.setdefault(PLANS, {})
    work = execute(plpy, plans, ledger.WORK, ["text", "text"], [station, max_wait])[0]
    wait_seconds = _check_wait(plpy, work["wait_seconds"], max_wait)
    if work["standby"]:
        return _decline_on_standby(plpy, session)
    if work["in_step"]:
        errors.fail(
            plpy,
            errors.OBJECT_NOT_IN_PREREQUISITE_STATE,
            "run_due cannot be called from a job step",
            hint="To have another job run, UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ...",
        )
    engine = session.get(ENGINE)
    if (engine is None or engine.is_idle) and not any(
        work[what] for what in ("due", "lost", "ready", "untold", "parked")
    ):
        return []
    identity = execute(plpy, plans, ledger.IDENTITY, [], [])[0]
    engine = session[ENGINE] = _prepare(plpy, identity, engine, station)
    engine.books.start(
        time.monotonic(),
        lost=work["lost"],
        ready=work["ready"],
        limited=identity["limited"],
        prioritised=identity["prioritised"],
        untold=work["untold"],
    )
    try:
        engine.work(plpy, time.monotonic() + wait_seconds)
        _complain(plpy, engine)
        parked = _read_parked(plpy, plans, engine)
    except BaseException:
        engine.abort()
        raise
    return _conceal(plpy, plans, engine.report() + parked)


def _conceal(plpy: Plpy, plans: dict[str, Any], rows: list[Report]) -> list[Report]:
    """The rows, without details of jobs that the caller may not see: these may be output of steps."""
    if not rows:
        return rows
    seen = {row["jobid"] for row in execute(plpy, plans, ledger.SEEN, ["int4[]"], [[row[1] for row in rows]])}
    return [row if row[1] in seen else (*row[:6], "") for row in rows]


def _check_wait(plpy: Plpy, seconds: float | None, max_wait: str | None) -> float:
    if seconds is None or not 0 <= seconds <= MOST_SECONDS:
        errors.fail(
            plpy,
            errors.INVALID_PARAMETER_VALUE,
            f"max_wait must be between 0 s and 1 day, not {max_wait or 'null'}",
            hint="A long wait holds a snapshot; CALL pgagent.run_until_idle() waits without one.",
        )
    return float(seconds)


def _decline_on_standby(plpy: Plpy, session: dict[str, Any]) -> list[Report]:
    if not session.get(STANDBY_NOTICED):
        session[STANDBY_NOTICED] = True
        plpy.notice("run_due does nothing on a standby")
    return []


def _prepare(plpy: Plpy, identity: dict[str, Any], found: Any, station: str | None) -> Engine:
    """This session's engine, with the settings as they are now.

    An engine of older code, from before ALTER EXTENSION UPDATE, finishes what it has in flight and gives way.
    """
    engine = found if isinstance(found, Engine) else None
    if engine is None and found is not None:
        if not found.is_idle:
            found.draining = True
            return cast(Engine, found)
        found.close()
    encoding = find(identity["encoding"])
    agent = Agent(
        identity["pid"],
        int(identity["start_microseconds"]),
        None if station is None else encoding.encode(station),
        encoding.encode(station or identity["application_name"] or "psql"),
        identity["lease_seconds"],
    )
    loopback = _loopback(plpy, identity)
    if engine is None:
        engine = Engine(agent, loopback)
    engine.agent, engine.loopback = agent, loopback
    engine.parallel_runs = identity["parallel_runs"]
    engine.long_run_seconds = identity["long_run_seconds"]
    engine.pool.output_limit = identity["output_limit"]
    return engine


def find_loopback(plpy: Plpy, plans: dict[str, Any]) -> Loopback:
    """How this server is reached from here. Errors: 22023 if settings.conninfo cannot be read."""
    return _loopback(plpy, execute(plpy, plans, ledger.IDENTITY, [], [])[0])


def _loopback(plpy: Plpy, identity: dict[str, Any]) -> Loopback:
    try:
        parse(identity["conninfo"])
    except InvalidTarget as error:
        errors.fail(
            plpy,
            errors.INVALID_PARAMETER_VALUE,
            'column "conninfo" of table "settings" is not a valid connection string',
            detail=str(error).strip(),
            hint="UPDATE pgagent.settings SET conninfo = 'user=postgres', for example, or '' for the defaults.",
        )
    return Loopback(
        host=identity["socket_directories"].split(",")[0].strip() or "localhost",
        port=identity["port"],
        dbname=identity["dbname"],
        user=identity["username"],
        overrides=identity["conninfo"],
        encoding=identity["encoding"],
        connect_timeout_seconds=identity["connect_timeout_seconds"],
        session_idle_timeout_seconds=identity["session_idle_timeout_seconds"],
        step_application_name=f"pgagent_py step {identity['pid']}/{identity['start_microseconds']}",
    )


def _complain(plpy: Plpy, engine: Engine) -> None:
    """Says what could not be written or connected to: as warnings, for what will be tried again."""
    complaints, engine.complaints = engine.complaints, {}
    for message, sqlstate in complaints.items():
        plpy.warning(engine.encoding.show(f"could not keep the log: {message}"), sqlstate=sqlstate)
    if engine.is_short_of_connections:
        plpy.warning(
            "the server is short of connections: fewer jobs than parallel_runs run at once",
            sqlstate=TOO_MANY_CONNECTIONS,
            hint="Raise max_connections, or lower parallel_runs or reserved_connections in pgagent.settings.",
        )
    loss, refused = engine.books.loss, engine.books.is_refused
    engine.books.loss = None
    if loss is None:
        return
    detail = engine.encoding.show(str(loss).replace("\n", " "))
    if refused:
        errors.fail(
            plpy,
            errors.CONNECTION_FAILURE,
            "could not open the engine's own connection to this server",
            detail=detail,
            hint="Say in pgagent.settings.conninfo how the server can connect to itself, and allow it in pg_hba.conf.",
        )
    plpy.warning(
        "the engine has no connection of its own yet: due jobs wait",
        sqlstate=loss.sqlstate or errors.CONNECTION_FAILURE,
        detail=detail,
        hint="Raise max_connections, or lower pgagent.settings.parallel_runs.",
    )


def _read_parked(plpy: Plpy, plans: dict[str, Any], engine: Engine) -> list[Report]:
    """Runs that this session has brought to a batch step and that a ticker has to go on with."""
    parked, engine.parked = engine.parked, []
    return [
        (
            row["jlgid"], row["jobid"], row["jobname"], "waiting for ticker", row["started"], row["duration"],
            f'step "{row["step"]}" is {"with" if row["taken"] else "waiting for"} a ticker',
        )
        for row in execute(plpy, plans, ledger.PARKED, ["int4[]"], [parked])
    ]  # fmt: skip
