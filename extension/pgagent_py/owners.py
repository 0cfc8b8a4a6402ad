"""Body of pgagent.check_owner: tries to log in as the steps of a job would."""

from __future__ import annotations

import select
import time
from typing import Any

from . import errors
from .due import find_loopback
from .session import Event, StepSession
from .spi import Plpy, execute
from .target import INVALID_AUTHORIZATION, advise_login, find_server_user

OUTPUT_LIMIT = 1024
INTERRUPT_MILLISECONDS = 100
ROLE = "select r.rolcanlogin from pg_roles r where r.rolname = $1"

Finding = tuple[bool, str | None, str | None]


def check_owner(plpy: Plpy, plans: dict[str, Any], owner: str | None, dbname: str | None) -> list[Finding]:
    """One row: whether this role can log in to this database of the server, if not why, and what would help.

    Errors: 42704 if there is no such role; 22023 if settings.conninfo cannot be read.
    """
    found = execute(plpy, plans, ROLE, ["name"], [owner])
    if owner is None or not len(found):
        errors.fail(
            plpy,
            errors.UNDEFINED_OBJECT,
            f'role "{owner}" does not exist',
            hint="CREATE ROLE makes one; UPDATE pgagent.pga_job SET jobowner = ... gives its jobs to another.",
        )
    if not found[0]["rolcanlogin"]:
        return [(False, "the role is not permitted to log in", f'ALTER ROLE "{owner}" LOGIN')]
    loopback = find_loopback(plpy, plans)
    target_dbname = dbname or loopback.dbname
    session = StepSession(loopback.step_target(target_dbname, owner), OUTPUT_LIMIT, time.monotonic())
    try:
        loss = _wait_until_ready(plpy, session)
    finally:
        session.close()
    if loss is None:
        return [(True, None, None)]
    is_refusal = loss.sqlstate[:2] == INVALID_AUTHORIZATION
    return [(False, str(loss), advise_login(owner, target_dbname, find_server_user()) if is_refusal else None)]


def _wait_until_ready(plpy: Plpy, session: StepSession) -> Any:
    """Connects: None when a step could be sent, else why not."""
    while True:
        poll = select.poll()
        if session.descriptor >= 0:
            poll.register(session.descriptor, session.wait_events)
            ready = poll.poll(INTERRUPT_MILLISECONDS)
        else:
            ready = [(session.descriptor, 0)]
        now = time.monotonic()
        event = session.advance(now) if ready else session.expire(now)
        if event is Event.READY:
            return None
        if event is Event.LOST:
            return session.loss
        plpy.execute("select 1")
