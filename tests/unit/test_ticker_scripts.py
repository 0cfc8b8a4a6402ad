from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgagent_ticker import launch, processes
from pgagent_ticker.guardian import Guardian
from pgagent_ticker.scripts import BatchStep, Outcome, Script, explain_refusal

DEADLINE_SECONDS = 20.0
MEGABYTE = 1 << 20
READY = ': > "$TMPDIR/ready"'


@pytest.fixture(name="guardian")
def _guardian() -> Iterator[Guardian]:
    guardian = Guardian()
    yield guardian
    guardian.close()


@pytest.fixture(name="place", autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "with space"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def make_step(code: str, number: int = 1, output_limit: int = MEGABYTE) -> BatchStep:
    run, job, step = number + 100, number + 200, number + 300
    return BatchStep(number, run, job, f"job {number}", step, "step", code, output_limit)


def run(guardian: Guardian, code: str, output_limit: int = MEGABYTE) -> Outcome:
    return asyncio.run(Script(make_step(code, output_limit=output_limit), guardian, 10.0).run())


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("code", "exit_code", "output"),
    [
        ("echo hello", 0, "hello\n"),
        ("", 0, ""),
        ("exit 3", 3, ""),
        ("printf '  a\\n\\n'", 0, "  a\n\n"),
        ("echo warned >&2", 0, "\nScript Error: \nwarned\n\n"),
        ("echo out; echo err >&2; exit 1", 1, "out\n\nScript Error: \nerr\n\n"),
        ("echo one\r\necho two\r\n", 0, "one\ntwo\n"),
        ("#!/usr/bin/env python3\nprint(6 * 7)", 0, "42\n"),
        ("#!/bin/sh -e\r\nfalse\r\necho not reached\r\n", 1, ""),
        ("#! /bin/sh\necho spaced", 0, "spaced\n"),
        ("#!\necho fallback", 0, "fallback\n"),
        ("kill -TERM $$", 143, ""),
        ("kill -KILL $$", 137, ""),
        ("printf 'caf\\351 \\000 \\377'", 0, "caf\\xe9 \\x00 \\xff"),
        ("cat", 0, ""),
        ('echo "$PGAGENT_JOBID $PGAGENT_JOBNAME $PGAGENT_STEPID $PGAGENT_RUNID"', 0, "201 job 1 301 101\n"),
        ("echo žluťoučký", 0, "žluťoučký\n"),
        ('echo "caf\udce9"', 0, "caf\\xe9\n"),
    ],
)
def test_exit_code_and_output(guardian: Guardian, place: Path, code: str, exit_code: int, output: str) -> None:
    assert run(guardian, code) == Outcome(exit_code, output)
    assert list(place.iterdir()) == []


def test_a_missing_command_inside_the_script_is_the_shells_affair(guardian: Guardian) -> None:
    outcome = run(guardian, "no-such-command-here")
    assert outcome.exit_code == 127
    assert "no-such-command-here" in outcome.output


def test_a_missing_interpreter_is_named(guardian: Guardian) -> None:
    outcome = run(guardian, "#!/no/such/interpreter -x\necho hello")
    assert outcome == Outcome(
        127, '[cannot run the script with "/no/such/interpreter -x": No such file or directory]\n'
    )


def test_an_interpreter_that_is_not_executable_is_named(guardian: Guardian) -> None:
    outcome = run(guardian, "#!/etc/passwd\necho hello")
    assert outcome == Outcome(126, '[cannot run the script with "/etc/passwd": Permission denied]\n')


