"""Steps by functions: add_step, alter_step, drop_step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from harness import add_job, make_due, run_due, runs, sql_step, step_logs, value
from harness.refusals import refused

pytestmark = pytest.mark.shared_database

Session = Connection[TupleRow]

DUPLICATE, INVALID, NULL, OUT_OF_RANGE, UNDEFINED = "42710", "22023", "22004", "23514", "42704"


@pytest.fixture
def job(connection: Session) -> int:
    return add_job(connection, "job")


def add(conn: Session, arguments: str) -> int:
    return int(value(conn, f"select pgagent.add_step('job', {arguments})"))


def step_row(conn: Session, step: int) -> dict[str, Any]:
    cursor = conn.cursor(row_factory=dict_row)
    (found,) = cursor.execute("select * from pgagent.pga_jobstep where jstid = %s", (step,)).fetchall()
    return found


def names(conn: Session) -> list[str]:
    """As the engine orders them."""
    return [name for (name,) in conn.execute("select jstname from pgagent.pga_jobstep order by jstname, jstid")]


# add_step


@pytest.mark.usefixtures("job")
def test_step_has_the_defaults_of_the_table(connection: Session) -> None:
    step = step_row(connection, add(connection, "sql => 'select 1'"))
    connection.execute(
        "insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)"
        " select jstjobid, '02', jstkind, jstcode, jstdbname from pgagent.pga_jobstep"
    )
    plain = step_row(connection, step["jstid"] + 1)
    assert {**plain, "jstid": step["jstid"], "jstname": "01"} == step


@pytest.mark.usefixtures("job")
def test_all_that_a_step_may_have(connection: Session) -> None:
    step = add(
        connection,
        "'only', 'select 1', database => 'postgres', description => 'd', enabled => false, on_error => 'succeed',"
        " timeout => '1 s', retries => 2, retry_delay => '3 s', retry_factor => 1.5, retry_max_delay => '9 s',"
        " retry_jitter => 0.5, retry_sqlstates => '{40001,08*}'",
    )
    found = step_row(connection, step)
    expected = {
        "jstname": "only", "jstcode": "select 1", "jstkind": "s", "jstdbname": "postgres", "jstconnstr": "",
        "jstdesc": "d", "jstenabled": False, "jstonerror": "s", "jsttimeout": timedelta(seconds=1), "jstretries": 2,
        "jstretrydelay": timedelta(seconds=3), "jstretryfactor": 1.5, "jstretrymaxdelay": timedelta(seconds=9),
        "jstretryjitter": 0.5, "jstretrysqlstates": ["40001", "08*"],
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("word", "letter"), [("fail", "f"), ("succeed", "s"), ("ignore", "i"), ("f", "f"), ("s", "s"), ("i", "i")]
)
@pytest.mark.usefixtures("job")
def test_words_for_what_an_error_means(connection: Session, word: str, letter: str) -> None:
    step = add(connection, f"sql => 'select 1', on_error => '{word}'")
    assert step_row(connection, step)["jstonerror"] == letter


def test_steps_run_in_the_order_in_which_they_were_added(connection: Session, job: int) -> None:
    for number in range(12):
        add(connection, f"sql => 'select generate_series(0, {number})'")
    make_due(connection, job)
    run_due(connection)
    (run,) = runs(connection, job)
    assert run.status == "s"
    assert [log.result for log in step_logs(connection, run)] == [number + 1 for number in range(12)]


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ([], "01"),
        (["01", "02"], "03"),
        (["09"], "10"),
        (["01", "03"], "04"),
        (["01 load", "02 clean"], "03"),
        (["2026 import"], "2027"),
        (["1 vacuum"], None),
        (["analyze"], None),
        (["99"], None),
    ],
)
def test_name_that_a_step_gets(connection: Session, existing: list[str], expected: str | None) -> None:
    """A number behind all others; where none sorts so, the name must be given."""
    add_job(connection, "job", *[sql_step("select 1", name=name) for name in existing])
    if expected is None:
        found = refused(connection, "select pgagent.add_step('job', sql => 'select 1')")
        assert found.sqlstate == INVALID
        assert found.message.endswith("needs a name")
        assert f'"{existing[-1]}"' in found.hint
    else:
        assert step_row(connection, add(connection, "sql => 'select 1'"))["jstname"] == expected
        assert names(connection)[-1] == expected


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("'x'", INVALID, "the new step of job {} has nothing to execute"),
        ("'x', sql => 'select 1', batch => 'true'", INVALID, "a step cannot have sql and batch at once"),
        ("'x', batch => 'true', connection => 'host=a'", INVALID, "a batch step has no database"),
        ("'taken', sql => 'select 1'", DUPLICATE, 'step "taken" of job {} already exists'),
        ("'x', sql => 'select 1', on_error => 'stop'", INVALID, 'on_error "stop" is unknown'),
        ("'x', sql => 'select 1', on_error => null", NULL, 'parameter "on_error" must not be null'),
        ("'x', sql => 'select 1', retries => null", NULL, 'parameter "retries" must not be null'),
        ("'x', sql => 'select 1', retries => 1001", OUT_OF_RANGE, None),
        ("'x', sql => 'select 1', timeout => '0 s'", OUT_OF_RANGE, None),
        ("'x', sql => 'select 1', retry_sqlstates => '{oops}'", OUT_OF_RANGE, None),
    ],
)
def test_steps_that_are_refused(
    connection: Session, job: int, arguments: str, sqlstate: str, message: str | None
) -> None:
    add(connection, "'taken', sql => 'select 1'")
    found = refused(connection, f"select pgagent.add_step('job', {arguments})")
    assert (found.sqlstate, found.message) == (sqlstate, message.format(job) if message else found.message)
    assert found.hint or sqlstate == NULL


# alter_step


ALTERATIONS = {
    "name": ("jstname", "'other'", "other", None),
    "sql": ("jstcode", "'select 2'", "select 2", None),
    "database": ("jstdbname", "'postgres'", "postgres", None),
    "description": ("jstdesc", "'words'", "words", ""),
    "enabled": ("jstenabled", "false", False, True),
    "on_error": ("jstonerror", "'ignore'", "i", "f"),
    "timeout": ("jsttimeout", "'1 min'", timedelta(minutes=1), None),
    "retries": ("jstretries", "3", 3, 0),
    "retry_delay": ("jstretrydelay", "'7 s'", timedelta(seconds=7), timedelta(seconds=1)),
    "retry_factor": ("jstretryfactor", "3", 3.0, 2.0),
    "retry_max_delay": ("jstretrymaxdelay", "'7 s'", timedelta(seconds=7), timedelta(minutes=5)),
    "retry_jitter": ("jstretryjitter", "1", 1.0, 0.1),
    "retry_sqlstates": ("jstretrysqlstates", "'{40001}'", ["40001"], None),
}


@pytest.mark.parametrize("attribute", ALTERATIONS)
@pytest.mark.usefixtures("job")
def test_one_attribute_is_altered(connection: Session, attribute: str) -> None:
    """All others stay; those with a default have it back afterwards."""
    step = add(connection, "sql => 'select 1'")
    column, literal, after, default = ALTERATIONS[attribute]
    before = step_row(connection, step)
    connection.execute(f"select pgagent.alter_step(%s, {attribute} => {literal})", (step,))
    assert step_row(connection, step) == {**before, column: after}
    if attribute in {"name", "sql"}:
        found = refused(connection, f"select pgagent.alter_step({step}, reset => '{{{attribute}}}')")
        assert (found.sqlstate, found.message) == (INVALID, f'"{attribute}" is nothing that can be reset')
    else:
        connection.execute("select pgagent.alter_step(%s, reset => array[%s])", (step, attribute))
        default = connection.info.dbname if attribute == "database" else default
        assert step_row(connection, step)[column] == default


HERE = "this database"
TARGETS = [
    ("sql => 'select 1'", "batch => 'df'", ("b", "df", "", "")),
    ("batch => 'df'", "sql => 'select 2'", ("s", "select 2", HERE, "")),
    ("batch => 'df'", "sql => 'select 2', connection => 'host=a'", ("s", "select 2", "", "host=a")),
    ("batch => 'df'", "batch => 'du'", ("b", "du", "", "")),
    ("sql => 'select 1'", "connection => 'host=a'", ("s", "select 1", "", "host=a")),
    ("sql => 'select 1', connection => 'host=a'", "database => 'postgres'", ("s", "select 1", "postgres", "")),
    ("sql => 'select 1', connection => 'host=a'", "connection => ''", ("s", "select 1", HERE, "")),
    ("sql => 'select 1', connection => 'host=a'", "reset => '{connection}'", ("s", "select 1", HERE, "")),
    ("sql => 'select 1', database => 'postgres'", "reset => '{database}'", ("s", "select 1", HERE, "")),
    ("sql => 'select 1', database => 'postgres'", "sql => 'select 2'", ("s", "select 2", "postgres", "")),
]


@pytest.mark.parametrize(("arguments", "changes", "expected"), TARGETS)
@pytest.mark.usefixtures("job")
def test_what_is_executed_and_where(
    connection: Session, arguments: str, changes: str, expected: tuple[str, str, str, str]
) -> None:
    step = add(connection, arguments)
    connection.execute(f"select pgagent.alter_step(%s, {changes})", (step,))
    found = step_row(connection, step)
    kind, code, database, target = expected
    assert (found["jstkind"], found["jstcode"]) == (kind, code)
    assert (found["jstdbname"], found["jstconnstr"]) == (database.replace(HERE, connection.info.dbname), target)


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ("name => 'taken'", DUPLICATE),
        ("sql => 'select 1', batch => 'true'", INVALID),
        ("batch => 'true', database => 'postgres'", INVALID),
        ("database => 'postgres', connection => 'host=a'", INVALID),
        ("on_error => 'stop'", INVALID),
        ("reset => '{speed}'", INVALID),
        ("retries => 1, reset => '{retries}'", INVALID),
        ("retry_jitter => 2", OUT_OF_RANGE),
    ],
)
@pytest.mark.usefixtures("job")
def test_alterations_that_are_refused(connection: Session, arguments: str, sqlstate: str) -> None:
    add(connection, "'taken', sql => 'select 1'")
    step = add(connection, "'x', sql => 'select 1'")
    assert refused(connection, f"select pgagent.alter_step({step}, {arguments})").sqlstate == sqlstate


@pytest.mark.usefixtures("job")
def test_database_of_a_batch_step_is_refused(connection: Session) -> None:
    step = add(connection, "batch => 'true'")
    found = refused(connection, f"select pgagent.alter_step({step}, database => 'postgres')")
    assert (found.sqlstate, found.message) == (INVALID, "a batch step has no database")


# drop_step


@pytest.mark.usefixtures("job")
def test_step_is_dropped(connection: Session) -> None:
    first, second = add(connection, "sql => 'select 1'"), add(connection, "sql => 'select 2'")
    connection.execute("select pgagent.drop_step(%s)", (first,))
    assert value(connection, "select jstid from pgagent.pga_jobstep") == second


@pytest.mark.parametrize("call", ["alter_step({})", "drop_step({})"])
def test_step_that_does_not_exist(connection: Session, call: str) -> None:
    found = refused(connection, f"select pgagent.{call.format(4711)}")
    assert (found.sqlstate, found.message) == (UNDEFINED, "step 4711 does not exist")
    assert refused(connection, f"select pgagent.{call.format('null')}").sqlstate == NULL
