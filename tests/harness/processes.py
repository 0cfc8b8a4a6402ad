"""Processes as /proc shows them, and how the harness starts its own."""

from __future__ import annotations

import os
from pathlib import Path

SERVER_USER = "postgres"
"""The server refuses to run as root; a root shell starts it as this user."""


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie (in a container nobody may reap orphans)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return _after_name(stat)[0] not in "ZX"


def descendants(pid: int) -> list[int]:
    """Return the ids of the running children of a process, of their children and so on."""
    children = [child for child, parent in _parents().items() if parent == pid]
    return children + [further for child in children for further in descendants(child)]


def tied_to_us(command: list[str], signal_name: str, *, user: str | None = None) -> list[str]:
    """Wrap a command so that the kernel sends it a signal when the thread that starts it ends.

    A test session that is killed then leaves no server and no ticker behind. setpriv becomes the command: the
    process id is that of the command itself. With ``user`` it runs as that user (root may do so).
    """
    identity = ["--reuid", user, "--regid", user, "--init-groups"] if user else []
    return ["setpriv", "--pdeathsig", signal_name, *identity, "--", *command]


def clean_environment(**extra: str) -> dict[str, str]:
    """Return an environment without the caller's PG* and PYTHON* variables and virtual environment."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/", **extra}


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = _after_name((entry / "stat").read_text(errors="replace")).split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            found[int(entry.name)] = int(parent)
    return found


def _after_name(stat: str) -> str:
    """Return what follows the command's name, which may itself hold blanks and parentheses."""
    return stat.rpartition(") ")[2]
