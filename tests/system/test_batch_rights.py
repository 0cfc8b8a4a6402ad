"""What batch steps may do: whom they run as, which programs they may run, what they get from the ticker.

Only root can run scripts as another user. Run by an ordinary user, the tests of that see to it that the
ticker refuses the flag instead.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from harness import Database, StepLog, Ticker, add_job, batch_step, make_due, runs, step_logs, wait_until
from harness.following import follow_job, wait_for_runs
from harness.processes import SERVER_USER, is_running, tied_to_us
from harness.ticker import ROOT

Connection = psycopg.Connection[TupleRow]
Follow = Callable[[str], StepLog]

IS_ROOT = os.geteuid() == 0
NOBODY = "nobody"
WARNING = "scripts run as root"

FEW_RIGHTS = ("setpriv", "--bounding-set", "-all,+chown,+kill,+setgid,+setuid", "--inh-caps", "-all", "--")
"""Leaves root no more than the ticker needs: not even a container's, and no look into the processes of others."""

FAMILY = """
trap '' TERM
sleep 1000 & echo $! >> "$TMPDIR/pids"
setsid sh -c 'echo $$ >> "$TMPDIR/pids"; exec sleep 1000' &
until [ $(wc -l < "$TMPDIR/pids") -ge 2 ]; do sleep 0.05; done
echo $$ >> "$TMPDIR/pids"
while :; do sleep 0.05; done
"""
"""A script with a child in its group and one that has left it; none of them ends by itself."""


def is_guardian(pid: int) -> bool:
    """Whether a child of the ticker is its guardian; one that has just ended is not."""
    try:
        return "guard" in Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False


@pytest.fixture
def place() -> Iterator[Path]:
    """A TMPDIR that every user can reach and write, as /tmp itself."""
    with tempfile.TemporaryDirectory(prefix="pgagent_py-place-", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o1777)
        (path / "pids").touch()
        (path / "pids").chmod(0o666)
        yield path


def assert_run_as_is_refused(conninfo: str) -> None:
    with Ticker(conninfo, "--run-as", NOBODY) as ticker:
        assert ticker.wait() == 2
        assert "the ticker does not run as root: it cannot run scripts as another user" in ticker.log


def lower_ticker(
    database: Database, place: Path, *options: str, user: str = NOBODY, wrapper: Sequence[str] = ()
) -> Ticker:
    environment = {"TMPDIR": str(place)}
    return Ticker(database.conninfo, "--run-as", user, *options, environment=environment, wrapper=wrapper)


def private_directories(place: Path) -> list[Path]:
    return list(place.glob("pga_*"))


# Whom they run as


@pytest.mark.parametrize("user", [NOBODY, SERVER_USER])
def test_scripts_run_as_the_user_named(connection: Connection, database: Database, place: Path, user: str) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    code = """
        id -ru; id -u; id -rg; id -g; echo $(id -G | tr ' ' '\\n' | sort -n); echo "$USER $LOGNAME $HOME $SHELL"; pwd
        umask; grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status | tr -d '\\t\\n'; echo
        stat -c '%a %U %F' "$0" "$(dirname "$0")"
    """
    before = os.umask(0o027)
    try:
        with lower_ticker(database, place, user=user) as ticker:
            _, (log,) = follow_job(connection, batch_step(code))
            assert WARNING not in ticker.log
    finally:
        os.umask(before)
    entry = pwd.getpwnam(user)
    groups = " ".join(map(str, sorted(os.getgrouplist(user, entry.pw_gid))))
    none = "0" * 16
    assert (log.output or "").splitlines() == [
        *[str(entry.pw_uid)] * 2, *[str(entry.pw_gid)] * 2, groups,
        f"{user} {user} {entry.pw_dir} {entry.pw_shell}", "/",
        "0027", f"CapPrm:{none}CapEff:{none}CapAmb:{none}",
        f"700 {user} regular file", f"700 {user} directory",
    ]  # fmt: skip
    assert not private_directories(place)


