"""The command at a terminal of 80 columns and 24 lines."""

from __future__ import annotations

import re
import signal

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import WAITING_CODE, Database, Ticker, hold_steps, release_steps, run_due, value, wait_until
from harness.command import COLUMNS, LINES, Command
from pgagent_cli.commands.run import HAS_AGENT

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

CROSS = "\N{MULTIPLICATION SIGN}"


@pytest.fixture
def jobs(connection: Session, database: Database) -> None:
    """The job "good", which has succeeded, and "bad", which has failed."""
    for name, code in (("good", "select 1"), ("bad", "select 1/0")):
        connection.execute("select pgagent.create_job(%s, schedule => '30 2 * * *', sql => %s)", (name, code))
        connection.execute("select pgagent.run_now(%s)", (name,))
    # A session that has called run_due counts as an agent while it lasts.
    with psycopg.connect(database.conninfo, autocommit=True) as engine:
        run_due(engine)


@pytest.mark.usefixtures("jobs")
def test_jobs_have_colours_and_fit(connection: Session, command: Command) -> None:
    connection.execute("select pgagent.alter_job('good', new_name => %s)", (f"good {'x' * 200}\x1b[31m",))
    with command.at_terminal("jobs") as terminal:
        assert terminal.wait() == 0
        assert terminal.styles_of("failed") == {"red"}
        assert terminal.styles_of("succeeded") == {"green"}
        assert max(len(line) for line in terminal.text.splitlines()) <= COLUMNS
        assert "…" in terminal.text


@pytest.mark.usefixtures("jobs")
def test_no_color_takes_the_colours_away(command: Command) -> None:
    with command.at_terminal("jobs", NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
        assert terminal.styles_of("failed") == {"default"}


@pytest.mark.usefixtures("jobs")
def test_history_is_red_where_it_failed(command: Command) -> None:
    with command.at_terminal("history") as terminal:
        assert terminal.wait() == 0
        lines = terminal.text.splitlines()
        assert max(len(line) for line in lines) <= COLUMNS
        assert re.fullmatch(f"bad +{CROSS} +1 +1", lines[1])
        assert re.fullmatch(r"good +[▁-█] +1", lines[2])
        assert terminal.styles_of(CROSS) == {"red"}
        assert "green" in terminal.styles_of("▁") | terminal.styles_of("█")


@pytest.mark.usefixtures("jobs")
def test_top_lives(connection: Session, command: Command) -> None:
    with command.at_terminal("top", "--interval", "0.1") as terminal:
        text = terminal.wait_for(lambda text: "Coming" in text)
        assert text.splitlines()[1].startswith("health: ")
        assert len(text.splitlines()) <= LINES
        assert terminal.styles_of("failed") >= {"red"}
        connection.execute("select pgagent.create_job('a new one', schedule => '31 2 * * *', sql => 'select 1')")
        terminal.wait_for(lambda text: "a new one" in text)
        terminal.press(b"q")
        assert terminal.wait() == 0
    assert b"\x1b[?1049l" in terminal.written, "the screen from before is back"


@pytest.mark.usefixtures("jobs")
def test_top_is_one_screen_at_a_dumb_terminal(command: Command) -> None:
    with command.at_terminal("top", TERM="dumb") as terminal:
        assert terminal.wait() == 0
        assert "Coming" in terminal.text


@pytest.mark.usefixtures("jobs")
def test_top_goes_on_when_its_connection_is_lost(connection: Session, command: Command) -> None:
    with command.at_terminal("top", "--interval", "0.1") as terminal:
        terminal.wait_for(lambda text: "Coming" in text)
        before = terminal.text.splitlines()[0]
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgagent-py'"
        )
        terminal.wait_for(lambda text: text.splitlines()[0] > before and "health: " in text)
        terminal.press(b"\x03")
        assert terminal.wait() == 130


def test_ctrl_c_leaves_the_run_alone(connection: Session, command: Command, database: Database) -> None:
    hold_steps(connection)
    connection.execute("select pgagent.create_job('long', sql => %s)", (WAITING_CODE,))
    with Ticker(database.conninfo) as ticker:
        wait_until(lambda: value(connection, HAS_AGENT), what=lambda: f"a ticker to connect\n{ticker.log}")
        with command.at_terminal("run", "long") as terminal:
            terminal.wait_for(lambda text: "goes on, for" in text)
            terminal.press(b"\x03")
            assert terminal.wait() == 130
        run = value(connection, "select run from pgagent.running")
        assert f"run {run} goes on: pgagent-py log {run} --follow" in " ".join(terminal.text.split())
        release_steps(connection)
        assert value(connection, "select pgagent.wait_for_run(%s, '20 s')", run) == "succeeded"
        assert ticker.stop(signal.SIGTERM) == 0


def test_without_a_ticker_run_asks(connection: Session, command: Command) -> None:
    connection.execute("select pgagent.create_job('job', sql => 'select 1')")
    with command.at_terminal("run", "job") as terminal:
        terminal.wait_for(lambda text: "Run it here, in this session? [Y/n]" in text)
        terminal.press(b"\n")
        assert terminal.wait() == 0
        assert "of job: succeeded after" in terminal.text


@pytest.mark.usefixtures("jobs")
def test_a_password_is_asked_for_and_not_shown(command: Command) -> None:
    with command.connected_by(None).at_terminal("-W", "-d", command.conninfo, "jobs") as terminal:
        terminal.wait_for(lambda text: "Password:" in text)
        terminal.press(b"secret\n")
        assert terminal.wait() == 0
        assert "succeeded" in terminal.text
        assert "secret" not in terminal.text


def test_drop_asks(connection: Session, command: Command) -> None:
    connection.execute("select pgagent.create_job('job', sql => 'select 1')")
    for answer, exit_code, left in ((b"n\n", 1, 1), (b"y\n", 0, 0)):
        with command.at_terminal("drop", "job") as terminal:
            terminal.wait_for(lambda text: 'Drop job "job" and the logs of its 0 runs? [y/N]' in text)
            terminal.press(answer)
            assert terminal.wait() == exit_code
        assert value(connection, "select count(*) from pgagent.pga_job") == left


@pytest.mark.usefixtures("jobs")
def test_findings_are_shown_with_their_remedy(command: Command) -> None:
    with command.at_terminal("health") as terminal:
        assert terminal.wait() == 6
        assert "→ " in terminal.text
        assert terminal.styles_of("WARNING") == {"brown"}
