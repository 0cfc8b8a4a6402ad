"""Rules that every object of the extension keeps, checked against the catalog and the SQL sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster

ROOT = Path(__file__).resolve().parents[2]

SEARCH_PATH = "search_path=pg_catalog, pg_temp"

WITHOUT_SEARCH_PATH = {
    "run_until_idle": "a procedure with a SET clause cannot commit; its names are qualified instead",
}

SECURITY_DEFINER = {
    "health": "who watches need not be an administrator",
    "run_due": "a ticker's role needs no right to the tables",
    "next_due": "as run_due",
    "_wait_for_work": "as run_due",
    "take_batch_steps": "as run_due",
    "finish_batch_step": "as run_due",
    "cancelled_batch_steps": "as run_due",
    "_agent_is_alive": "backend_start of other roles' sessions is hidden from an unprivileged engine",
    "_run_request_reserve": "ids and the columns of the engine are not for users; the policies say for which jobs",
    "_cancel_request_trigger": "the columns of the engine are not for users; the policies say for which runs",
    "_recompute": "a change of a schedule changes its job, whatever the role may do to pga_job",
    "pga_exception_trigger": "as _recompute",
    "pga_holiday_trigger": "as _recompute",
    "pga_schedule_zone_trigger": "asks a function that a job's owner may not call",
    "pga_job_trigger": "computes with functions that a job's owner may not call",
    "pga_joblog_trigger": "an event is told whoever ends the run",
    "pga_schedule_trigger": "as _recompute",
    "settings_trigger": "as _recompute",
}

NOT_DUMPED = {
    "pga_jobagent": "agents are sessions of this server",
    "_batch_step": "a queue between sessions of this server",
    "_cancel_request": "about runs of sessions of this server",
    "_run_request": "about runs of sessions of this server",
    "_prune_walk": "a place in the logs of this server",
    "_alarm": "about runs on this server",
    "_claim_turn": "a lock for sessions of this server",
}

NAMESPACE = "pronamespace = 'pgagent'::regnamespace"

_PUBLIC_GRANTS = """
    with object (kind, name, acl) as (
        select 'schema', nspname::text, coalesce(nspacl, acldefault('n', nspowner))
        from pg_namespace where nspname = 'pgagent'
        union all
        select 'relation', relname::text,
               coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))
        from pg_class where relnamespace = 'pgagent'::regnamespace and relkind not in ('i', 'I')
        union all
        select 'column', attrelid::regclass || '.' || attname, attacl
        from pg_attribute join pg_class c on c.oid = attrelid
        where c.relnamespace = 'pgagent'::regnamespace and attacl is not null
        union all
        select 'function', proname::text, coalesce(proacl, acldefault('f', proowner)) from pg_proc
        where pronamespace = 'pgagent'::regnamespace
        union all
        select 'type', typname::text, coalesce(typacl, acldefault('T', typowner)) from pg_type t
        where typnamespace = 'pgagent'::regnamespace and typelem = 0
          and not exists (select from pg_class c where c.oid = t.typrelid and c.relkind <> 'c')
    )
    select kind, name, privilege_type from object, aclexplode(acl) where grantee = 0 order by 1, 2, 3
"""

_UNCOMMENTED = """
    select 'schema ' || nspname from pg_namespace
    where nspname = 'pgagent' and obj_description(oid, 'pg_namespace') is null
    union all
    select 'relation ' || relname from pg_class
    where relnamespace = 'pgagent'::regnamespace and relkind in ('r', 'v', 'm', 'p', 'f', 'c')
      and obj_description(oid, 'pg_class') is null
    union all
    select 'column ' || attrelid::regclass || '.' || attname from pg_attribute join pg_class c on c.oid = attrelid
    where relnamespace = 'pgagent'::regnamespace and relkind in ('r', 'm', 'p', 'f', 'c') and attnum > 0
      and not attisdropped and col_description(attrelid, attnum) is null
    union all
    select 'function ' || oid::regprocedure from pg_proc
    where pronamespace = 'pgagent'::regnamespace and obj_description(oid, 'pg_proc') is null
    union all
    select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger t join pg_class c on c.oid = tgrelid
    where relnamespace = 'pgagent'::regnamespace and not tgisinternal and obj_description(t.oid, 'pg_trigger') is null
    union all
    select 'policy ' || polname || ' on ' || polrelid::regclass from pg_policy p join pg_class c on c.oid = polrelid
    where relnamespace = 'pgagent'::regnamespace and obj_description(p.oid, 'pg_policy') is null
