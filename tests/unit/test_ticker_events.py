from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from pgagent_ticker.events import EventLog, LogFile, Situation, format_event

WHEN = datetime(2026, 11, 22, 13, 26, 28, 123456, tzinfo=timezone.utc)


class Lines:
    def __init__(self, level: int) -> None:
        self.found: list[str] = []
        self.log = EventLog(level, self._write, lambda: WHEN)

    def _write(self, line: bytes) -> None:
        self.found.append(line.decode().split(" ", 1)[1].rstrip("\n"))


def test_one_line_per_event() -> None:
    line = format_event(WHEN, "INFO", "connected", {"server_pid": 7, "host": "/run:5432", "x": None, "s": 1.5})
    assert line == "2026-11-22T13:26:28.123+00:00 INFO connected server_pid=7 host=/run:5432 s=1.500"


def test_details_are_quoted_and_bounded() -> None:
    assert format_event(WHEN, "INFO", "a", {"b": 'two\nlines "x"'}).endswith(r' a b="two\nlines \"x\""')
    assert format_event(WHEN, "INFO", "a", {"b": ""}).endswith(' b=""')
    assert len(format_event(WHEN, "INFO", "a", {"b": "y" * 100_000})) < 2100


@pytest.mark.parametrize(("level", "expected"), [(0, ["ERROR e"]), (1, ["ERROR e", "WARNING w", "INFO i"]), (2, None)])
def test_levels(level: int, expected: list[str] | None) -> None:
    lines = Lines(level)
    lines.log.error("e")
    lines.log.warning("w")
    lines.log.info("i")
    lines.log.debug("d")
    assert lines.found == (expected or ["ERROR e", "WARNING w", "INFO i", "DEBUG d"])


def test_text_that_cannot_be_encoded_is_escaped() -> None:
    lines = Lines(1)
    lines.log.info("i", name="bad\udce9")
    assert lines.found == ['INFO i name="bad\\udce9"']


def test_a_full_disk_is_survived() -> None:
    full = LogFile("/dev/full")
    EventLog(2, full.write).error("lost")
    full.close()


def test_a_log_file_is_appended_to_and_follows_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "ticker.log"
    path.write_text("old\n")
    file = LogFile(str(path))
    file.write(b"one\n")
    path.rename(tmp_path / "ticker.log.1")
    file.write(b"two\n")
    file.close()
    assert (tmp_path / "ticker.log.1").read_text() == "old\none\n"
    assert path.read_text() == "two\n"


def test_a_log_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFile(str(tmp_path / "none" / "ticker.log"))


def test_a_situation_is_logged_once_while_it_lasts() -> None:
    lines = Lines(1)
    situation = Situation(lines.log, "due")
    for _ in range(3):
        situation.report("could not connect", "refused")
    situation.report("could not connect", "timeout")
    situation.clear()
    situation.clear()
    situation.report("could not connect", "timeout")
    assert [line.split(" session")[0] for line in lines.found] == [
        "WARNING could not connect",
        "WARNING could not connect",
        "INFO working again",
        "WARNING could not connect",
    ]
