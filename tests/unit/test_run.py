from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgagent_py.encoding import UTF8
from pgagent_py.run import Run, Step, dump_steps, judge_run, judge_step, load_run

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))

STEPS = st.builds(
    Step,
    jstid=st.integers(1, 2**31 - 1),
    name=TEXT,
    kind=st.sampled_from("sb"),
    code=st.binary().filter(lambda code: b"\0" not in code),
    dbname=TEXT,
    connstr=TEXT,
    on_error=st.sampled_from("fsi"),
)


@pytest.mark.parametrize("on_error", ["f", "s", "i"])
def test_success_and_abort_count_as_they_are(on_error: str) -> None:
    assert judge_step("s", on_error) == "s"
    assert judge_step("d", on_error) == "d"


@pytest.mark.parametrize("on_error", ["f", "s", "i"])
def test_failure_counts_as_its_on_error_letter(on_error: str) -> None:
    assert judge_step("f", on_error) == on_error


@pytest.mark.parametrize("steps_left", [0, 1, 7])
def test_failed_or_aborted_step_ends_the_run(steps_left: int) -> None:
    assert judge_run("f", steps_left) == "f"
    assert judge_run("d", steps_left) == "d"


@pytest.mark.parametrize("step_status", ["s", "i"])
def test_run_goes_on_after_success_or_ignored_failure_and_then_succeeds(step_status: str) -> None:
    assert judge_run(step_status, 2) is None
    assert judge_run(step_status, 0) == "s"


@given(st.lists(st.tuples(st.sampled_from("sfd"), st.sampled_from("fsi")), min_size=1))
def test_run_is_as_good_as_its_steps(endings: list[tuple[str, str]]) -> None:
    """The run ends with the first step that aborts, or that fails and is told to fail the job."""
    statuses = []
    run_status = None
    for position, (ending, on_error) in enumerate(endings, 1):
        statuses.append(judge_step(ending, on_error))
        run_status = judge_run(statuses[-1], len(endings) - position)
        if run_status is not None:
            break
    fatal = [n for n, (ending, on_error) in enumerate(endings) if ending == "d" or (ending, on_error) == ("f", "f")]
    assert len(statuses) == (fatal[0] + 1 if fatal else len(endings))
    assert run_status == (endings[fatal[0]][0] if fatal else "s")


def test_steps_are_done_from_the_front() -> None:
    steps = tuple(Step(n, f"step {n}", "s", b"select 1", "db", "", "f") for n in range(3))
    run = Run(1, 2, "job", "", "2031-01-01", "2030-12-31", "alice", is_superuser=False, steps=steps)
    gone_on = run.without_first_step()
    assert gone_on.steps == steps[1:]
    assert run.steps == steps
    assert (gone_on.jlgid, gone_on.jobid, gone_on.jobname, gone_on.started) == (1, 2, "job", "2031-01-01")


@given(st.lists(STEPS))
def test_steps_survive_the_queue(steps: list[Step]) -> None:
    """Whatever bytes their code is made of: a database without an encoding has them."""
    run = (
        b'{"jlgid": 1, "jobid": 2, "jobname": "job", "jobhostagent": "", "started": "2031-01-01", "due": "2030-12-31",'
        b' "owner": "alice", "is_superuser": true, "steps": %s}'
    )
    expected = Run(1, 2, "job", "", "2031-01-01", "2030-12-31", "alice", is_superuser=True, steps=tuple(steps))
    assert load_run(run % dump_steps(tuple(steps), UTF8), UTF8) == expected


def test_queued_steps_show_their_text() -> None:
    """An administrator may look at the queue."""
    step = Step(1, "größer", "b", 'echo "ä"\n'.encode(), "", "", "f")
    assert '"größer"' in dump_steps((step,), UTF8).decode()
    assert 'echo \\"ä\\"\\n' in dump_steps((step,), UTF8).decode()