"""

_NOT_OF_THE_EXTENSION = """
    select pg_describe_object(classid, objid, 0)
    from (
        select 'pg_class'::regclass, oid from pg_class
        where relnamespace = 'pgagent'::regnamespace and relkind not in ('i', 'I')
        union all
        select 'pg_proc'::regclass, oid from pg_proc where pronamespace = 'pgagent'::regnamespace
        union all
        select 'pg_type'::regclass, oid from pg_type
        where typnamespace = 'pgagent'::regnamespace and typelem = 0 and typrelid = 0
        union all
        select 'pg_operator'::regclass, oid from pg_operator where oprnamespace = 'pgagent'::regnamespace
        union all
        select 'pg_namespace'::regclass, oid from pg_namespace where nspname = 'pgagent'
    ) object (classid, objid)
    where not exists (
        select from pg_depend d join pg_extension e on e.oid = d.refobjid
        where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = 'pgagent_py'
          and (d.classid, d.objid) = (object.classid, object.objid))
"""

# Of whatever kind: what lies in a schema depends on it.
_STRANGERS = """
    select pg_describe_object(d.classid, d.objid, 0)
    from pg_depend d
    where d.refclassid = 'pg_namespace'::regclass and d.refobjid = 'pgagent'::regnamespace and d.deptype = 'n'
      and not exists (
          select from pg_depend m join pg_extension e on e.oid = m.refobjid
          where m.refclassid = 'pg_extension'::regclass and m.deptype = 'e' and e.extname = 'pgagent_py'
            and (m.classid, m.objid) = (d.classid, d.objid))
"""

# Rows of a job, of whom they are for, and why a table has no policy although it has row-level security.
WITHOUT_POLICY = {
    "settings": "conninfo may hold a password",
    "_batch_step": "who could write it would have it executed by the ticker",
    "_prune_walk": "the engine's own",
    "_alarm": "the engine's own",
    "_claim_turn": "the engine's own",
}

# Job users write through a policy what they see through it; who may not write has no policy for it.
POLICIES = {
    "pga_jobagent": {"r"},
    "pga_jobclass": {"r", "*"},
    "pga_job": {"r", "a", "w", "d"},
    "pga_jobstep": {"r", "*"},
    "pga_calendar": {"r", "a", "w", "d"},
    "pga_holiday": {"r", "*"},
    "pga_schedule": {"*"},
    "pga_exception": {"*"},
    "pga_joblog": {"r"},
    "pga_jobsteplog": {"r"},
    "event": {"r", "d"},
    "_cancel_request": {"r", "a"},
    "_run_request": {"r", "a"},
}

_MEMBERS_ELSEWHERE = """
    select pg_describe_object(d.classid, d.objid, 0)
    from pg_depend d join pg_extension e on e.oid = d.refobjid
    where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = 'pgagent_py'
      and (pg_identify_object(d.classid, d.objid, 0)).schema is distinct from 'pgagent'
      and d.classid <> 'pg_namespace'::regclass
