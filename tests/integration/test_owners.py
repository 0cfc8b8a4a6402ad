"""A job runs as its owner, and only as its owner."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from harness import Cluster, Database, add_job, batch_step, make_due, run_due, runs, sql_step, step_logs, value
from harness.cluster import server_program
from harness.people import People, drop_role
from harness.processes import clean_environment

Session = Connection[TupleRow]

WHO = "do $$ begin raise notice '<% %>', session_user, current_user; end $$"


def run_one(superuser: Session, ticker: Session, jobid: int) -> tuple[str, str]:
    """Run a job to its end: the status of its last run, and all output of its steps."""
    make_due(superuser, jobid)
    run_due(ticker)
    run = runs(superuser, jobid)[-1]
    return run.status, "\n".join(log.output or "" for log in step_logs(superuser, run))


@pytest.fixture
def other(cluster: Cluster) -> Iterator[str]:
    """Another database, without the extension."""
    yield cluster.create_database("other_of_owners", extension=False).name
    cluster.drop_database("other_of_owners")


# As whom a step runs


@pytest.mark.parametrize(
    "attempt",
    ["", "reset role; ", "set role none; ", "set session authorization default; ", "reset session authorization; "],
)
def test_steps_log_in_as_the_owner(connection: Session, people: People, attempt: str) -> None:
    jobid = add_job(people.log_in("alice"), "job", sql_step(attempt + WHO), sql_step(WHO))
    status, output = run_one(connection, people.log_in("ticker"), jobid)
    assert (status, re.findall("<.*>", output)) == ("s", ["<alice alice>"] * 2), output


@pytest.mark.parametrize("attempt", ["set session authorization postgres", "set role postgres", "set role bob"])
def test_step_cannot_become_somebody_else(connection: Session, people: People, attempt: str) -> None:
    jobid = add_job(people.log_in("alice"), "job", sql_step(f"{attempt}; {WHO}"))
    status, output = run_one(connection, people.log_in("ticker"), jobid)
    assert status == "f"
    assert "permission denied" in output
    assert "<" not in output


def test_steps_log_in_as_the_owner_in_another_database(connection: Session, people: People, other: str) -> None:
    jobid = add_job(people.log_in("alice"), "job", sql_step(WHO, dbname=other), sql_step(WHO))
    status, output = run_one(connection, people.log_in("ticker"), jobid)
    assert (status, output.count("<alice alice>")) == ("s", 2)


def test_database_that_the_owner_may_not_use(connection: Session, people: People, other: str) -> None:
    connection.execute(f"revoke connect on database {other} from public")
    jobid = add_job(people.log_in("alice"), "job", sql_step(WHO, dbname=other))
    status, output = run_one(connection, people.log_in("ticker"), jobid)
    assert status == "f"
    assert f'permission denied for database "{other}"' in output


@pytest.mark.parametrize(
    "dbname", ["postgres user=postgres", "postgresql:///postgres?user=postgres", "x' user='postgres"]
)
def test_name_of_a_database_is_a_name_and_nothing_else(connection: Session, people: People, dbname: str) -> None:
    jobid = add_job(people.log_in("alice"), "job", sql_step(WHO, dbname=dbname))
    status, output = run_one(connection, people.log_in("ticker"), jobid)
    assert status == "f"
    assert f'database "{dbname}" does not exist' in output


def test_jobs_of_several_owners_in_one_call(connection: Session, people: People) -> None:
    """One after the other over the same few sessions: each in a session of its own owner."""
    connection.execute("update pgagent.settings set parallel_runs = 2")
    owners = ["alice", "bob", "dba"] * 4
    sessions = {owner: people.log_in(owner) for owner in set(owners)}
    jobs = {add_job(sessions[owner], "job", sql_step(WHO)): owner for owner in owners}
    make_due(connection, *jobs)
    run_due(people.log_in("ticker"))
    said = {jobid: step_logs(connection, runs(connection, jobid)[0])[0].output or "" for jobid in jobs}
    assert {jobid: f"<{owner} {owner}>" in said[jobid] for jobid, owner in jobs.items()} == dict.fromkeys(jobs, True)


def test_session_of_one_owner_leaves_nothing_to_the_next_step(connection: Session, people: People) -> None:
    connection.execute("update pgagent.settings set parallel_runs = 1")
    leave = "set work_mem = '65kB'; create temp table left_behind (); listen x; prepare p as select 1; set role team"
    look = "select 1 / (current_setting('work_mem') <> '65kB' and to_regclass('left_behind') is null)::int; " + WHO
    jobid = add_job(people.log_in("alice"), "job", sql_step(leave), sql_step(look))
    status, output = run_one(connection, people.log_in("ticker"), jobid)
    assert (status, "<alice alice>" in output) == ("s", True), output


# Owners that are not as they should be: the job says why, and others run


def check_failure(superuser: Session, people: People, jobid: int, *words: str) -> None:
    """The job fails with these words, and another one that is due runs meanwhile."""
    healthy = add_job(people.log_in("bob"), "healthy", sql_step("select 1"))
    make_due(superuser, healthy)
    status, output = run_one(superuser, people.log_in("ticker"), jobid)
    assert status == "f"
    assert [word for word in words if word not in output] == []
    assert runs(superuser, healthy)[-1].status == "s"


def test_owner_that_cannot_log_in(connection: Session, people: People) -> None:
    jobid = add_job(people.log_in("alice"), "job", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = 'team'")
    check_failure(connection, people, jobid, 'role "team" is not permitted to log in')


def test_owner_that_was_dropped(connection: Session, people: People) -> None:
    connection.execute("create role gone login")
    jobid = add_job(connection, "job", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = 'gone'")
    connection.execute("drop role gone")
    check_failure(connection, people, jobid, 'role "gone" does not exist')
    connection.execute("update pgagent.pga_job set jobowner = 'alice' where jobowner = 'gone'")
    assert run_one(connection, people.log_in("ticker"), jobid)[0] == "s"


def test_owner_that_was_renamed(connection: Session, people: People) -> None:
    jobid = add_job(people.log_in("alice"), "job", sql_step(WHO))
    connection.execute("alter role alice rename to alicia")
    try:
        check_failure(connection, people, jobid, 'role "alice" does not exist')
        connection.execute("update pgagent.pga_job set jobowner = 'alicia' where jobowner = 'alice'")
        status, output = run_one(connection, people.log_in("ticker"), jobid)
        assert (status, "<alicia alicia>" in output) == ("s", True)
    finally:
        drop_role(connection, "alicia")


def test_owner_that_has_used_up_his_connections(connection: Session, people: People) -> None:
    """The job of a role with CONNECTION LIMIT waits, as for any other want of connections; nobody else does."""
    connection.execute("alter role alice connection limit 0")
    jobid = add_job(connection, "job", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = 'alice'")
    healthy = add_job(people.log_in("bob"), "healthy", sql_step("select 1"))
    make_due(connection, jobid, healthy)
    ticker = people.log_in("ticker")
    run_due(ticker, "1 s")
    assert [run.status for run in runs(connection, healthy)] == ["s"]
    connection.execute("alter role alice connection limit -1")
    run_due(ticker)
    assert [run.status for run in runs(connection, jobid)] == ["s"]


@pytest.mark.parametrize(
    "owner", ['a "quoted" one', "it's", "$$", "%s %d", "-c role=postgres", "back\\slash", "ümläut"]
)
def test_owner_with_an_odd_name(connection: Session, people: People, owner: str) -> None:
    connection.execute(sql.SQL("create role {} login").format(sql.Identifier(owner)))
    try:
        connection.execute("select pgagent.grant_use(%s)", (owner,))
        jobid = add_job(
            people.log_in(owner), "job", sql_step("select 1/(current_user::text = jobowner)::int from pgagent.pga_job")
        )
        assert run_one(connection, people.log_in("ticker"), jobid) == ("s", "")
        assert value(connection, "select allowed from pgagent.check_owner(%s)", owner)
        connection.execute("select pgagent.revoke_use(%s)", (owner,))
    finally:
        connection.execute("delete from pgagent.pga_job")
        for session in people.sessions_of(owner):
            session.close()
        drop_role(connection, owner)


# Who may own a job


@pytest.mark.parametrize("owner", ["bob", "postgres"])
def test_owner_is_not_given_to_others(people: People, owner: str) -> None:
    alice = people.log_in("alice")
    add_job(alice, "job", sql_step("select 1"))
    for statement in (
        f"update pgagent.pga_job set jobowner = '{owner}'",
        f"insert into pgagent.pga_job (jobjclid, jobname, jobowner) values (1, 'mine', '{owner}')",
        f"merge into pgagent.pga_job using (select 1) x on true when matched then update set jobowner = '{owner}'",
        (
            f"merge into pgagent.pga_job using (select 1) x on false"
            f" when not matched then insert (jobjclid, jobname, jobowner) values (1, 'mine', '{owner}')"
        ),
        (
            f"insert into pgagent.pga_job (jobid, jobjclid, jobname) select jobid, 1, '' from pgagent.pga_job"
            f" on conflict (jobid) do update set jobowner = '{owner}'"
        ),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            alice.execute(statement)
    alice.execute("update pgagent.pga_job set jobowner = 'team'")
    alice.execute("update pgagent.pga_job set jobowner = 'alice'")


def test_owner_is_a_role(connection: Session, people: People) -> None:
    add_job(people.log_in("alice"), "job", sql_step("select 1"))
    for conn in (connection, people.log_in("alice")):
        with pytest.raises(psycopg.errors.UndefinedObject, match='role "no one" does not exist'):
            conn.execute("update pgagent.pga_job set jobowner = 'no one'")


def test_member_that_does_not_inherit_is_none(connection: Session, people: People) -> None:
    add_job(connection, "job", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = 'team'")
    connection.execute("alter role alice noinherit")
    alice = people.log_in("alice")
    count = "select count(*) from pgagent.pga_job"
    assert value(alice, count) == 0
    alice.execute("set role team")
    assert value(alice, count) == 1


# Whether steps can log in


def test_whether_an_owner_can_log_in(connection: Session, people: People) -> None:
    assert connection.execute("select * from pgagent.check_owner('alice')").fetchall() == [(True, None, None)]
    (row,) = connection.execute("select allowed, remedy from pgagent.check_owner('team')").fetchall()
    assert row == (False, 'ALTER ROLE "team" LOGIN')
    (row,) = connection.execute(
        "select allowed, detail, remedy from pgagent.check_owner('alice', 'nowhere')"
    ).fetchall()
    assert (row[0], 'database "nowhere" does not exist' in row[1], row[2]) == (False, True, None)
    for nobody in ("no one", None):
        with pytest.raises(psycopg.errors.UndefinedObject):
            connection.execute("select pgagent.check_owner(%s)", (nobody,))
    for role in ("alice", "dba", "ticker", "stranger"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            people.log_in(role).execute("select pgagent.check_owner('bob')")


# Batch steps


LETTERS = pytest.mark.parametrize(("on_error", "step", "run"), [("f", "f", "f"), ("s", "s", "s"), ("i", "i", "s")])


def test_batch_steps_are_for_those_who_may_run_programs(connection: Session, people: People) -> None:
    alice = people.log_in("alice")
    jobid = add_job(alice, "job", sql_step("select 1"))
    for statement in (
        f"insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) values ({jobid}, 'b', 'b', 'id')",
        "update pgagent.pga_jobstep set jstkind = 'b', jstdbname = '', jstcode = 'id'",
        (
            "merge into pgagent.pga_jobstep using (select 1) x on true"
            " when matched then update set jstkind = 'b', jstdbname = ''"
        ),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match='"alice" may not own a job with batch steps'):
            alice.execute(statement)
    connection.execute("grant pg_execute_server_program to team")
    add_job(alice, "job", batch_step("id"))


def test_job_with_batch_steps_goes_only_to_those_who_may_run_programs(connection: Session, people: People) -> None:
    connection.execute("grant pg_execute_server_program to alice")
    connection.execute("grant bob to alice")
    alice = people.log_in("alice")
    jobid = add_job(alice, "job", batch_step("id"))
    harmless = add_job(alice, "job", sql_step("select 1"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match='"bob" may not own a job with batch steps'):
        alice.execute("update pgagent.pga_job set jobowner = 'bob' where jobid = %s", (jobid,))
    alice.execute("update pgagent.pga_job set jobowner = 'bob' where jobid = %s", (harmless,))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match='"bob" may not own a job with batch steps'):
        alice.execute("update pgagent.pga_jobstep set jstjobid = %s where jstkind = 'b'", (harmless,))


@LETTERS
def test_right_to_run_programs_that_is_gone_when_a_ticker_asks(
    connection: Session, people: People, on_error: str, step: str, run: str
) -> None:
    connection.execute("grant pg_execute_server_program to alice")
    jobid = add_job(people.log_in("alice"), "job", batch_step("id", on_error=on_error), sql_step("select 1"))
    make_due(connection, jobid)
    ticker = people.log_in("ticker")
    run_due(ticker)
    connection.execute("revoke pg_execute_server_program from alice")
    assert ticker.execute("select * from pgagent.take_batch_steps('', 1)").fetchall() == []
    run_due(ticker)
    last = runs(connection, jobid)[-1]
    first_log, *others = step_logs(connection, last)
    assert (last.status, first_log.status, len(others)) == (run, step, 0 if run == "f" else 1)
    assert 'role "alice" may not own a job with batch steps' in (first_log.output or "")
    assert value(connection, "select count(*) from pgagent._batch_step") == 0


def test_superuser_is_warned_of_batch_steps_of_others(connection: Session, people: People) -> None:
    jobid = add_job(people.log_in("alice"), "job")
    warnings: list[str] = []
    connection.add_notice_handler(lambda diagnostic: warnings.append(diagnostic.message_primary or ""))
    statement = "insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) values (%s, 'b', 'b', 'id')"
    connection.execute(statement, (jobid,))
    assert warnings == ['batch step "b" will fail: role "alice" may not own a job with batch steps']
    make_due(connection, jobid)
    ticker = people.log_in("ticker")
    run_due(ticker)
    assert ticker.execute("select * from pgagent.take_batch_steps('', 1)").fetchall() == []
    run_due(ticker)
    assert runs(connection, jobid)[-1].status == "f"


# A dump keeps owners


def dump(database: Database, directory: Path) -> Path:
    """The whole database as a script, made by a superuser."""
    script = directory / "dump.sql"
    run_program("pg_dump", "--file", str(script), database.conninfo)
    return script


def run_program(program: str, *arguments: str) -> str:
    """Run one of the server's programs, which must succeed: what it said on stderr."""
    done = subprocess.run(
        [str(server_program(program)), *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def target(cluster: Cluster) -> Iterator[Database]:
    """An empty database to restore into."""
    yield cluster.create_database("restored_owners", extension=False)
    cluster.drop_database("restored_owners")


OWNERS = "select jobname, jobowner::text from pgagent.pga_job order by 1"
ALL_ROWS = """
    select jobname, jobowner::text, jobenabled, jstname, jstkind::text, jstcode, jlgstatus::text
      from pgagent.pga_job
      left join pgagent.pga_jobstep on jstjobid = jobid
      left join pgagent.pga_joblog on jlgjobid = jobid
     order by 1, 4
"""


def test_dump_keeps_owners_also_missing_ones(
    cluster: Cluster, connection: Session, people: People, database: Database, target: Database, tmp_path: Path
) -> None:
    connection.execute("create role leaver login; grant pg_execute_server_program to leaver, bob")
    connection.execute("select pgagent.grant_use('leaver')")
    for owner in ("alice", "bob", "leaver"):
        steps = [sql_step("select 1")] if owner == "alice" else [batch_step("id", name="b"), sql_step(WHO, name="c")]
        add_job(people.log_in(owner), f"{owner}'s", *steps)
    make_due(connection, 1)
    run_due(connection)
    script = dump(database, tmp_path)
    before = connection.execute(ALL_ROWS).fetchall()
    for session in people.sessions_of("leaver"):
        session.close()
    drop_role(connection, "leaver")
    connection.execute("revoke pg_execute_server_program from bob")
    # The privileges of the role that is gone cannot be restored; nothing else may fail.
    script.write_text(re.sub(r"^GRANT .* TO leaver;$", "", script.read_text(), flags=re.MULTILINE))
    said = run_program(
        "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", str(script), target.conninfo
    )
    assert said.count("WARNING:") == said.count('batch step "b" will fail') == 2
    with cluster.connect(target.name) as restored:
        assert restored.execute(ALL_ROWS).fetchall() == before
        assert restored.execute(OWNERS).fetchall() == [("alice's", "alice"), ("bob's", "bob"), ("leaver's", "leaver")]
        with cluster.connect(target.name, user="alice") as alice:
            assert alice.execute(OWNERS).fetchall() == [("alice's", "alice")]
        make_due(restored, 1, 2, 3)
        run_due(restored)
        assert runs(restored, 1)[-1].status == "s"


@pytest.mark.parametrize(("owner", "claimed"), [("postgres", 1), ("alice", 0)])
def test_daemon_of_pgagent_gets_no_job_of_others(connection: Session, people: People, owner: str, claimed: int) -> None:
    """It would run them with its own rights."""
    people.log_in("alice")
    jobid = add_job(connection, "job", sql_step("select 1"))
    connection.execute("update pgagent.pga_job set jobowner = %s", (owner,))
    make_due(connection, jobid)
    connection.execute("insert into pgagent.pga_jobagent (jagpid, jagstation) values (pg_backend_pid(), 'daemon')")
    claim = connection.execute(
        "update pgagent.pga_job set jobagentid = pg_backend_pid(), joblastrun = now()"
        " where jobagentid is null and jobid = %s",
        (jobid,),
    )
    assert claim.rowcount == claimed
