"""Roles that have to do with jobs, and their sessions."""

from __future__ import annotations

from types import TracebackType
from typing import final

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from harness.cluster import Database

Session = Connection[TupleRow]

ROLES = ("alice", "bob", "team", "dba", "ticker", "stranger")


@final
class People:
    """Alice and bob have jobs; team, which cannot log in, too, and alice is a member. Dba is an administrator, ticker
    runs what is due, stranger may only connect. Made by a superuser's session, and removed with all that they own.
    """

    def __init__(self, superuser: Session, database: Database) -> None:
        self._superuser = superuser
        self._database = database
        self._sessions: list[Session] = []

    def __enter__(self) -> People:
        # In one message: one transaction.
        made = [f"create role {role} {'nologin' if role == 'team' else 'login'}" for role in ROLES]
        granted = [
            "grant team to alice",
            "select pgagent.grant_use(r) from unnest('{alice, bob, team}'::name[]) r",
            "select pgagent.grant_administration('dba'), pgagent.grant_ticker('ticker')",
        ]
        self._superuser.execute("; ".join([*made, *granted]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions:
            session.close()
        self._superuser.execute("delete from pgagent.pga_job; delete from pgagent.pga_calendar")
        found = self._superuser.execute("select rolname from pg_roles where rolname = any (%s)", (list(ROLES),))
        roles = sql.SQL(", ").join(sql.Identifier(role) for (role,) in found.fetchall())
        self._superuser.execute(sql.SQL("drop owned by {0} cascade; drop role {0}").format(roles))

    def log_in(self, role: str, **parameters: str) -> Session:
        """A session of this role, in autocommit mode, closed at the end."""
        conninfo = make_conninfo(self._database.conninfo, user=role, **parameters)
        self._sessions.append(psycopg.connect(conninfo, autocommit=True))
        return self._sessions[-1]

    def sessions_of(self, role: str) -> list[Session]:
        """The open sessions of a role."""
        return [session for session in self._sessions if not session.closed and session.info.user == role]


def drop_role(superuser: Session, role: str) -> None:
    """Drop a role, if there is one of this name, with what it owns in this database."""
    if superuser.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is None:
        return
    for statement in ("drop owned by {} cascade", "drop role {}"):
        superuser.execute(sql.SQL(statement).format(sql.Identifier(role)))
