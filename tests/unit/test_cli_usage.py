from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click
import psycopg
import pytest
from click.shell_completion import BashComplete

from pgagent_cli import app, connection
from pgagent_cli.cli import COMMANDS, cli, main
from pgagent_cli.commands.ticker import environment
from pgagent_cli.connection import Target, read_target
from pgagent_cli.outcome import Exit, Failure, hint_for, to_failure


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    told = command(name).help
    assert told is not None
    assert f"pgagent-py {name}" in told or isinstance(command(name), click.Group)
    first = told.split("\n")[0]
    assert first.endswith(".")
    assert len(first) <= 60, "the list of commands would cut it"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    options = [option for option in command(name).params if isinstance(option, click.Option)]
    assert all(option.help and option.help.rstrip(")").endswith((".", "'")) for option in options)


def test_the_help_documents_the_exit_codes() -> None:
    assert cli.help is not None
    documented = {int(line.split()[0]) for line in cli.help.split("Exit codes:")[1].splitlines() if line.strip()}
    assert documented == set(Exit)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["jbos"], "No such command 'jbos', do you mean 'jobs'?"),
        (["runs", "--limit", "0"], "Invalid value for '-n' / '--limit': 0 is not in the range x>=1."),
        (["show"], "Missing argument 'JOB'."),
        (["-d", "host=a bad", "jobs"], "cannot read the connection string"),
        (["create", "x", "--sql", "a", "--file", "b"], "only one of --sql, --batch and --file can be given"),
        (["run", "x", "--here", "--no-wait"], "--here waits: it cannot be used together with --no-wait"),
        (["log", "1", "--follow", "--json"], "--follow and --json cannot be used together"),
        (["import"], "Missing command."),
        (["run", "x", "--timeout", "soon"], "Invalid value for '--timeout': 'soon' is not a valid number."),
        (["cancel", "x"], "Invalid value for 'RUN': 'x' is not a valid whole number."),
    ],
)
def test_wrong_usage_is_an_error_and_no_traceback(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == Exit.USAGE
    assert capsys.readouterr().err.startswith(f"error: {message}\n")


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("permission denied for schema pgagent", "grant_use"),
        ("permission denied for function health", "GRANT EXECUTE ON FUNCTION pgagent.health()"),
        ("permission denied for function run_due", "grant_ticker"),
    ],
)
def test_a_missing_right_comes_with_who_gives_it(message: str, remedy: str) -> None:
    assert remedy in (hint_for("42501", message) or "")


def test_who_puts_the_database_behind_the_command_is_told_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "-d", "postgres"]) == Exit.USAGE
    assert "HINT: -d stands before the command: pgagent-py -d ... runs" in capsys.readouterr().err


def test_the_options_are_those_of_psql() -> None:
    assert read_target("jobs", "db1", "5433", "ann", None).settings == {
        "dbname": "jobs",
        "host": "db1",
        "port": "5433",
        "user": "ann",
    }
    assert read_target(None, None, None, None, None).settings == {}


@pytest.mark.parametrize("dbname", ["host=db2 dbname=x", "postgresql://db2/x", "postgres://db2/x"])
def test_a_connection_string_goes_before_the_options(dbname: str) -> None:
    assert read_target(dbname, "db1", "5433", None, None).settings == {"host": "db2", "port": "5433", "dbname": "x"}


@pytest.mark.parametrize(("options", "ask_password"), [([], None), (["-w"], False), (["-W"], True)])
def test_a_password_is_asked_for_when_the_server_wants_one(
    options: list[str], ask_password: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool | None] = []

    def connect(target: Target) -> NoReturn:
        found.append(target.ask_password)
        raise Failure("enough")

    monkeypatch.setattr(app, "connect", connect)
    assert main([*options, "jobs"]) == Exit.FAILED
    assert found == [ask_password]


