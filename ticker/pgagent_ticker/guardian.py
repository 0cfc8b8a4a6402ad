"""The guardian: a tiny process that ends the scripts of a ticker that went away, in whatever way.

It holds one end of a socket and nothing else. A script makes itself known on the other end between fork
and exec, so there is no moment at which a running script is unknown; the ticker takes it off the list
when it has ended. When the last copy of the other end is closed, the ticker is gone: the guardian kills
the process groups still on its list, and whatever carries their mark in its environment (a grandchild
that left the group), removes their directories, and exits. Where scripts run as another user than the
ticker, all but the first is done with that user's rights.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from dataclasses import dataclass

from pgagent_ticker import descriptors
from pgagent_ticker.account import Account

MARK_VARIABLE = "PGAGENT_MARK"
_MESSAGE_BYTES = 8192
_SCAN_ROUNDS = 10  # a process may fork while the scan passes by


@dataclass(frozen=True, slots=True)
class Ward:
    """A script to be ended: its process group, the mark in its environment, its private directory."""

    mark: str
    group: int
    directory: str


class Guardian:
    """The ticker's end."""

    def __init__(self, account: Account | None = None) -> None:
        """Fork the process; call it before anything big is imported, to keep it small.

        `account` is the user as whom scripts run, None for the ticker's own.
        """
        self._account = account
        self._wards: dict[str, Ward] = {}
        self._channel = _fork_guardian(account)

    def fileno(self) -> int:
        """A descriptor that becomes readable when the guardian has died."""
        return self._channel.fileno()

    def close(self) -> None:
        """Let the guardian end: whatever is on its list then, it kills."""
        self._channel.close()

    def restart(self) -> None:
        """Replace a guardian that died and tell the new one of the running scripts."""
        self.close()
        self._channel = _fork_guardian(self._account)
        for ward in self._wards.values():
            self.announce(ward)

    def announce(self, ward: Ward) -> None:
        """Put a script on the list; called in the script's own process before it executes the script."""
        self._send(b"+%d %s %s" % (ward.group, ward.mark.encode(), os.fsencode(ward.directory)))

    def keep(self, ward: Ward) -> None:
        """Remember a script that has announced itself."""
        self._wards[ward.mark] = ward

    def release(self, mark: str) -> None:
        """Take a script off the list after its end."""
        self._wards.pop(mark, None)
        self._send(b"-" + mark.encode())

    def _send(self, message: bytes) -> None:
        # Dead: restart() follows. Stopped and its queue full: the parent-death signal remains.
        with contextlib.suppress(OSError):
            self._channel.send(message, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def _fork_guardian(account: Account | None) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            _live(theirs, account)
        finally:
            os._exit(0)
    theirs.close()
    return ours


def _live(channel: socket.socket, account: Account | None) -> None:
    os.setsid()
    descriptors.detach_from_parent(channel.fileno())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descriptors.silence()
    os.chdir("/")
    _name_process("pgagent-guard")
    end_wards(_watch(channel), account)


def _name_process(name: str) -> None:
    with contextlib.suppress(OSError):  # only a courtesy to whoever reads the process list
        comm = os.open("/proc/self/comm", os.O_WRONLY)
        os.write(comm, name.encode())
        os.close(comm)


def _watch(channel: socket.socket) -> list[Ward]:
    """Keep the list until the ticker is gone; returns what is on it then."""
    wards: dict[str, Ward] = {}
    while message := channel.recv(_MESSAGE_BYTES):
        apply_message(wards, message)
    return list(wards.values())


def apply_message(wards: dict[str, Ward], message: bytes) -> None:
    """Change the list as a message says."""
    if message[:1] == b"-":
        wards.pop(message[1:].decode(), None)
        return
    group, mark, directory = message[1:].split(b" ", 2)
    wards[mark.decode()] = Ward(mark.decode(), int(group), os.fsdecode(directory))


def end_wards(wards: list[Ward], account: Account | None = None) -> None:
    """Kill the scripts' groups and stray descendants, and remove their directories."""
    if not wards:
        return
    for ward in wards:
        kill_group(ward.group, signal.SIGKILL)
    kill_marked([ward.mark for ward in wards], account)
    from pgagent_ticker.directories import fork_remover  # noqa: PLC0415  (rarely needed)

    fork_remover([ward.directory for ward in wards], account)


def kill_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group, if it is there and ours."""
    if group > 1:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def kill_marked(marks: list[str], account: Account | None = None) -> None:
    """Kill every process of this user whose environment carries one of these marks.

    Root of a container may not read the environments of others: a child takes the user's rights.
    """
    if account is None:
        _kill_all_marked(marks)
        return
    child = os.fork()
    if child == 0:
        try:
            descriptors.detach_from_parent()
            account.assume_rights()
            _kill_all_marked(marks)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _kill_all_marked(marks: list[str]) -> None:
    words = [f"{MARK_VARIABLE}={mark}".encode() for mark in marks]
    for _ in range(_SCAN_ROUNDS):
        if not _kill_marked_once(words):
            return


def _kill_marked_once(words: list[bytes]) -> bool:
    found = False
    with os.scandir("/proc") as entries:
        numbers = [int(entry.name) for entry in entries if entry.name.isdigit()]
    for number in numbers:
        # An OSError: it ended meanwhile, or is somebody else's.
        with contextlib.suppress(OSError):
            if number != os.getpid() and _carries_mark(number, words):
                os.kill(number, signal.SIGKILL)
                found = True
    return found


def _carries_mark(process: int, words: list[bytes]) -> bool:
    descriptor = os.open(f"/proc/{process}/environ", os.O_RDONLY)
    try:
        environ = b""
        while piece := os.read(descriptor, 65536):
            environ += piece
    finally:
        os.close(descriptor)
    return any(word in words for word in environ.split(b"\0"))
