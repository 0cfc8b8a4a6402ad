from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgagent_ticker.account import Account
from pgagent_ticker.programs import LONGEST_COMMAND_CHARS, Refused, can_change, find_program, split_command


@pytest.fixture(name="allowed")
def _allowed(tmp_path: Path) -> Path:
    directory = tmp_path / "allowed"
    (directory / "deep").mkdir(parents=True)
    for path in (directory / "program", directory / "deep" / "program", tmp_path / "other"):
        path.touch(0o755)
    (directory / "data").touch(0o644)
    (directory / "away").symlink_to(tmp_path / "other")
    (directory / "gone").symlink_to(directory / "nothing")
    (directory / "loop").symlink_to("loop")
    (directory / "inner").symlink_to("program")
    (tmp_path / "outer").symlink_to(directory / "program")
    (tmp_path / "allowed too").mkdir()
    (tmp_path / "allowed too" / "program").touch(0o755)
    os.mkfifo(directory / "pipe", 0o755)
    return directory


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("/bin/x", ["/bin/x"]),
        ("  /bin/x a\t'b c' \"d\\\"e\" f\\ g ''\r\n", ["/bin/x", "a", "b c", 'd"e', "f g", ""]),
        (
            "/bin/x $HOME `id` $(id) *; a | b > c && d",
            ["/bin/x", "$HOME", "`id`", "$(id)", "*;", "a", "|", "b", ">", "c", "&&", "d"],
        ),
        ("/bin/x 'a # b' \"#\" \\#", ["/bin/x", "a # b", "#", "#"]),
    ],
)
def test_a_command_line_is_split(code: str, words: list[str]) -> None:
    assert split_command(code) == words


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", "no command"),
        (" \r\n\t", "no command"),
        ("# /bin/x", "comment"),
        ("/bin/x # comment", "comment"),
        ("/bin/x a#b", "comment"),
        ("/bin/x\n/bin/y", "more than one line"),
        ("/bin/x 'a\nb'", "more than one line"),
        ("/bin/x\r/bin/y", "more than one line"),
        ("#!/bin/sh\n/bin/x", "more than one line"),
        ("/bin/x \\\n a", "more than one line"),
        ("/bin/x 'a", "no closing quotation"),
        ("/bin/x a\\", "no escaped character"),
        ("/bin/x \0", "zero byte"),
        ("/bin/x " + "a" * LONGEST_COMMAND_CHARS, "longer than"),
    ],
)
def test_anything_but_one_command_line_is_refused(code: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        split_command(code)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("{0}/allowed/program", "{0}/allowed/program"),
        ("{0}/allowed/deep/program", "{0}/allowed/deep/program"),
        ("{0}/allowed/deep/../program", "{0}/allowed/program"),
        ("{0}/allowed/inner", "{0}/allowed/program"),
        ("{0}/outer", "{0}/allowed/program"),
        ("//{0}//allowed/./program", "{0}/allowed/program"),
    ],
)
def test_what_is_executed_is_the_path_without_links(allowed: Path, word: str, found: str) -> None:
    place = allowed.parent
    words = find_program(f"{word.format(place)} 'an argument' é", [str(allowed)])
    assert words == (found.format(place).encode(), b"an argument", "é".encode())


@pytest.mark.parametrize(
    ("word", "exit_code", "reason"),
    [
        ("{0}/other", 126, "is not allowed"),
        ("{0}/allowed/../other", 126, "is not allowed"),
        ("{0}/allowed/away", 126, "is not allowed"),
        ("'{0}/allowed too/program'", 126, "is not allowed"),
        ("{0}/allowed", 126, "is not allowed"),
        ("/no/such/program", 126, "is not allowed"),
        ("/", 126, "is not allowed"),
        ("program", 126, "is not allowed"),
        ("./program", 126, "is not allowed"),
        ("''", 126, "is not allowed"),
        ("{0}/allowed/nothing", 127, "No such file or directory"),
        ("{0}/allowed/gone", 127, "No such file or directory"),
        ("{0}/allowed/program/x", 127, "Not a directory"),
        ("{0}/allowed/" + "x" * 300, 126, "File name too long"),
        ("{0}/allowed/data", 126, "is not an executable file"),
        ("{0}/allowed/deep", 126, "is not an executable file"),
        ("{0}/allowed/pipe", 126, "is not an executable file"),
        ("{0}/allowed/loop", 126, ""),
        ("{0}/allowed/program # comment", 126, "comment"),
    ],
)
def test_whatever_else_is_refused_and_told_what_is_allowed(
    allowed: Path, word: str, exit_code: int, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        find_program(word.format(allowed.parent), ["/no/such/directory", str(allowed)])
    assert refused.value.exit_code == exit_code
    assert reason in str(refused.value)
    assert f"allowed are programs in /no/such/directory, {allowed}" in str(refused.value)


def test_a_link_outside_says_nothing_about_its_target(allowed: Path) -> None:
    secret = allowed.parent / "link"
    secret.symlink_to("/etc/passwd")
    with pytest.raises(Refused) as refused:
        find_program(str(secret), [str(allowed)])
    assert "passwd" not in str(refused.value)


def test_a_directory_may_be_a_link_that_is_moved(allowed: Path) -> None:
    current = allowed.parent / "current"
    current.symlink_to(allowed)
    assert find_program(f"{current}/program", [str(current)])[0] == os.fsencode(allowed / "program")
    current.unlink()
    current.symlink_to(allowed / "deep")
    assert find_program(f"{current}/program", [str(current)])[0] == os.fsencode(allowed / "deep" / "program")
    with pytest.raises(Refused):
        find_program(f"{allowed}/program", [str(current)])


def test_the_root_directory_allows_everything(allowed: Path) -> None:
    assert find_program(f"{allowed.parent}/other", ["/"]) == (os.fsencode(allowed.parent / "other"),)


def test_bytes_of_the_database_are_kept(allowed: Path) -> None:
    assert find_program(f"{allowed}/program caf\udce9", [str(allowed)])[1] == b"caf\xe9"


@pytest.mark.parametrize(
    ("mode", "changeable"), [(0o755, False), (0o775, False), (0o757, True), (0o1777, True), (0o700, False)]
)
def test_who_can_change_a_directory(tmp_path: Path, mode: int, changeable: bool) -> None:
    tmp_path.chmod(mode)
    owner, group = tmp_path.stat().st_uid, tmp_path.stat().st_gid
    somebody = Account("somebody", owner + 1, group + 1, (group + 1,), "/", "/bin/sh")
    member = Account("member", owner + 1, group + 1, (group + 1, group), "/", "/bin/sh")
    assert can_change(somebody, str(tmp_path)) is changeable
    assert can_change(member, str(tmp_path)) is bool(mode & 0o022)
    assert can_change(Account("owner", owner, group, (), "/", ""), str(tmp_path)) is (owner != 0)
