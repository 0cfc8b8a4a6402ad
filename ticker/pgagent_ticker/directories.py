"""Removing private directories, with the rights of the user whose they are."""

from __future__ import annotations

import os

from pgagent_ticker import descriptors
from pgagent_ticker.account import Account

# Twice: a script may leave directories behind that even their owner may not write.
_REMOVE = 'rm -rf -- "$@" || { chmod -R u+rwx -- "$@"; rm -rf -- "$@"; }'


def remove_emptied(directory: str, file: str) -> bool:
    """Remove a directory in which at most this file is; False if there is more, or that is refused."""
    try:
        os.unlink(f"{directory}/{file}")  # noqa: PTH108
    except FileNotFoundError:
        pass
    except OSError:
        return False
    try:
        os.rmdir(directory)  # noqa: PTH106
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def fork_remover(directories: list[str], account: Account | None) -> int:
    """Start a process that removes these directories with all they hold; returns its id.

    It has the user's rights, so that nothing that a script does to its directory can turn them against
    others; and it is another process, because removing may take long, or for ever.
    """
    child = os.fork()
    if child:
        return child
    try:
        descriptors.detach_from_parent()
        os.setsid()
        descriptors.silence()
        os.chdir("/")
        if account is not None:
            account.assume()
        # With an environment of its own: the ticker's would be there for the user to read.
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        os.execve("/bin/sh", ["/bin/sh", "-c", _REMOVE, "sh", *directories], environment)  # noqa: S606
    finally:
        os._exit(1)
