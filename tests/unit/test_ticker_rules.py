from __future__ import annotations

import os
import pwd

import pytest

from pgagent_ticker.account import Account, UnknownAccount, current_account, find_account
from pgagent_ticker.rules import Rules, Variable, choose_environment
from pgagent_ticker.scripts import BatchStep, script_environment

ACCOUNT = Account("jobs", 4711, 4712, (4712,), "/home/jobs", "/bin/dash")
STEP = BatchStep(1, 2, 3, "the job", 4, "step", "", 1000)
OWN = {b"HOME": b"/home/jobs", b"USER": b"jobs", b"LOGNAME": b"jobs", b"SHELL": b"/bin/dash"}


def test_the_environment_is_a_known_list() -> None:
    handed_on = {b"PATH": b"/bin", b"LANG": b"C", b"LC_ALL": b"C.UTF-8", b"TZ": b"UTC", b"TMPDIR": b"/var/tmp"}
    others = {b"HOME": b"/root", b"USER": b"root", b"PGHOST": b"h", b"PGPASSWORD": b"p", b"X": b"y", b"LANGUAGE": b"de"}
    assert choose_environment({**handed_on, **others}, ACCOUNT, ()) == {**handed_on, **OWN}


def test_what_the_ticker_lacks_scripts_lack() -> None:
    assert choose_environment({}, ACCOUNT, (Variable(b"NO_SUCH", None),)) == OWN


def test_further_variables_have_the_last_word() -> None:
    variables = (Variable(b"X", None), Variable(b"PATH", b"/opt"), Variable(b"HOME", b""), Variable(b"Y", b"a=b"))
    found = choose_environment({b"X": b"y", b"PATH": b"/bin"}, ACCOUNT, variables)
    assert found == {**OWN, b"X": b"y", b"PATH": b"/opt", b"HOME": b"", b"Y": b"a=b"}


def test_nothing_replaces_what_the_script_is_told_of_its_job() -> None:
    rules = Rules(ACCOUNT, (), (Variable(b"PGAGENT_RUNID", b"99"), Variable(b"PGAGENT_MARK", b"99")))
    found = script_environment({}, STEP, "mark", rules)
    told = {b"PGAGENT_JOBID": b"3", b"PGAGENT_JOBNAME": b"the job", b"PGAGENT_STEPID": b"4", b"PGAGENT_RUNID": b"2"}
    assert found == {**OWN, **told, b"PGAGENT_DUE": b"", b"PGAGENT_MARK": b"mark"}


def test_accounts_are_found_by_name_and_number() -> None:
    root = find_account("root")
    assert root == find_account("0")
    assert (root.uid, root.gid, root.home) == (0, 0, pwd.getpwuid(0).pw_dir)
    assert 0 in root.groups


@pytest.mark.parametrize("word", ["no-such-user", "", "4000000000", "9" * 30, "-1", "²", "root "])
def test_unknown_accounts(word: str) -> None:
    with pytest.raises(UnknownAccount, match="does not exist"):
        find_account(word)


def test_a_user_without_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", refuse)
    monkeypatch.setenv("HOME", "/somewhere")
    account = current_account.__wrapped__()
    assert (account.name, account.uid, account.home) == (str(os.geteuid()), os.geteuid(), "/somewhere")
    assert account.shell == "/bin/sh"
