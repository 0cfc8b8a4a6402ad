"""What scripts may do and know on this host, as the command line says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pgagent_ticker.account import Account

HANDED_ON = (b"PATH", b"LANG", b"TZ", b"TMPDIR")
HANDED_ON_PREFIX = b"LC_"


@dataclass(frozen=True, slots=True)
class Variable:
    """A further environment variable for scripts; without a value it is the ticker's own."""

    name: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Rules:
    """How scripts are started.

    `account` is whom they run as, None for the ticker's own user. With `program_directories` a step is no
    script, but the command line of a program in one of them.
    """

    account: Account | None = None
    program_directories: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()


def choose_environment(
    inherited: Mapping[bytes, bytes], account: Account, variables: tuple[Variable, ...]
) -> dict[bytes, bytes]:
    """Environment of every script: a known list out of the ticker's, the user's own, what was asked for."""
    environment = {
        name: value for name, value in inherited.items() if name in HANDED_ON or name.startswith(HANDED_ON_PREFIX)
    }
    environment[b"HOME"] = os.fsencode(account.home)
    environment[b"USER"] = environment[b"LOGNAME"] = os.fsencode(account.name)
    environment[b"SHELL"] = os.fsencode(account.shell)
    for variable in variables:
        value = inherited.get(variable.name) if variable.value is None else variable.value
        if value is not None:
            environment[variable.name] = value
    return environment
