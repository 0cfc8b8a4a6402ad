"""File descriptors and signal handlers that a process must not have by chance, or must not hand on."""

from __future__ import annotations

import contextlib
import os
import signal


def open_standard_ones() -> None:
    """Open those of the three standard ones that are closed: nothing else may get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def silence() -> None:
    """Turn the three standard ones to /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)


def close_all_except(*kept: int) -> None:
    """Close every file descriptor but these and the standard ones (of the process that calls)."""
    for descriptor in _open_descriptors():
        if descriptor > 2 and descriptor not in kept:
            with contextlib.suppress(OSError):  # the one that listed the directory
                os.close(descriptor)


def _open_descriptors() -> list[int]:
    try:
        with os.scandir("/proc/self/fd") as entries:
            return [int(entry.name) for entry in entries]
    except OSError:
        return list(range(4096))  # no /proc here


def detach_from_parent(*kept: int) -> None:
    """Take the parent's sockets and signal handlers away from this process.

    An inherited connection would outlive the ticker; an inherited wake-up descriptor would tell it of signals
    that are not its own.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    close_all_except(*kept)
