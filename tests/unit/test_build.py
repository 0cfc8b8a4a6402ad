"""The built script: the same bytes each time, a package name that follows the modules, refusals."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def build(tmp_path: Path) -> ModuleType:
    """build.py of a copy of the sources, so that a test may change them."""
    ignored = shutil.ignore_patterns("__pycache__", "build")
    shutil.copytree(ROOT / "extension", tmp_path / "extension", ignore=ignored)
    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    spec = importlib.util.spec_from_file_location("build_of_test", tmp_path / "extension" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def modules(build: ModuleType) -> Path:
    """The folder of the copied modules."""
    directory = build.MODULES
    assert isinstance(directory, Path)
    return directory


def package_of(script: str) -> str:
    """The name of the Python package in a built script, which must be the only one."""
    names: set[str] = set(re.findall(r"pgagent_py_[0-9a-f]{16}", script))
    (name,) = names
    return name


def run_build(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "extension" / "build.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for number, environment in enumerate(
        ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "LC_ALL": "C", "TZ": "Asia/Tokyo"})
    ):
        directory = tmp_path / str(number)
        done = run_build(str(directory), **environment)
        (script,) = directory.iterdir()
        assert done.stdout.strip() == str(script)
        digests.append(hashlib.sha256(script.read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_name_of_the_script_follows_the_control_file(build: ModuleType) -> None:
    control = build.EXTENSION / "pgagent_py.control"
    control.write_text(control.read_text().replace("'1.0'", "'9.8'"))
    assert build.read_version() == "9.8"
    control.write_text("comment = 'nothing'\n")
    with pytest.raises(SystemExit, match="no default_version"):
        build.read_version()


def test_script_holds_each_module_once_and_nothing_to_fill_in(build: ModuleType, modules: Path) -> None:
    script = build.build_script()
    for path in modules.glob("*.py"):
        assert script.count(f"$module_{path.stem}${path.read_text(encoding='utf-8')}$module_{path.stem}$") == 1
    assert re.findall(r"@python_\w+@", script) == []
    assert package_of(script) == f"pgagent_py_{build.hash_modules(build.read_modules())[:16]}"


@pytest.mark.parametrize("change", ["add a blank", "add a module", "rename a module", "move text"])
def test_changed_modules_change_the_name_of_the_package(build: ModuleType, modules: Path, change: str) -> None:
    before = package_of(build.build_script())
    run, errors = modules / "run.py", modules / "errors.py"
    if change == "add a blank":
        run.write_text(run.read_text() + " ")
    elif change == "add a module":
        (modules / "added.py").write_text("")
    elif change == "rename a module":
        run.rename(modules / "runs.py")
    else:
        text = run.read_text()
        run.write_text(text[:-1])
        errors.write_text(errors.read_text() + text[-1])
    assert package_of(build.build_script()) != before


def test_changed_sql_keeps_the_name_of_the_package(build: ModuleType) -> None:
    before = package_of(build.build_script())
    path = build.SQL / "functions" / "run_due.sql"
    path.write_text(path.read_text() + "-- more\n")
    assert package_of(build.build_script()) == before


@pytest.mark.parametrize("tag", ["$module_run$", "$source_of_pgagent_py$"])
def test_dollar_quote_of_the_build_in_a_module_is_refused(build: ModuleType, modules: Path, tag: str) -> None:
    path = modules / "run.py"
    path.write_text(path.read_text() + f"# {tag}\n")
    with pytest.raises(SystemExit, match=r"run\.py"):
        build.build_script()


def test_sql_file_that_is_not_listed_is_refused(build: ModuleType) -> None:
    (build.SQL / "functions" / "forgotten.sql").write_text("select 1;\n")
    with pytest.raises(SystemExit, match="forgotten"):
        build.build_script()


def test_placeholder_in_a_module_stays_as_it_is(build: ModuleType, modules: Path) -> None:
    """Sources are embedded verbatim, whatever they say: the checksum is taken of the original."""
    path = modules / "run.py"
    path.write_text(path.read_text() + "# @python_package@ @python_sha256@ @python_values@\n")
    assert f"{path.read_text()}$module_run$" in build.build_script()


def test_every_module_compiles_without_a_warning(modules: Path) -> None:
    for path in modules.glob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)


def test_modules_are_plain_ascii(modules: Path) -> None:
    """So that the script goes into a database of any encoding."""
    assert [path.name for path in modules.glob("*.py") if not path.read_bytes().isascii()] == []


def test_no_module_of_the_server_imports_plpy(modules: Path) -> None:
    at_module_level = re.compile(r"^(import|from)\s+plpy\b", re.MULTILINE)
    assert [path.name for path in modules.glob("*.py") if at_module_level.search(path.read_text())] == []


@pytest.fixture(autouse=True)
def _no_bytecode() -> Iterator[None]:
    """build.py is imported from a folder of its own each time."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    yield
    sys.dont_write_bytecode = before
