from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pgagent_ticker.guardian import Ward, apply_message

DEADLINE_SECONDS = 20.0
DRIVER = """
import asyncio, os, sys
from pgagent_ticker.guardian import Guardian
guardian = Guardian()
from pgagent_ticker.scripts import BatchStep, Script

async def run() -> None:
    codes = sys.argv[1:]
    steps = [BatchStep(n, n, n, "job", n, "step", code, 1000) for n, code in enumerate(codes)]
    tasks = [asyncio.ensure_future(Script(step, guardian, 10.0).run()) for step in steps]
    await asyncio.wait(tasks)

asyncio.run(run())
"""
STUBBORN = 'trap "" TERM INT HUP; echo $$ > "$TMPDIR/pid-stubborn"; while :; do sleep 0.05; done'
FAR = "setsid sh -c 'echo $$ > \"$TMPDIR/pid-far\"; exec sleep 300' & wait"
BACKGROUND = 'sleep 300 & echo $! > "$TMPDIR/pid-background"; wait'


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(number: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


def guardian_of(driver: int) -> int:
    """The driver's guardian; it has a name of its own only after a moment."""

    def named() -> list[int]:
        return [one for one in children(driver) if "guard" in Path(f"/proc/{one}/comm").read_text()]

    until(lambda: len(named()) == 1)
    return named()[0]


class Driver:
    """A process that runs scripts as the ticker does, in a process group of its own."""

    def __init__(self, place: Path, *codes: str) -> None:
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(root / "ticker")}
        command = [sys.executable, "-c", DRIVER, *codes]
        self.process = subprocess.Popen(command, env=environment, start_new_session=True)
        self.place = place
        names = {"pid-" + code.split("pid-")[1].split('"')[0] for code in codes}
        until(lambda: {path.name for path in place.glob("pid-*") if path.read_text()} == names)
        self.guardian = guardian_of(self.process.pid)
        self.scripts = [int(path.read_text()) for path in place.glob("pid-*")]

    def end(self, number: int) -> None:
        os.killpg(self.process.pid, number)
        self.process.wait()

    def assert_nothing_left(self) -> None:
        until(lambda: not any(is_alive(number) for number in [*self.scripts, self.guardian]))
        until(lambda: not list(self.place.glob("pga_*")))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGHUP])
def test_nothing_outlives_a_killed_ticker(tmp_path: Path, number: int) -> None:
    driver = Driver(tmp_path, STUBBORN, FAR, BACKGROUND)
    driver.end(number)
    driver.assert_nothing_left()


def test_the_guardian_ignores_polite_signals(tmp_path: Path) -> None:
    driver = Driver(tmp_path, STUBBORN)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(driver.guardian, number)
    driver.end(signal.SIGKILL)
    driver.assert_nothing_left()


def test_without_its_guardian_the_script_still_dies_with_the_ticker(tmp_path: Path) -> None:
    driver = Driver(tmp_path, STUBBORN)
    os.kill(driver.guardian, signal.SIGKILL)
    driver.end(signal.SIGKILL)
    until(lambda: not any(is_alive(number) for number in driver.scripts))


def test_a_frozen_ticker_keeps_its_scripts(tmp_path: Path) -> None:
    driver = Driver(tmp_path, BACKGROUND)
    os.kill(driver.process.pid, signal.SIGSTOP)
    assert all(is_alive(number) for number in [*driver.scripts, driver.guardian])
    os.kill(driver.process.pid, signal.SIGCONT)
    driver.end(signal.SIGKILL)
    driver.assert_nothing_left()


def test_the_guardian_has_its_own_session_and_no_foreign_descriptors(tmp_path: Path) -> None:
    driver = Driver(tmp_path, BACKGROUND)
    assert os.getsid(driver.guardian) == driver.guardian
    targets = [str(path.readlink()) for path in Path(f"/proc/{driver.guardian}/fd").iterdir()]
    assert targets.count("/dev/null") == 3
    assert len(targets) == 4
    driver.end(signal.SIGKILL)
    driver.assert_nothing_left()


def test_messages() -> None:
    wards: dict[str, Ward] = {}
    apply_message(wards, b"+17 abc /tmp/with space")
    assert wards == {"abc": Ward("abc", 17, "/tmp/with space")}
    apply_message(wards, b"-unknown")
    apply_message(wards, b"-abc")
    assert wards == {}
