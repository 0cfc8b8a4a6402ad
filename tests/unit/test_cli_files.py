from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgagent_cli.files import find_namesakes, locate_problems, read_document, write_document
from pgagent_cli.outcome import Failure
from pgagent_py.definition import extend_path

TEXT = """\
version: 1
jobs:
  - name: nightly vacuum   # a comment
    steps:
      - name: 01
        sql: |
          vacuum
          analyze
        timeout: 01:00:00
    schedules: [{name: on, cron: 30 2 * * 1-5, exceptions: [2026-12-24, 12:00]}]

  - name: 'second'
    enabled: false
    priority: 5
    locks: [a, b]
    description:
"""


def read(text: str) -> dict[str, Any]:
    return read_document([("jobs.yaml", text)]).definitions


def failure_of(*texts: str) -> str:
    with pytest.raises(Failure) as caught:
        read_document([(f"{number}.yaml", text) for number, text in enumerate(texts)])
    return caught.value.message


def test_a_document_is_read_as_it_is_meant() -> None:
    assert read(TEXT) == {
        "version": 1,
        "jobs": [
            {
                "name": "nightly vacuum",
                "steps": [{"name": "01", "sql": "vacuum\nanalyze\n", "timeout": "01:00:00"}],
                "schedules": [{"name": "on", "cron": "30 2 * * 1-5", "exceptions": ["2026-12-24", "12:00"]}],
            },
            {"name": "second", "enabled": False, "priority": 5, "locks": ["a", "b"], "description": None},
        ],
    }


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("1.5", 1.5),
        ("2e3", "2e3"),
        ("007", "007"),
        ("0x1f", "0x1f"),
        ("12:30", "12:30"),
        ("yes", "yes"),
        ("True", True),
        ("null", None),
        ("~", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("=", "="),
        ("2026-12-24", "2026-12-24"),
    ],
)
def test_words_are_what_they_look_like(word: str, value: object) -> None:
    assert read(f"version: {word}") == {"version": value}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("version", 1),
        ("jobs", 2),
        ("jobs[0]", 3),
        ("jobs[0].name", 3),
        ("jobs[0].steps[0].sql", 6),
        ("jobs[0].steps[0].timeout", 9),
        ("jobs[0].schedules[0].exceptions[1]", 10),
        ("jobs[0].schedules[0].nothing.like.this", 10),
        ("jobs[1].locks[1]", 15),
        ("jobs[1].steps", 12),
        ("nothing", 1),
    ],
)
def test_every_path_has_its_line(path: str, line: int) -> None:
    place = read_document([("jobs.yaml", TEXT)]).place_of(path)
    assert str(place) == f"jobs.yaml:{line}"


def test_problems_of_the_server_get_file_and_line() -> None:
    document = read_document([("jobs.yaml", TEXT)])
    detail = "something else\nat jobs[1].locks\nat jobs[0].steps[0].sql: it is empty"
    assert locate_problems(detail, document) == [
        "jobs.yaml:6: jobs[0].steps[0].sql: it is empty",
        "jobs.yaml:15: jobs[1].locks",
        "something else",
    ]


def test_a_second_job_of_a_name_is_told_of() -> None:
    two = "jobs:\n- name: a\n- name: b\n- {name: a, owner: ann}\n"
    assert find_namesakes(read_document([("x", two)])) == []
    document = read_document([("x", two), ("y", "jobs:\n- name: b\n")])
    assert find_namesakes(document) == ['y:2: job "b" is another one than that of this name at x:3']


def test_numbers_are_written_on_a_line() -> None:
    schedule = {"name": "s", "minutes": [0, 30], "weekdays": ["mon", "tue"], "exceptions": ["12:00"]}
    text = write_document({"jobs": [{"name": "a", "schedules": [schedule]}]})
    assert "minutes: [0, 30]\n" in text
    assert "weekdays: [mon, tue]\n" in text
    assert "exceptions:\n          - '12:00'\n" in text


@pytest.mark.parametrize("key", ["on error", "<<", "a.b", "c[", "d]", "e.", "ü", 'q"x', "a: b", "back\\"])
def test_a_key_that_is_no_word_has_its_line(key: str) -> None:
    document = read_document([("jobs.yaml", f"jobs:\n- name: x\n  {json.dumps(key)}: 1\n- name: y\n")])
    problem = f"{extend_path('jobs[0]', key)}: unknown key"
    assert locate_problems(f"at {problem}", document) == [f"jobs.yaml:3: {problem}"]
    assert str(document.place_of(extend_path("jobs[1]", key))) == "jobs.yaml:4"


@pytest.mark.parametrize("path", ["jobs[0].", "jobs[0]]", "jobs[x]", "[", "..", "jobs[0].steps[9][", "jobs[0] x"])
def test_a_path_that_nobody_writes_ends_the_search(path: str) -> None:
    assert read_document([("jobs.yaml", TEXT)]).place_of(path) is not None


