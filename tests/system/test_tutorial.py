"""docs/tutorial.md, carried out: every block in its order, against a server of its own; what it shows is compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import Cluster, wait_until
from harness.cluster import server_directory
from harness.processes import clean_environment, tied_to_us

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"

_BLOCK = re.compile(r"^```(?P<kind>\w+)(?P<way> background)?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK_SECONDS = 60
_PROGRAMS = {"pgagent-py": "pgagent_cli", "pgagent-ticker": "pgagent_ticker"}


@dataclass(frozen=True, slots=True)
class Block:
    """What is to be typed, where it stands, and what the page says that it shows."""

    line: int
    kind: str
    is_background: bool
    text: str
    shown: str | None = None


def read_blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of SQL and of the shell; one of text after them is what the one before has shown."""
    previous: Block | None = None
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        if found["kind"] == "text":
            assert previous is not None, f"line {line} shows nothing's output"
            previous = Block(previous.line, previous.kind, previous.is_background, previous.text, found["text"])
            continue
        if previous is not None:
            yield previous
        assert found["kind"] in {"sql", "sh"}, f"line {line}: what is this?"
        previous = Block(line, found["kind"], found["way"] is not None, found["text"])
    assert previous is not None
    yield previous


def matches(shown: str, printed: str) -> bool:
    """Whether a text begins as the page shows it: `...` stands for anything, alone on a line for any lines.

    Blanks at the ends of lines do not count.
    """
    lines = [line.rstrip() for line in shown.strip("\n").splitlines()]
    patterns = [
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n" for line in lines
    ]
    text = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    return re.match(r"\n*" + "".join(patterns), text) is not None


class Reader:
    """Somebody who types what the page says, in a directory of theirs."""

    def __init__(self, cluster: Cluster, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        bin_directory = directory / "bin"
        bin_directory.mkdir()
        for program, package in _PROGRAMS.items():
            path = bin_directory / program
            path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {package} "$@"\n')
            path.chmod(0o755)
        self._environment = clean_environment(
            PATH=f"{bin_directory}:{server_directory('bindir')}:{os.environ['PATH']}",
            PYTHONPATH=str(ROOT / "ticker"),
            PGHOST=str(cluster.directory),
            PGPORT=str(cluster.port),
            PGUSER="postgres",
            PGDATABASE="postgres",
            PSQLRC="/nonexistent",
        )

    def type(self, block: Block) -> str:
        """Do what a block says; returns what it has printed."""
        command = ["psql", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-q"] if block.kind == "sql" else ["sh", "-e"]
        if block.is_background:
            self._start(["sh", "-c", f"exec {block.text}"])
            return ""
        done = subprocess.run(
            command,
            input=block.text,
            env=self._environment,
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=_BLOCK_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"line {block.line}:\n{block.text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, command: list[str]) -> None:
        process = subprocess.Popen(
            tied_to_us(command, "TERM"),
            env=self._environment,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)


def test_page_is_carried_out(new_cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    cluster = new_cluster()
    with ExitStack() as stack:
        reader = Reader(cluster, tmp_path, stack)
        for block in read_blocks(PAGE.read_text()):
            printed = reader.type(block)
            if block.shown is not None:
                assert matches(block.shown, printed), f"line {block.line} shows\n{block.shown}\nand printed\n{printed}"
            if block.is_background:
                wait_for_ticker(cluster)


def wait_for_ticker(cluster: Cluster) -> None:
    """A person would see it in the other terminal."""
    with cluster.connect() as conn:
        agents = "select from pgagent.pga_jobagent where jagtakesbatch"
        wait_until(lambda: conn.execute(agents).fetchone() is not None, what="the ticker to be there")


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "b\n", False),
        ("a ... c\n", "a b c\n", True),
        ("...\nz\n", "x\ny\nz\n", True),
        ("a\n...\nz\n", "a\nz\n", True),
        ("a\n", "ab\n", False),
        ("a|b\n", "a|b   \nand more\n", True),
        ("(1 row)\n", "(2 rows)\n", False),
    ],
)
def test_comparison(shown: str, printed: str, expected: bool) -> None:
    assert matches(shown, printed) is expected
