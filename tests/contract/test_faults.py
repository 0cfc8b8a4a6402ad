"""docs/faults.md names a system test for every fault; each exists, and none of those that inject faults is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"

_CODE = re.compile(r"`([^`]+)`")
_HEADS = ("| event |", "| --- |")


def read_rows() -> dict[str, set[tuple[str, str]]]:
    """Return the tests of each event, as file and name."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not line.startswith(_HEADS)]
    return {event.strip(): read_tests(tests) for _, event, _, tests, _ in (line.split("|") for line in lines)}


def read_tests(cell: str) -> set[tuple[str, str]]:
    """Return what a cell names: a file, then tests in it, then perhaps another file."""
    found, file = set(), ""
    for word in _CODE.findall(cell):
        if word.endswith(".py"):
            file = word
        else:
            found.add((file, word))
    return found


def find_tests(file: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_event_has_a_system_test() -> None:
    rows = read_rows()
    assert rows
    without = [event for event, tests in rows.items() if not any(file.startswith("tests/system/") for file, _ in tests)]
    assert without == []


def test_every_test_that_is_named_exists() -> None:
    named = set().union(*read_rows().values())
    assert [test for test in sorted(named) if test[1] not in find_tests(test[0])] == []


def test_every_test_that_injects_faults_is_named() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "system").glob("test_fault_*.py")]
    injecting = {(file, name) for file in files for name in find_tests(file)}
    assert sorted(injecting - set().union(*read_rows().values())) == []
