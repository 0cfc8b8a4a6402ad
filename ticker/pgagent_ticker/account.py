"""A user of the operating system, as whom scripts run."""

from __future__ import annotations

import functools
import os
import pwd
from dataclasses import dataclass

DEFAULT_SHELL = "/bin/sh"
DEFAULT_HOME = "/"


class UnknownAccount(Exception):
    """There is no such user on this host."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user: numbers and names, and the groups that it belongs to."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    def assume(self) -> None:
        """Become this user for good; OSError if the system refuses that."""
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def assume_rights(self) -> None:
        """Take this user's rights, while the user's processes cannot send us signals: the real user stays."""
        os.setgroups(self.groups)
        os.setegid(self.gid)
        os.seteuid(self.uid)


def find_account(word: str) -> Account:
    """Look a user up by name or number; `UnknownAccount` if there is none."""
    try:
        return _read_entry(pwd.getpwnam(word))
    except KeyError:
        pass
    if word.isascii() and word.isdigit():
        try:
            return _read_entry(pwd.getpwuid(int(word)))
        except (KeyError, OverflowError):
            pass
    raise UnknownAccount(f'user "{word}" does not exist')


@functools.cache
def current_account() -> Account:
    """The user of this process, who need not be known to the system in a container."""
    uid = os.geteuid()
    try:
        return _read_entry(pwd.getpwuid(uid))
    except KeyError:
        home = os.environ.get("HOME") or DEFAULT_HOME
        return Account(str(uid), uid, os.getegid(), tuple(os.getgroups()), home, DEFAULT_SHELL)


def _read_entry(entry: pwd.struct_passwd) -> Account:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    home = entry.pw_dir or DEFAULT_HOME
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, home, entry.pw_shell or DEFAULT_SHELL)
