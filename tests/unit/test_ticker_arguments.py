from __future__ import annotations

import socket

import pytest

from pgagent_ticker.arguments import has_ambiguous_authority, parse_arguments


def test_defaults() -> None:
    options = parse_arguments([])
    assert options.conninfo == ""
    assert (options.interval_seconds, options.reconnect_seconds) == (5.0, 30.0)
    assert (options.log_file, options.log_level) == (None, 1)
    assert options.station == socket.gethostname()
    assert (options.grace_seconds, options.batch_parallel, options.batch) == (10.0, 32, True)


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
