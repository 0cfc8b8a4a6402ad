"""Where the ticker connects: the user's connection string, and defaults that make a dead link seen."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DEFAULTS = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds
    "fallback_application_name": "pgagent-ticker",
}
# What a role or a database sets is for its users' sessions; the user's own options come after these.
SESSION_OPTIONS = " ".join(
    f"-c {setting}"
    for setting in (
        "role=none",
        "statement_timeout=0",
        "lock_timeout=0",
        "idle_session_timeout=0",
        "idle_in_transaction_session_timeout=0",
        "default_transaction_read_only=off",
        "default_transaction_deferrable=off",
        "default_transaction_isolation=read\\ committed",
    )
)
DEFAULT_CONNECT_TIMEOUT_SECONDS = 10


class BadConninfo(Exception):
    """The connection string cannot be read; the message holds nothing of a password."""


@dataclass(frozen=True, slots=True)
class Target:
    """Settings to try in turn, one set for each host, and the time limit of each attempt."""

    attempts: tuple[dict[str, str], ...]
    timeout_seconds: float | None  # None: wait for ever, as libpq does for connect_timeout=0
    password_given: bool = False
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    def redact(self, text: str) -> str:
        """The text without the passwords of the connection string and the environment."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def read_target(conninfo: str) -> Target:
    """Complete the user's connection string; `BadConninfo` when libpq cannot read it."""
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value is not None}
        inherited = _inherited()
        timeout = _timeout_seconds(given.get("connect_timeout") or inherited.get("connect_timeout"))
        options = f"{SESSION_OPTIONS} {given.get('options') or inherited.get('options', '')}".strip()
        settings = {**DEFAULTS, **given, "client_encoding": "UTF8", "options": options}
        # What a service of the connection string says goes before the PG* variables, and only libpq reads it.
        attempts = _split_hosts(settings, {} if "service" in given else inherited)
        make_conninfo("", **attempts[0])
    except (psycopg.Error, ValueError) as error:
        raise BadConninfo(_safe_reason(conninfo, str(error))) from None
    words = (given.get("password", ""), given.get("sslpassword", ""), inherited.get("password", ""))
    secrets = tuple(word for word in words if len(word) >= 4)
    return Target(tuple(attempts), timeout, bool(given.get("password")), secrets)


def resolve(attempt: dict[str, str]) -> list[str]:
    """Connection strings, one for each address of the attempt's host; OSError when its name is unknown.

    libpq tries all addresses itself, but in non-blocking mode never leaves one that does not answer.
    """
    host = attempt.get("host", "")
    if not host or host.startswith(("/", "@")) or attempt.get("hostaddr"):
        return [make_conninfo("", **attempt)]
    found = socket.getaddrinfo(host, attempt.get("port") or None, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [make_conninfo("", **{**attempt, "hostaddr": address}) for address in addresses]


def _inherited() -> dict[str, str]:
    """What the PG* variables and the service file set."""
    options = pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in options if option.val}


def _safe_reason(conninfo: str, reason: str) -> str:
    """libpq quotes the words it stumbles over, and those may be a part of a password."""
    if re.search(r"password|://[^/?]*@", conninfo, re.IGNORECASE):
        reason = re.sub(r'"[^"]*"', '"..."', reason)
        reason = re.sub(r"'.*'", "'...'", reason)
    return reason.strip()


def _timeout_seconds(value: str | None) -> float | None:
    seconds = DEFAULT_CONNECT_TIMEOUT_SECONDS if value is None else int(value)
    return max(float(seconds), 2.0) if seconds > 0 else None  # libpq takes 1 for 2


def _split_hosts(settings: dict[str, str], inherited: dict[str, str]) -> list[dict[str, str]]:
    """One set of settings for each host: libpq never leaves a silent one in non-blocking mode."""
    lists = {}
    for key in ("host", "hostaddr", "port"):
        value = settings.get(key) or inherited.get(key)
        if value:
            lists[key] = value.split(",")
    count = max((len(lists.get(key, ())) for key in ("host", "hostaddr")), default=0)
    if count == 0 or any(len(words) not in (1, count) for words in lists.values()):
        return [settings]  # libpq's default, or its error message
    return [
        {**settings, **{key: words[number % len(words)] for key, words in lists.items()}} for number in range(count)
    ]