def test_user_by_number(connection: Connection, database: Database, place: Path) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    with lower_ticker(database, place, user=str(pwd.getpwnam(NOBODY).pw_uid)):
        _, (log,) = follow_job(connection, batch_step("id -un"))
    assert log.output == f"{NOBODY}\n"


def test_unknown_user_is_refused(database: Database) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    with Ticker(database.conninfo, "--run-as", "no-such-user") as ticker:
        assert ticker.wait() == 2
        assert 'user "no-such-user" does not exist' in ticker.log


def test_scripts_of_another_user_have_no_hold_on_the_ticker(
    connection: Connection, database: Database, place: Path
) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    code = """
        for number in $PPID $(cat /proc/$PPID/task/$PPID/children); do
            [ $number = $$ ] && continue
            kill -0 $number 2>/dev/null && echo "could signal $number"
            cat /proc/$number/environ 2>/dev/null && echo "could read $number"
            ls /proc/$number/fd 2>/dev/null && echo "could see $number"
        done
        touch "$TMPDIR/.." /root/x 2>/dev/null && echo "could write"
        echo tried
    """
    with lower_ticker(database, place) as ticker:
        _, (log,) = follow_job(connection, batch_step(code))
        assert log.output == "tried\n"
        assert ticker.stop() == 0


def test_scripts_can_open_their_own_output(connection: Connection, database: Database, place: Path) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    with lower_ticker(database, place):
        _, (log,) = follow_job(connection, batch_step("echo out > /proc/self/fd/1; echo err > /proc/self/fd/2"))
    assert log.output == "out\n\nScript Error: \nerr\n\n"


def test_place_that_the_user_cannot_write(connection: Connection, database: Database, place: Path) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    place.chmod(0o755)
    with lower_ticker(database, place):
        _, (log,) = follow_job(connection, batch_step("echo no"))
    assert (log.status, log.result) == ("f", -1)
    assert log.output == f"[could not create a directory in {place}: Permission denied]\n"


def test_whatever_is_left_is_removed_with_the_users_rights(
    connection: Connection, database: Database, place: Path
) -> None:
    """A script replaces its directory by a link to one of root's: nothing in there may vanish."""
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    precious = place / "precious"
    precious.mkdir()
    inside = 'd="$(dirname "$0")"; mkdir -p "$d/a/b"; touch "$d/a/b/c"; chmod 555 "$d/a/b"'
    replaced = f'd="$(dirname "$0")"; touch "{place}/name"; mv "$d" "{place}/moved"; ln -s {precious} "$d"; echo ok'
    with lower_ticker(database, place):
        follow_job(connection, batch_step(inside))
        assert not private_directories(place)
        jobid = add_job(connection, "job", batch_step(replaced))
        stepid = connection.execute("select max(jstid) from pgagent.pga_jobstep").fetchall()[0][0]
        (precious / f"{jobid}_{stepid}.scr").touch()
        make_due(connection, jobid)
        (run,) = wait_for_runs(connection, jobid)
        assert [log.output for log in step_logs(connection, run)] == ["ok\n"]
    assert list(precious.iterdir()) == [precious / f"{jobid}_{stepid}.scr"]
    assert not private_directories(place)


def start_family(connection: Connection, place: Path) -> tuple[int, list[int]]:
    """Make a job with FAMILY due; returns its id and, once they all run, the processes of the script."""
    jobid = add_job(connection, "job", batch_step(FAMILY))
    make_due(connection, jobid)

    def find() -> list[int] | None:
        found = [int(line) for line in (place / "pids").read_text().splitlines()]
        return found if len(found) == 3 else None

    pids = wait_until(find, what="the script and its children to run")
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in pids}
    assert owners == {pwd.getpwnam(NOBODY).pw_uid}
    return jobid, pids


def wait_until_gone(pids: list[int], place: Path) -> None:
    wait_until(lambda: not any(map(is_running, pids)), what="the processes of the script to end")
    wait_until(lambda: not private_directories(place), what="the private directory to be removed")