"""


@pytest.fixture(scope="module")
def catalog(cluster: Cluster) -> Iterator[Connection[TupleRow]]:
    """A session in a database with the extension, for tests that change nothing."""
    made = cluster.create_database("catalog_of_contract")
    with cluster.connect(made.name) as conn:
        yield conn
    cluster.drop_database(made.name)


def names(conn: Connection[TupleRow], query: str) -> list[str]:
    """The only column of a query, sorted."""
    return sorted(row[0] for row in conn.execute(query))


def test_public_has_no_privilege(catalog: Connection[TupleRow]) -> None:
    assert catalog.execute(_PUBLIC_GRANTS).fetchall() == []


def test_public_has_no_privilege_whatever_the_installers_defaults(cluster: Cluster) -> None:
    made = cluster.create_database("default_privileges", extension=False)
    try:
        with cluster.connect(made.name) as conn:
            for kind in ("tables", "sequences", "functions", "types", "schemas"):
                conn.execute(f"alter default privileges grant all on {kind} to public")
            conn.execute("set client_min_messages = error")
            conn.execute("create extension pgagent_py cascade")
            assert conn.execute(_PUBLIC_GRANTS).fetchall() == []
    finally:
        cluster.drop_database(made.name)


def test_role_without_grants_can_do_nothing(catalog: Connection[TupleRow]) -> None:
    with catalog.transaction(force_rollback=True):
        catalog.execute("create role nobody_at_all")
        catalog.execute("set local role nobody_at_all")
        for statement in ("select from pgagent.pga_job", "select pgagent.pgagent_schema_version()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), catalog.transaction():
                catalog.execute(statement)


def test_role_that_may_use_the_schema_may_call_no_function(catalog: Connection[TupleRow]) -> None:
    with catalog.transaction(force_rollback=True):
        catalog.execute("create role nobody_at_all")
        catalog.execute("grant usage on schema pgagent to nobody_at_all")
        callable_functions = names(
            catalog,
            "select oid::regprocedure::text from pg_proc where pronamespace = 'pgagent'::regnamespace"
            " and has_function_privilege('nobody_at_all', oid, 'execute')",
        )
        assert callable_functions == []


def test_functions_pin_their_search_path(catalog: Connection[TupleRow]) -> None:
    """Unless their body was parsed when they were created: what its names mean is settled then."""
    unpinned = names(
        catalog,
        f"select proname::text from pg_proc where {NAMESPACE}"
        f" and coalesce(not proconfig @> array['{SEARCH_PATH}'], prosqlbody is null)",
    )
    assert unpinned == sorted(WITHOUT_SEARCH_PATH)


def test_parsed_bodies_are_put_into_queries(catalog: Connection[TupleRow]) -> None:
    """A setting, or the rights of another role, would keep the planner from it; nothing else needs a parsed body."""
    kept_out = names(
        catalog,
        f"select proname::text from pg_proc where {NAMESPACE} and prosqlbody is not null"
        " and (proconfig is not null or prosecdef or provolatile = 'v' or proisstrict)",
    )
    assert kept_out == []


def test_views_for_job_users_read_no_table(catalog: Connection[TupleRow]) -> None:
    """They would read it with the rights of their owner."""
    with catalog.transaction(force_rollback=True):
        catalog.execute("create role somebody")
        catalog.execute("select pgagent.grant_administration('somebody')")
        reading = names(
            catalog,
            "select distinct v.relname::text from pg_class v join pg_rewrite r on r.ev_class = v.oid"
            " join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid"
            " join pg_class t on d.refclassid = 'pg_class'::regclass and t.oid = d.refobjid and t.oid <> v.oid"
            " where v.relnamespace = 'pgagent'::regnamespace and v.relkind = 'v'"
            " and has_table_privilege('somebody', v.oid, 'select')",
        )
    assert reading == ["_shared_settings"]


def test_security_definer_has_a_reason(catalog: Connection[TupleRow]) -> None:
    assert names(catalog, f"select proname::text from pg_proc where {NAMESPACE} and prosecdef") == sorted(
        SECURITY_DEFINER
    )


def test_every_table_has_row_level_security(catalog: Connection[TupleRow]) -> None:
    """Without FORCE: the engine works as the owner."""
    found = catalog.execute(
        "select relname::text, relrowsecurity, relforcerowsecurity from pg_class"
        " where relnamespace = 'pgagent'::regnamespace and relkind in ('r', 'p')"
    ).fetchall()
    assert {name for name, enabled, forced in found if not enabled or forced} == set()
    assert {name for name, *_ in found} == set(POLICIES) | set(WITHOUT_POLICY)


def test_policies_are_those_of_the_list(catalog: Connection[TupleRow]) -> None:
    """For everybody, and none that widens another one unnoticed."""
    found = catalog.execute(
        "select c.relname::text, array_agg(p.polcmd::text) from pg_policy p join pg_class c on c.oid = p.polrelid"
        " where c.relnamespace = 'pgagent'::regnamespace and p.polpermissive and p.polroles = '{0}' group by 1"
    ).fetchall()
    assert {name: set(commands) for name, commands in found} == POLICIES
    assert names(catalog, "select polname::text from pg_policy where not polpermissive or polroles <> '{0}'") == []


def test_policies_call_no_function_of_users(catalog: Connection[TupleRow]) -> None:
    """Nor one of ours: a GRANT on the tables is enough."""
    called = names(
        catalog,
        "select distinct d.refobjid::regprocedure::text from pg_depend d"
        " where d.classid = 'pg_policy'::regclass and d.refclassid = 'pg_proc'::regclass",
    )
    assert called == []


def test_views_cannot_be_written_past_the_policies(catalog: Connection[TupleRow]) -> None:
    """What is written through a view is written with the rights of its owner."""
    loose = names(
        catalog,
        "select table_name::text from information_schema.views where table_schema = 'pgagent'"
        " and (is_insertable_into = 'YES' or is_updatable = 'YES') and check_option <> 'CASCADED'",
    )
    assert loose == []


def test_one_role_owns_everything(catalog: Connection[TupleRow]) -> None:
    owners = names(
        catalog,
        "select relowner::regrole::text from pg_class where relnamespace = 'pgagent'::regnamespace"
        f" union select proowner::regrole::text from pg_proc where {NAMESPACE}"
        " union select nspowner::regrole::text from pg_namespace where nspname = 'pgagent'"
        " union select extowner::regrole::text from pg_extension where extname = 'pgagent_py'",
    )
    assert owners == ["postgres"]


@pytest.mark.parametrize(
    ("grant", "definers"),
    [
        ("grant_use", set()),
        ("grant_administration", set()),
        (
            "grant_ticker",
            {"run_due", "next_due", "take_batch_steps", "finish_batch_step", "cancelled_batch_steps", "_wait_for_work"},
        ),
    ],
)
def test_who_works_with_rights_of_the_owner(catalog: Connection[TupleRow], grant: str, definers: set[str]) -> None:
    """No job user calls a function that does; a ticker those few."""
    with catalog.transaction(force_rollback=True):
        catalog.execute("create role somebody")
        catalog.execute(f"select pgagent.{grant}('somebody')")
        found = names(
            catalog,
            f"select proname::text from pg_proc where {NAMESPACE} and prosecdef"
            " and has_function_privilege('somebody', oid, 'execute')",
        )
        assert set(found) == definers
        more = names(
            catalog,
            "select distinct a.privilege_type from pg_class c cross join lateral aclexplode(c.relacl) a"
            " where c.relnamespace = 'pgagent'::regnamespace and a.grantee = 'somebody'::regrole"
            " and (a.is_grantable or a.privilege_type in ('TRIGGER', 'TRUNCATE', 'REFERENCES'))",
        )
        assert more == []


def test_everything_has_a_comment(catalog: Connection[TupleRow]) -> None:
    assert names(catalog, _UNCOMMENTED) == []


def test_comments_are_sentences(catalog: Connection[TupleRow]) -> None:
    odd = names(
        catalog,
        "select description from pg_description d join pg_depend e on (e.classid, e.objid) = (d.classoid, d.objoid)"
        " where e.deptype = 'e' and e.refobjid = (select oid from pg_extension where extname = 'pgagent_py')"
        r" and description !~ '\.$'",
    )
    assert odd == []


def test_everything_in_the_schema_belongs_to_the_extension(catalog: Connection[TupleRow]) -> None:
    assert names(catalog, _NOT_OF_THE_EXTENSION) == []
    assert names(catalog, _STRANGERS) == []


def test_the_extension_has_nothing_outside_its_schema(catalog: Connection[TupleRow]) -> None:
    assert names(catalog, _MEMBERS_ELSEWHERE) == []


def test_tables_and_sequences_are_dumped(catalog: Connection[TupleRow]) -> None:
    not_registered = names(
        catalog,
        "select relname::text from pg_class where relnamespace = 'pgagent'::regnamespace and relkind in ('r', 'S')"
        " and oid <> all (select unnest(extconfig) from pg_extension where extname = 'pgagent_py')",
    )
    assert not_registered == sorted(NOT_DUMPED)


def test_instants_have_a_time_zone(catalog: Connection[TupleRow]) -> None:
    without = names(
        catalog,
        "select attrelid::regclass || '.' || attname from pg_attribute join pg_class c on c.oid = attrelid"
        " where relnamespace = 'pgagent'::regnamespace and atttypid in ('timestamp'::regtype, 'timetz'::regtype)",
    )
    assert without == []


def test_foreign_keys_have_an_index(catalog: Connection[TupleRow]) -> None:
    """Or a deleted job, step or agent makes the server read a whole log. Classes are few, and stay."""
    without = names(
        catalog,
        "select conname::text from pg_constraint k where contype = 'f' and connamespace = 'pgagent'::regnamespace"
        " and not exists (select from pg_index i where i.indrelid = k.conrelid and i.indkey[0] = k.conkey[1])",
    )
    assert without == ["pga_job_jobjclid_fkey"]


def test_every_public_function_is_called_by_a_test(catalog: Connection[TupleRow]) -> None:
    public = names(
        catalog,
        f"select distinct proname::text from pg_proc where {NAMESPACE} and proname !~ '^_'"
        " and prorettype <> 'trigger'::regtype",
    )
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__).resolve()]
    uncalled = [name for name in public if not any(re.search(rf"\bpgagent\.{name}\(", text) for text in texts)]
    assert uncalled == []


def read_headers() -> list[tuple[str, str]]:
    """Name, and what stands between CREATE FUNCTION or PROCEDURE and the body, in the SQL sources."""
    found = []
    for path in sorted((ROOT / "sql").rglob("*.sql")):
        pattern = r"^create (?:function|procedure) .*?^(?:as |begin atomic)"
        headers = re.findall(pattern, path.read_text(), re.MULTILINE | re.DOTALL)
        found += [(re.split(r"[ (]", header, maxsplit=3)[2], header) for header in headers]
    return found


HEADERS = read_headers()


def test_sources_have_every_function_of_the_catalog(catalog: Connection[TupleRow]) -> None:
    assert names(catalog, f"select 'pgagent.' || proname from pg_proc where {NAMESPACE}") == sorted(
        name for name, _ in HEADERS
    )


@pytest.mark.parametrize("header", [header for _, header in HEADERS], ids=[name for name, _ in HEADERS])
def test_function_says_what_it_is(header: str) -> None:
    assert re.search(r"\blanguage \w+", header)
    assert re.search(r"\bsecurity (invoker|definer)\b", header)
    assert header.startswith("create procedure") or re.search(r"\b(volatile|stable|immutable)\b", header)
    assert "security definer" not in header or re.search(r"security definer  -- \w+", header)


def test_sources_create_and_never_replace() -> None:
    loose = re.compile(r"\b(create or replace|create [a-z ]+ if not exists|cascade;)", re.IGNORECASE)
    texts = {path.name: re.sub(r"--.*", "", path.read_text()) for path in (ROOT / "sql").rglob("*.sql")}
    assert [name for name, text in texts.items() if loose.search(text)] == []


def test_stubs_hold_no_logic() -> None:
    """A PL/Python body is run anew at each call and seen by no linter: loading apart, it imports and calls."""
    body = re.compile(r"language plpython3u.*?^as \$\$\n(.*?)^\$\$", re.MULTILINE | re.DOTALL)
    files = [path for path in (ROOT / "sql").rglob("*.sql") if path.name != "_python_load.sql"]
    long = [path.name for path in files for stub in body.findall(path.read_text()) if stub.count("\n") > 4]
    assert long == []