def test_nobody_to_ask_for_a_password_is_no_connection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def getpass(_: str) -> NoReturn:
        raise EOFError

    monkeypatch.setattr(connection, "getpass", getpass)
    assert main(["-W", "jobs"]) == Exit.NO_CONNECTION
    assert capsys.readouterr().err.startswith("error: a password is wanted, and nobody is there to ask\nHINT: ")


def test_no_password_is_shown() -> None:
    with pytest.raises(Failure) as caught:
        read_target("password=secret nonsense", None, None, None, None)
    assert "secret" not in f"{caught.value.message} {caught.value.detail}"
    assert "secret" not in repr(read_target("password=secret", None, None, None, None))


def test_the_ticker_gets_the_connection_in_its_environment() -> None:
    assert environment({"host": "db1", "dbname": "x", "sslmode": "require"}) == {
        "PGHOST": "db1",
        "PGDATABASE": "x",
        "PGSSLMODE": "require",
    }
    with pytest.raises(Failure, match="cannot hand keepalives on"):
        environment({"keepalives": "0"})


def test_the_ticker_needs_nothing_of_the_command() -> None:
    loaded = (
        "import sys, pgagent_ticker.cli, pgagent_ticker.service; print({'click', 'rich', 'yaml'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "ticker")}
    done = subprocess.run([sys.executable, "-c", loaded], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_ticker_is_not_taken_from_the_directory_in_which_one_is(tmp_path: Path) -> None:
    (tmp_path / "pgagent_ticker").mkdir()
    for module in ("pgagent_ticker/__init__.py", "pgagent_ticker/__main__.py", "runpy.py", "psycopg.py"):
        (tmp_path / module).write_text("raise SystemExit('taken')")
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "ticker")}
    # As the console script: by a file of its own, in a directory of its own.
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "pgagent-py"
    script.write_text("import sys\nfrom pgagent_cli.cli import main\nsys.exit(main())\n")
    command = [sys.executable, str(script), "ticker", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: pgagent-ticker ")


def test_the_command_is_a_program() -> None:
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "ticker"), "LC_ALL": "C"}
    command = [sys.executable, "-m", "pgagent_cli"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.OK
    assert done.stdout.startswith("Usage: pgagent-py [OPTIONS] COMMAND")
    done = subprocess.run([*command, "nonsense"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.USAGE


@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-"])
def test_a_standard_file_may_be_closed(redirection: str) -> None:
    done = call(f"{sys.executable} -m pgagent_cli completion bash {redirection}")
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    done = call(f"{sys.executable} -m pgagent_cli diff - {redirection} </dev/null")
    assert "Traceback" not in done.stderr
    done = call(f"{sys.executable} -m pgagent_cli diff - <&-")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: -:1: this is no document of jobs")


def test_output_that_cannot_be_written_is_an_error_and_no_traceback() -> None:
    for arguments in ("--help", "completion zsh"):
        done = call(f"{sys.executable} -m pgagent_cli {arguments} >/dev/full")
        assert (done.returncode, done.stderr.splitlines()) == (
            Exit.FAILED,
            ["error: cannot write the output", "DETAIL: No space left on device"],
        )
    done = call(f"{{ {sys.executable} -m pgagent_cli completion zsh; echo $? >&2; }} | true")
    assert done.stderr in ("0\n", "1\n")  # whether the reader has gone already


def call(line: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "ticker"), "LC_ALL": "C"}
    return subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, check=False)


def test_errors_have_their_codes() -> None:
    assert to_failure(psycopg.OperationalError("the connection is lost")).code == Exit.NO_CONNECTION
    assert to_failure(psycopg.DataError("timestamp too large")).code == Exit.FAILED


def test_the_shell_completes_commands_and_options() -> None:
    completion = BashComplete(cli, {}, "pgagent-py", "_PGAGENT_PY_COMPLETE")
    assert [item.value for item in completion.get_completions([], "he")] == ["health"]
    assert [item.value for item in completion.get_completions(["runs"], "--f")] == ["--failed"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == Exit.OK
    assert "_PGAGENT_PY_COMPLETE" in capsys.readouterr().out