@pytest.mark.parametrize("wrapper", [(), FEW_RIGHTS])
def test_killed_ticker_leaves_nothing_of_another_user(
    connection: Connection, database: Database, place: Path, wrapper: Sequence[str]
) -> None:
    """Also with the few capabilities of root in a container, which may not even read the environment of others."""
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    with lower_ticker(database, place, wrapper=wrapper) as ticker:
        _, pids = start_family(connection, place)
        guardian = [pid for pid in ticker.children() if is_guardian(pid)]
        assert len(guardian) == 1
        ticker.kill9()
        wait_until_gone([*pids, *guardian], place)


def test_script_of_another_user_ends_with_the_ticker_without_a_guardian(
    connection: Connection, database: Database, place: Path
) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    with lower_ticker(database, place) as ticker:
        _, pids = start_family(connection, place)
        for pid in ticker.children():
            if is_guardian(pid):
                os.kill(pid, signal.SIGKILL)
        ticker.kill9()
        wait_until(lambda: not is_running(pids[-1]), what="the script itself to end")
        for pid in pids[:-1]:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("wrapper", [(), FEW_RIGHTS])
def test_stopped_ticker_ends_the_scripts_of_another_user(
    connection: Connection, database: Database, place: Path, wrapper: Sequence[str]
) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    with lower_ticker(database, place, "--grace", "0.3", wrapper=wrapper) as ticker:
        jobid, pids = start_family(connection, place)
        assert ticker.stop() == 0
    wait_until_gone(pids, place)
    (run,) = runs(connection, jobid)
    (log,) = step_logs(connection, run)
    assert (run.status, log.result) == ("d", 137)
    assert "the ticker was stopped" in (log.output or "")


def test_cancelled_run_ends_a_script_of_another_user(connection: Connection, database: Database, place: Path) -> None:
    if not IS_ROOT:
        assert_run_as_is_refused(database.conninfo)
        return
    with lower_ticker(database, place, "--grace", "0.3"):
        jobid, pids = start_family(connection, place)
        connection.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog where jlgjobid = %s", (jobid,))
        wait_until_gone(pids, place)
        assert [run.status for run in wait_for_runs(connection, jobid)] == ["d"]


def test_root_is_warned_once_about_scripts_as_root(connection: Connection, database: Database) -> None:
    with Ticker(database.conninfo) as ticker:
        follow_job(connection, batch_step("true"))
        follow_job(connection, batch_step("true"))
        assert ticker.log.count(WARNING) == (1 if IS_ROOT else 0)
    with Ticker(database.conninfo, "--no-batch") as ticker:
        ticker.wait_for_line("connected session=due")
        assert WARNING not in ticker.log


