from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pgagent_ticker.account import find_account
from pgagent_ticker.arguments import has_ambiguous_authority, parse_arguments
from pgagent_ticker.rules import Rules, Variable


def test_defaults() -> None:
    options = parse_arguments([])
    assert options.conninfo == ""
    assert (options.interval_seconds, options.reconnect_seconds) == (5.0, 30.0)
    assert (options.log_file, options.log_level) == (None, 1)
    assert options.station == socket.gethostname()
    assert (options.grace_seconds, options.batch_parallel, options.batch) == (10.0, 32, True)
    assert options.rules == Rules()


@pytest.mark.parametrize(
    "words",
    [
        ["-f", "-t", "10", "-r", "40", "-s", "x.log", "-l", "2", "host=a", "dbname=b"],
        ["-f", "-t10", "-r40", "-sx.log", "-l2", "host=a", "dbname=b"],
        ["host=a", "-t10", "-r40", "dbname=b", "-l2", "-sx.log"],
        ["--poll-interval=10", "--reconnect=40", "--log-file=x.log", "--log-level=2", "host=a dbname=b"],
    ],
)
def test_flags_of_pgagent(words: list[str]) -> None:
    options = parse_arguments(words)
    assert options.conninfo == "host=a dbname=b"
    assert (options.interval_seconds, options.reconnect_seconds) == (10.0, 40.0)
    assert (options.log_file, options.log_level) == ("x.log", 2)


def test_a_short_reconnect_wait_is_clamped() -> None:
    options = parse_arguments(["-r", "3"])
    assert options.reconnect_seconds == 10.0
    assert options.reconnect_clamped


def test_own_flags() -> None:
    options = parse_arguments(["--station", "db1", "--grace", "0.5", "--batch-parallel", "2", "--no-batch"])
    assert (options.station, options.grace_seconds, options.batch_parallel) == ("db1", 0.5, 2)
    assert not options.batch


def test_flags_about_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    words = ["--run-as", "nobody", "--program-directory", "/", "--program-directory", str(tmp_path)]
    words += ["--environment", "A", "--environment", "B=c=é", "--environment=C="]
    assert parse_arguments([*words, "dbname=x"]).rules == Rules(
        find_account("nobody"),
        ("/", str(tmp_path)),
        (Variable(b"A", None), Variable(b"B", "c=é".encode()), Variable(b"C", b"")),
    )


def test_an_ordinary_user_cannot_name_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as stop:
        parse_arguments(["--run-as", "nobody"])
    assert stop.value.code == 2
    assert "the ticker does not run as root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run-as", "no-such-user"], 'user "no-such-user" does not exist'),
        (["--program-directory", "bin"], '"bin" is not an absolute path'),
        (["--program-directory", "/no/such/directory"], '"/no/such/directory" is not a directory'),
        (["--program-directory", "/etc/passwd"], '"/etc/passwd" is not a directory'),
        (["--environment", "PGPASSWORD=geheim"], "scripts get no password in their environment"),
        (["--environment", "PGPASSWORD"], "scripts get no password in their environment"),
        (["--environment", "=geheim"], '"" is not the name'),
        (["--environment", "A B=geheim"], '"A B" is not the name'),
        (["--environment", "Ä"], '"Ä" is not the name'),
        (["--environment", "A\n"], "is not the name"),
    ],
)
def test_wrong_flags_about_scripts(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit) as stop:
        parse_arguments(words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "geheim" not in error


@pytest.mark.parametrize(
    "words",
    [
        ["-x"],
        ["-t"],
        ["-t", "0"],
        ["-t", "nan"],
        ["-t", "soon"],
        ["-r", "-1"],
        ["-r", "inf"],
        ["-l", "3"],
        ["--batch-parallel", "0"],
        ["--batch-parallel", "257"],
        ["--batch-parallel", "²"],
        ["--grac", "3"],
        ["postgres://u:p@ss@host/db"],
    ],
)
def test_wrong_command_lines_exit_with_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_arguments(words)
    assert stop.value.code == 2
    assert "p@ss" not in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for word, expected in (("-v", "pgagent-ticker 1."), ("--help", "CONNINFO")):
        with pytest.raises(SystemExit) as stop:
            parse_arguments([word])
        assert stop.value.code == 0
        assert expected in capsys.readouterr().out


def test_ambiguous_authority() -> None:
    assert has_ambiguous_authority("postgresql://u:p@ss@host/db")
    assert not has_ambiguous_authority("postgresql://u:p%40ss@host/db?application_name=a@b")
    assert not has_ambiguous_authority("host=a password=p@s@s")