def test_several_files_are_one_document() -> None:
    document = read_document(
        [("a", TEXT), ("b", "version: 1\njobs:\n- name: third\n"), ("c", "calendars: []\njobs:\n")]
    )
    assert [job["name"] for job in document.definitions["jobs"]] == ["nightly vacuum", "second", "third"]
    assert document.definitions["calendars"] == []
    assert str(document.place_of("jobs[0].steps[0].sql")) == "a:6"
    assert str(document.place_of("jobs[1].enabled")) == "a:13"
    assert str(document.place_of("jobs[2].name")) == "b:3"


def test_files_that_do_not_go_together_are_refused() -> None:
    assert failure_of("version: 1", "version: 2") == '1.yaml:1: "version" is not what 0.yaml:1 says'
    assert failure_of("jobs: []", "jobs: 7") == '1.yaml:1: "jobs" must be a list'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", '0.yaml:3: key "a" is there twice'),
        ("jobs:\n  - [a\n  b", "0.yaml:3: expected ',' or ']'"),
        ("jobs: &a\n  - *a\n", "0.yaml:1: an alias cannot stand for what it is a part of"),
        ("- a\n", "0.yaml:1: this is no document of jobs"),
        ("", "0.yaml:1: this is no document of jobs"),
        ("\n\njust words", "0.yaml:3: this is no document of jobs"),
        ("? [a]\n: b\n", "0.yaml:1: a key must be a word"),
        (
            "version: !!python/object:os.system x",
            "0.yaml:1: tag tag:yaml.org,2002:python/object:os.system means nothing",
        ),
        ("version: !!int x", '0.yaml:1: "x" is no number'),
        ("a: *nobody", "0.yaml:1: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "0.yaml:2: but found another document"),
        ("a: 1\nb: \x07", "0.yaml:2: character 0x07 cannot be in YAML"),
        ('a: 1\nb: "x\\0"', "0.yaml:2: character 0x00 cannot be in a text"),
        ('a: 1\nb: "\\ud800"', "0.yaml:2: character 0xd800 cannot be in a text"),
        ("a: 1\nb: 1.0e999", '0.yaml:2: "1.0e999" is too large'),
        (f"a: {'9' * 5000}", f'0.yaml:1: "{"9" * 40}..." is no number'),
        (f"a: {'[' * 3000}", "0.yaml: it is nested too deeply"),
    ],
)
def test_what_is_no_document_is_refused_with_its_line(text: str, message: str) -> None:
    assert failure_of(text).startswith(message)


def test_an_alias_stands_for_what_it_names() -> None:
    assert read("a: &x [1]\nb: *x\n") == {"a": [1], "b": [1]}


def test_a_small_file_does_not_fill_the_memory() -> None:
    doubled = "".join(f"l{i}: &l{i} [*l{i - 1}, *l{i - 1}]\n" for i in range(1, 64))
    assert "there are more than 1000000 values" in failure_of("l0: &l0 [1]\n" + doubled)
    assert failure_of("a: " + "[" * 100_000) == "0.yaml: it is nested too deeply"


def test_a_written_document_is_for_people() -> None:
    jobs = [
        {"steps": [{"sql": "select 1;\nselect 2;\n", "name": "01"}], "owner": "postgres", "name": "first"},
        {"name": "yes", "timeout": "01:00:00", "zebra": 1},
    ]
    assert write_document({"jobs": jobs, "calendars": [], "version": 1}) == (
        "version: 1\n\njobs:\n  - name: first\n    owner: postgres\n    steps:\n      - name: '01'\n        sql: |\n"
        "          select 1;\n          select 2;\n\n  - name: 'yes'\n    timeout: 01:00:00\n    zebra: 1\n"
    )


# What PostgreSQL can keep in a text.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(0, 1e6).map(lambda number: round(number, 6)),
    st.sampled_from(
        [
            "\x85",
            "a\n\x85",
            "1.5e3",
            "-1.5E-3",
            "  - x\n",
            "a\n  - b\nc",
            "x:\n\n\ny",
            "\n",
            " \n",
            "#!/bin/sh\n\techo\n",
            "a\r\nb",
            "- ",
            "1e5",
            "1_0",
        ]
    ),
)
KEYS = st.sampled_from(["name", "sql", "=", "1", "null", "a: b", "", "-", "zebra"])
ITEMS = st.dictionaries(
    KEYS, st.one_of(VALUES, st.lists(VALUES, max_size=3), st.dictionaries(KEYS, VALUES, max_size=2))
)


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "a\u2029\nb\n"])
def test_rare_ends_of_lines_are_kept(text: str) -> None:
    definitions = {"jobs": [{"name": text}]}
    assert read(write_document(definitions)) == definitions


def test_a_document_may_be_written_in_ascii() -> None:
    definitions = {"jobs": [{"name": "caf\xe9 \U0001f600", "steps": [{"sql": "-- \xe9\nselect 1\n"}]}]}
    text = write_document(definitions, ascii_only=True)
    assert text.isascii()
    assert read(text) == definitions


@settings(deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=3))
def test_what_is_written_is_read_again(jobs: list[dict[str, Any]]) -> None:
    definitions = {"version": 1, "jobs": jobs}
    assert read(write_document(definitions)) == definitions