# Which programs they may run


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """A directory of programs beside one with others, which every user can reach."""
    with tempfile.TemporaryDirectory(prefix="pgagent_py-programs-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        directory = Path(name) / "programs"
        directory.mkdir()
        make_program(directory / "show", '#!/bin/sh\nfor word in "$0" "$@"; do echo "<$word>"; done; pwd; ls -A\n')
        make_program(directory / "headless", "echo no\n")
        make_program(directory / "homeless", "#!/no/such/interpreter\n")
        make_program(directory / "data", "#!/bin/sh\n", 0o644)
        make_program(directory.parent / "other", "#!/bin/sh\necho other\n")
        (directory / "away").symlink_to(directory.parent / "other")
        (directory.parent / "link").symlink_to(directory / "show")
        shutil.copy("/bin/sleep", directory / "sleep")
        yield directory


def make_program(path: Path, text: str, mode: int = 0o755) -> None:
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def program_log(connection: Connection, database: Database, place: Path, programs: Path) -> Iterator[Follow]:
    options = ["--program-directory", "/usr/sbin", "--program-directory", str(programs)]
    if IS_ROOT:
        options += ["--run-as", NOBODY]
    with Ticker(database.conninfo, *options, environment={"TMPDIR": str(place)}):

        def follow(code: str) -> StepLog:
            _, (log,) = follow_job(connection, batch_step(code.replace("{0}", str(programs))))
            return log

        yield follow
    assert not private_directories(place)


def test_programs_of_the_directory_run_without_a_shell(program_log: Follow, programs: Path, place: Path) -> None:
    for word in ("{0}/show", "{0}/../link", "{0}//./show"):
        log = program_log(f"  {word} 'a  b' $HOME \"`id`\" > /tmp/x ; *\r\n")
        assert (log.status, log.result) == ("s", 0)
        *words, directory = (log.output or "").splitlines()
        assert words == [f"<{one}>" for one in (f"{programs}/show", "a  b", "$HOME", "`id`", ">", "/tmp/x", ";", "*")]
        assert Path(directory).parent == place
        assert Path(directory).name.startswith("pga_")


@pytest.mark.parametrize(
    ("code", "exit_code", "reason"),
    [
        ("echo script", 126, '"echo" is not allowed'),
        ("", 126, "no command"),
        ("#!/bin/sh\n{0}/show", 126, "more than one line"),
        ("{0}/show\nid", 126, "more than one line"),
        ("{0}/show # why", 126, "a comment"),
        ("{0}/show 'a", 126, "no closing quotation"),
        ("/bin/sh -c id", 126, '"/bin/sh" is not allowed'),
        ("{0}/../other", 126, 'other" is not allowed'),
        ("{0}/away", 126, 'away" is not allowed'),
        ("/no/such/program", 126, '"/no/such/program" is not allowed'),
        ("{0}/missing", 127, "No such file or directory"),
        ("{0}/data", 126, "is not an executable file"),
    ],
)
def test_whatever_else_fails_and_says_what_is_allowed(
    program_log: Follow, programs: Path, code: str, exit_code: int, reason: str
) -> None:
    log = program_log(code)
    assert (log.status, log.result) == ("f", exit_code)
    assert reason in (log.output or "")
    assert f"allowed are programs in /usr/sbin, {programs}" in (log.output or "")


@pytest.mark.parametrize(
    ("name", "exit_code", "reason"),
    [("headless", 126, "Exec format error"), ("homeless", 127, "No such file or directory")],
)
def test_program_that_the_system_cannot_execute(
    program_log: Follow, programs: Path, name: str, exit_code: int, reason: str
) -> None:
    log = program_log(f"{programs}/{name}")
    assert (log.status, log.result) == ("f", exit_code)
    assert log.output == f'[cannot run the program "{programs}/{name}": {reason}]\n'


def test_program_of_a_cancelled_run_is_ended(
    connection: Connection, database: Database, programs: Path, place: Path
) -> None:
    options = ["--program-directory", str(programs), "-l", "2"]
    with Ticker(database.conninfo, *options, environment={"TMPDIR": str(place)}) as ticker:
        jobid = add_job(connection, "job", batch_step(f"{programs}/sleep 1000"))
        make_due(connection, jobid)
        ticker.wait_for_line("script started")
        connection.execute("select pgagent.cancel_run(jlgid) from pgagent.pga_joblog where jlgjobid = %s", (jobid,))
        assert [run.status for run in wait_for_runs(connection, jobid)] == ["d"]
    assert not private_directories(place)


@pytest.mark.parametrize(
    ("directory", "message"), [("bin", "not an absolute path"), ("/no/such/directory", "not a directory")]
)
def test_wrong_program_directory_ends_with_status_2(directory: str, message: str) -> None:
    with Ticker("dbname=x", "--program-directory", directory) as ticker:
        assert ticker.wait() == 2
        assert f'"{directory}" is {message}' in ticker.log


def test_warning_about_a_directory_that_programs_can_change(database: Database, place: Path) -> None:
    who = ["--run-as", NOBODY] if IS_ROOT else []
    with Ticker(
        database.conninfo, "--program-directory", "/usr/bin", "--program-directory", str(place), *who
    ) as ticker:
        ticker.wait_for_line(f"programs can add to their own directory directory={place}")
        ticker.wait_for_line("connected session=batch")
        assert ticker.log.count("programs can add") == 1


# What they get from the ticker


def test_scripts_have_no_terminal_no_input_and_no_descriptors(
    connection: Connection, database: Database, tmp_path: Path
) -> None:
    """Of a ticker that was started in a terminal and was handed a descriptor itself."""
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with (tmp_path / "handed on").open("w") as handed_on:
        process = start_ticker(
            [*ticker_command("-s", str(tmp_path / "log")), database.conninfo],
            stdin=theirs, stdout=theirs, stderr=theirs, pass_fds=[handed_on.fileno()], preexec_fn=take_terminal,
        )  # fmt: skip
    os.close(theirs)
    try:
        wait_until(lambda: terminal_of(process.pid) != 0, what="the ticker to have a terminal")
        code = """
            readlink /proc/self/fd/0; ls -l /proc/self/fd | grep -c -- '->'
            (: > /dev/tty) 2>/dev/null && echo terminal; ps -o tty= -p $$; [ $(ps -o sid= -p $$) = $$ ] && echo leader
        """
        _, (log,) = follow_job(connection, batch_step(code))
        # The fourth is of ls itself.
        assert (log.output or "").split() == ["/dev/null", "4", "?", "leader"]
    finally:
        process.terminate()
        assert process.wait() == 0
        os.close(ours)


def test_ticker_without_standard_descriptors(connection: Connection, database: Database, tmp_path: Path) -> None:
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    log_file = tmp_path / "log"
    process = start_ticker([*shell, *ticker_command("-s", str(log_file)), database.conninfo])
    try:
        _, (log,) = follow_job(connection, batch_step("cat; echo out; echo err >&2"))
        assert log.output == "out\n\nScript Error: \nerr\n\n"
    finally:
        process.terminate()
        assert process.wait() == 0
    assert "stopped" in log_file.read_text()


def ticker_command(*options: str) -> list[str]:
    return tied_to_us([sys.executable, "-m", "pgagent_ticker", *options], "TERM")


def start_ticker(command: list[str], **how: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "ticker")}
    return subprocess.Popen(command, env=environment, start_new_session=True, **how)  # type: ignore[call-overload,no-any-return]