def test_the_directory_is_private_and_the_rest_is_the_tickers(guardian: Guardian, place: Path) -> None:
    outcome = run(guardian, 'echo "$0"; stat -c %a "$0" "$(dirname "$0")"; pwd; ps -o pid=,pgid=,sid= -p $$')
    path, file_mode, directory_mode, directory, process = outcome.output.splitlines()
    assert Path(path).parent.parent == place
    assert Path(path).parent.name.startswith("pga_201_301_")
    assert Path(path).name == "201_301.scr"
    assert (file_mode, directory_mode) == ("700", "700")
    assert directory == str(Path.cwd())
    assert len(set(process.split())) == 1


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        launch.write_script(str(tmp_path / "x"), b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700


def test_no_descriptor_is_handed_on(guardian: Guardian) -> None:
    with Path("/etc/passwd").open() as opened:
        os.set_inheritable(opened.fileno(), True)
        outcome = run(guardian, "readlink /proc/self/fd/0; ls /proc/self/fd")
    assert outcome.output.split() == ["/dev/null", "0", "1", "2", "3"]  # the last is of ls itself


@pytest.mark.parametrize("bad", ["/no/such/place", "/dev/null"])
def test_a_bad_tmpdir_fails_the_step_clearly(guardian: Guardian, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("TMPDIR", bad)
    outcome = run(guardian, "echo hello")
    assert outcome.exit_code == -1
    assert outcome.output.startswith(f"[could not create a directory in {bad}: ")


def test_a_full_disk_fails_the_step_clearly(guardian: Guardian, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str, _code: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(launch, "write_script", refuse)
    outcome = run(guardian, "echo hello")
    assert outcome.exit_code == -1
    assert "No space left on device" in outcome.output


def test_scarce_resources_are_no_fault_of_the_script() -> None:
    assert explain_refusal(OSError(errno.EAGAIN, "later"), "it") == ("could not start it: later", -1)
    assert explain_refusal(OSError(errno.E2BIG, "too big"), "it") == ("cannot run it: too big", 126)


def test_a_huge_output_is_kept_at_both_ends(guardian: Guardian) -> None:
    code = "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last"
    outcome = run(guardian, code, output_limit=1000)
    assert outcome.exit_code == 0
    assert outcome.output.startswith("first\nxxx")
    assert outcome.output.endswith("xxx\nlast\n")
    assert "49999012 bytes left out" in outcome.output
    assert len(outcome.output) < 1100


def test_binary_output_of_both_streams_can_be_stored(guardian: Guardian) -> None:
    outcome = run(guardian, "head -c 3000000 /dev/urandom; head -c 3000000 /dev/urandom >&2", 100_000)
    assert outcome.exit_code == 0
    assert "\0" not in outcome.output
    assert outcome.output.count("bytes left out") == 2


def test_many_at_once_are_not_mixed_up(guardian: Guardian) -> None:
    async def run_all() -> list[Outcome]:
        codes = [f"for i in 1 2 3; do echo {n}; echo e{n} >&2; done; exit {n}" for n in range(20)]
        return await asyncio.gather(
            *(Script(make_step(code, number), guardian, 10.0).run() for number, code in enumerate(codes))
        )

    for number, outcome in enumerate(asyncio.run(run_all())):
        errors = f"e{number}\n" * 3
        assert outcome == Outcome(number, f"{number}\n" * 3 + f"\nScript Error: \n{errors}\n")


def test_a_process_left_behind_does_not_hold_the_step(guardian: Guardian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LINGER_SECONDS", 0.1)
    outcome = run(guardian, "sleep 60 & echo $!")
    child = int(outcome.output.split()[0])
    assert outcome.exit_code == 0
    assert "left behind" in outcome.output
    os.kill(child, 9)  # it lives on: a script may start a service


def abort_when_ready(guardian: Guardian, code: str, grace_seconds: float, place: Path) -> Outcome:
    async def run_and_abort() -> Outcome:
        script = Script(make_step(code), guardian, grace_seconds)
        task = asyncio.ensure_future(script.run())
        await until((place / "ready").exists)
        script.abort("the ticker was stopped")
        script.abort("said twice")
        return await task

    return asyncio.run(run_and_abort())


def test_an_aborted_script_gets_sigterm_and_keeps_its_output(guardian: Guardian, place: Path) -> None:
    code = f"trap 'echo cleaned; exit 5' TERM; echo begun; {READY}; while :; do :; done"
    outcome = abort_when_ready(guardian, code, 10.0, place)
    note = "[ended by the ticker: the ticker was stopped]\n"
    assert outcome == Outcome(5, f"begun\ncleaned\n{note}", aborted=True)


def test_a_stubborn_script_gets_sigkill(guardian: Guardian, place: Path) -> None:
    outcome = abort_when_ready(guardian, f"trap '' TERM; {READY}; while :; do sleep 0.01; done", 0.2, place)
    assert (outcome.exit_code, outcome.aborted) == (137, True)


def test_a_stopped_script_hears_of_its_end(guardian: Guardian, place: Path) -> None:
    outcome = abort_when_ready(guardian, f"{READY}; kill -STOP $$; sleep 60", 10.0, place)
    assert (outcome.exit_code, outcome.aborted) == (143, True)


def test_the_descendants_of_an_aborted_script_end_too(
    guardian: Guardian, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LINGER_SECONDS", 0.1)
    code = f'setsid sleep 60 & echo $! > "$TMPDIR/far"; (trap "" TERM; exec sleep 60) & echo $!; {READY}; wait'
    outcome = abort_when_ready(guardian, code, 10.0, place)
    assert outcome.aborted

    async def gone() -> None:
        for number in (int((place / "far").read_text()), int(outcome.output.split()[0])):
            await until(lambda number=number: not is_alive(number))  # type: ignore[misc]

    asyncio.run(gone())


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_an_abort_before_the_start_starts_nothing(guardian: Guardian) -> None:
    script = Script(make_step("echo hello"), guardian, 10.0)
    script.abort("the ticker was stopped")
    outcome = asyncio.run(script.run())
    assert outcome == Outcome(-1, "[not started: the ticker was stopped]\n", aborted=True)


def test_an_abort_after_the_end_has_no_effect(guardian: Guardian) -> None:
    async def abort_late() -> Outcome:
        script = Script(make_step("echo hello"), guardian, 10.0)
        outcome = await script.run()
        script.abort("the ticker was stopped")
        script.kill()
        return outcome

    assert asyncio.run(abort_late()) == Outcome(0, "hello\n")


def test_works_without_pidfd(guardian: Guardian, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert run(guardian, "echo hello; exit 4") == Outcome(4, "hello\n")


@pytest.fixture(name="stopping")
def _stopping(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of the same user stops every child of the ticker before it executes anything."""

    def stop(_ticker: int) -> None:
        (place / "ready").touch()
        os.kill(os.getpid(), signal.SIGSTOP)

    monkeypatch.setattr(launch, "_tie_to", stop)


@pytest.mark.usefixtures("stopping")
def test_a_child_that_is_stopped_on_the_way_holds_up_nobody(guardian: Guardian, place: Path) -> None:
    outcome = abort_when_ready(guardian, "echo hello", 0.1, place)
    assert outcome.aborted


@pytest.mark.usefixtures("stopping")
def test_a_child_that_stays_stopped_ends_with_its_time(guardian: Guardian) -> None:
    step = dataclasses.replace(make_step("sleep 60"), time_limit_seconds=0.2)
    outcome = asyncio.run(Script(step, guardian, 10.0).run())
    assert (outcome.exit_code, outcome.aborted) == (143, False)


@pytest.mark.parametrize("mode", ["700", "000", "555"])
def test_whatever_a_script_leaves_in_its_directory_is_removed(guardian: Guardian, place: Path, mode: str) -> None:
    code = 'cd "$(dirname "$0")"; mkdir -p a/b/c; touch a/b/c/x; ln -s / link; chmod MODE a/b/c a/b a'
    outcome = run(guardian, code.replace("MODE", mode))
    assert outcome == Outcome(0, "")
    assert list(place.iterdir()) == []


def test_a_directory_tree_deeper_than_any_path_is_removed(guardian: Guardian, place: Path) -> None:
    code = """#!/usr/bin/env python3
import os, sys
os.chdir(os.path.dirname(sys.argv[0]))
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
"""
    assert run(guardian, code).exit_code == 0
    assert list(place.iterdir()) == []


def test_a_script_that_removes_its_own_directory(guardian: Guardian, place: Path) -> None:
    assert run(guardian, 'rm -r "$(dirname "$0")"; echo gone') == Outcome(0, "gone\n")
    assert list(place.iterdir()) == []


def test_signals_are_as_a_program_expects_them(guardian: Guardian) -> None:
    """Python ignores two that no script expects to be ignored; others may be so for whoever started the ticker."""
    # exec: a shell that starts a program blocks all signals for a moment.
    outcome = run(guardian, "exec grep -hE '^Sig(Ign|Blk)' /proc/self/status")
    masks = dict(line.split(":\t") for line in outcome.output.splitlines())
    assert int(masks["SigBlk"], 16) == 0
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        assert not int(masks["SigIgn"], 16) & 1 << number - 1


def test_nothing_is_left_open(guardian: Guardian) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for code in ("echo hello", "#!/no/such", "kill -9 $$"):
        run(guardian, code)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