def terminal_of(pid: int) -> int:
    """Return the number of a process's controlling terminal, 0 for none."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[4])


# Passwords

PASSWORD = "geheim und lang"  # noqa: S105


@pytest.mark.parametrize("way", ["argument", "variable", "file"])
def test_password_of_the_connection_stays_with_the_ticker(
    connection: Connection, database: Database, tmp_path: Path, way: str
) -> None:
    environment = {}
    conninfo = database.conninfo
    if way == "argument":
        conninfo = make_conninfo(conninfo, password=PASSWORD)
    elif way == "variable":
        environment["PGPASSWORD"] = PASSWORD
    else:
        file = tmp_path / "pgpass"
        file.write_text(f"*:*:*:*:{PASSWORD}\n")
        file.chmod(0o600)
        environment["PGPASSFILE"] = str(file)
    with Ticker(conninfo, "-l", "2", environment=environment) as ticker:
        code = "env; cat /proc/self/environ; tr '\\0' ' ' < /proc/self/cmdline"
        _, (log,) = follow_job(connection, batch_step(code))
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in (ticker.pid, *ticker.children())]
        connection.execute("select pg_terminate_backend(%s)", (ticker.server_pid("batch"),))
        ticker.wait_for_line("connection lost")
        wait_until(lambda: ticker.log.count("connected session=batch") == 2, what="the ticker to be back")
        assert ticker.stop() == 0
        assert PASSWORD not in ticker.log
        assert ("can be seen by other users" in ticker.log) is (way == "argument")
    assert PASSWORD not in (log.output or "")
    assert any(PASSWORD in command for command in commands) is (way == "argument")
