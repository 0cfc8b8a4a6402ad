"""The tables are pgAgent 4's: columns, constraints, indexes, sequences, as its clients and its daemon know them.

The expectations are the catalog of pgAgent 4.2 as PostgreSQL 15 shows it, written down.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from harness import Cluster

NONE_OF = {size: f"'{{{','.join('f' * size)}}}'::boolean[]" for size in (7, 12, 24, 32, 60)}

# name, type, not null, default; an id's default is "serial": nextval of the sequence TABLE_COLUMN_seq.
COLUMNS: dict[str, list[tuple[str, str, bool, str | None]]] = {
    "pga_jobagent": [
        ("jagpid", "integer", True, None),
        ("jaglogintime", "timestamp with time zone", True, "CURRENT_TIMESTAMP"),
        ("jagstation", "text", True, None),
    ],
    "pga_jobclass": [
        ("jclid", "integer", True, "serial"),
        ("jclname", "text", True, None),
    ],
    "pga_job": [
        ("jobid", "integer", True, "serial"),
        ("jobjclid", "integer", True, None),
        ("jobname", "text", True, None),
        ("jobdesc", "text", True, "''::text"),
        ("jobhostagent", "text", True, "''::text"),
        ("jobenabled", "boolean", True, "true"),
        ("jobcreated", "timestamp with time zone", True, "CURRENT_TIMESTAMP"),
        ("jobchanged", "timestamp with time zone", True, "CURRENT_TIMESTAMP"),
        ("jobagentid", "integer", False, None),
        ("jobnextrun", "timestamp with time zone", False, None),
        ("joblastrun", "timestamp with time zone", False, None),
    ],
    "pga_jobstep": [
        ("jstid", "integer", True, "serial"),
        ("jstjobid", "integer", True, None),
        ("jstname", "text", True, None),
        ("jstdesc", "text", True, "''::text"),
        ("jstenabled", "boolean", True, "true"),
        ("jstkind", "character(1)", True, None),
        ("jstcode", "text", True, None),
        ("jstconnstr", "text", True, "''::text"),
        ("jstdbname", "name", True, "''::name"),
        ("jstonerror", "character(1)", True, "'f'::bpchar"),
        ("jscnextrun", "timestamp with time zone", False, None),
    ],
    "pga_schedule": [
        ("jscid", "integer", True, "serial"),
        ("jscjobid", "integer", True, None),
        ("jscname", "text", True, None),
        ("jscdesc", "text", True, "''::text"),
        ("jscenabled", "boolean", True, "true"),
        ("jscstart", "timestamp with time zone", True, "CURRENT_TIMESTAMP"),
        ("jscend", "timestamp with time zone", False, None),
        ("jscminutes", "boolean[]", True, NONE_OF[60]),
        ("jschours", "boolean[]", True, NONE_OF[24]),
        ("jscweekdays", "boolean[]", True, NONE_OF[7]),
        ("jscmonthdays", "boolean[]", True, NONE_OF[32]),
        ("jscmonths", "boolean[]", True, NONE_OF[12]),
    ],
    "pga_exception": [
        ("jexid", "integer", True, "serial"),
        ("jexscid", "integer", True, None),
        ("jexdate", "date", False, None),
        ("jextime", "time without time zone", False, None),
    ],
    "pga_joblog": [
        ("jlgid", "integer", True, "serial"),
        ("jlgjobid", "integer", True, None),
        ("jlgstatus", "character(1)", True, "'r'::bpchar"),
        ("jlgstart", "timestamp with time zone", True, "CURRENT_TIMESTAMP"),
        ("jlgduration", "interval", False, None),
    ],
    "pga_jobsteplog": [
        ("jslid", "integer", True, "serial"),
        ("jsljlgid", "integer", True, None),
        ("jsljstid", "integer", True, None),
        ("jslstatus", "character(1)", True, "'r'::bpchar"),
        ("jslresult", "integer", False, None),
        ("jslstart", "timestamp with time zone", True, "CURRENT_TIMESTAMP"),
        ("jslduration", "interval", False, None),
        ("jsloutput", "text", False, None),
    ],
}

# name, definition; a name ends with that of its table's columns as PostgreSQL makes them up.
CONSTRAINTS: dict[str, dict[str, str]] = {
    "pga_jobagent": {"pga_jobagent_pkey": "PRIMARY KEY (jagpid)"},
    "pga_jobclass": {"pga_jobclass_pkey": "PRIMARY KEY (jclid)"},
    "pga_job": {
        "pga_job_pkey": "PRIMARY KEY (jobid)",
        "pga_job_jobjclid_fkey": "FOREIGN KEY (jobjclid) REFERENCES pgagent.pga_jobclass(jclid)"
        " ON UPDATE RESTRICT ON DELETE RESTRICT",
        "pga_job_jobagentid_fkey": "FOREIGN KEY (jobagentid) REFERENCES pgagent.pga_jobagent(jagpid)"
        " ON UPDATE RESTRICT ON DELETE SET NULL",
    },
    "pga_jobstep": {
        "pga_jobstep_pkey": "PRIMARY KEY (jstid)",
        "pga_jobstep_jstjobid_fkey": "FOREIGN KEY (jstjobid) REFERENCES pgagent.pga_job(jobid)"
        " ON UPDATE RESTRICT ON DELETE CASCADE",
        "pga_jobstep_jstkind_check": "CHECK ((jstkind = ANY (ARRAY['b'::bpchar, 's'::bpchar])))",
        "pga_jobstep_jstonerror_check": "CHECK ((jstonerror = ANY (ARRAY['f'::bpchar, 's'::bpchar, 'i'::bpchar])))",
        "pga_jobstep_check": "CHECK ((((jstconnstr <> ''::text) AND (jstkind = 's'::bpchar)) OR"
        " ((jstconnstr = ''::text) AND ((jstkind = 'b'::bpchar) OR (jstdbname <> ''::name)))))",
        "pga_jobstep_check1": "CHECK ((((jstdbname <> ''::name) AND (jstkind = 's'::bpchar)) OR"
        " ((jstdbname = ''::name) AND ((jstkind = 'b'::bpchar) OR (jstconnstr <> ''::text)))))",
    },
    "pga_schedule": {
        "pga_schedule_pkey": "PRIMARY KEY (jscid)",
        "pga_schedule_jscjobid_fkey": "FOREIGN KEY (jscjobid) REFERENCES pgagent.pga_job(jobid)"
        " ON UPDATE RESTRICT ON DELETE CASCADE",
        "pga_schedule_jscminutes_size": "CHECK ((array_upper(jscminutes, 1) = 60))",
        "pga_schedule_jschours_size": "CHECK ((array_upper(jschours, 1) = 24))",
        "pga_schedule_jscweekdays_size": "CHECK ((array_upper(jscweekdays, 1) = 7))",
        "pga_schedule_jscmonthdays_size": "CHECK ((array_upper(jscmonthdays, 1) = 32))",
        "pga_schedule_jscmonths_size": "CHECK ((array_upper(jscmonths, 1) = 12))",
    },
    "pga_exception": {
        "pga_exception_pkey": "PRIMARY KEY (jexid)",
        "pga_exception_jexscid_fkey": "FOREIGN KEY (jexscid) REFERENCES pgagent.pga_schedule(jscid)"
        " ON UPDATE RESTRICT ON DELETE CASCADE",
    },
    "pga_joblog": {
        "pga_joblog_pkey": "PRIMARY KEY (jlgid)",
        "pga_joblog_jlgjobid_fkey": "FOREIGN KEY (jlgjobid) REFERENCES pgagent.pga_job(jobid)"
        " ON UPDATE RESTRICT ON DELETE CASCADE",
        "pga_joblog_jlgstatus_check": "CHECK ((jlgstatus = ANY (ARRAY["
        "'r'::bpchar, 's'::bpchar, 'f'::bpchar, 'i'::bpchar, 'd'::bpchar])))",
    },
    "pga_jobsteplog": {
        "pga_jobsteplog_pkey": "PRIMARY KEY (jslid)",
        "pga_jobsteplog_jsljlgid_fkey": "FOREIGN KEY (jsljlgid) REFERENCES pgagent.pga_joblog(jlgid)"
        " ON UPDATE RESTRICT ON DELETE CASCADE",
        "pga_jobsteplog_jsljstid_fkey": "FOREIGN KEY (jsljstid) REFERENCES pgagent.pga_jobstep(jstid)"
        " ON UPDATE RESTRICT ON DELETE CASCADE",
        "pga_jobsteplog_jslstatus_check": "CHECK ((jslstatus = ANY (ARRAY["
        "'r'::bpchar, 's'::bpchar, 'i'::bpchar, 'f'::bpchar, 'd'::bpchar])))",
    },
}

# Index, first columns, unique. Ours may have more columns behind these, where that helps; one exception below.
INDEXES: dict[str, tuple[str, list[str], bool]] = {
    "pga_jobclass_name": ("pga_jobclass", ["jclname"], True),
    "pga_jobstep_jobid": ("pga_jobstep", ["jstjobid"], False),
    "pga_jobschedule_jobid": ("pga_schedule", ["jscjobid"], False),
    "pga_exception_jexscid": ("pga_exception", ["jexscid"], False),
    "pga_joblog_jobid": ("pga_joblog", ["jlgjobid"], False),
    "pga_jobsteplog_jslid": ("pga_jobsteplog", ["jsljlgid"], False),
}

CLASSES = [
    (1, "Routine Maintenance"),
    (2, "Data Import"),
    (3, "Data Export"),
    (4, "Data Summarisation"),
    (5, "Miscellaneous"),
]

_COLUMNS = """
    select a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""

_INDEX = """
    select c.relname::text, i.indisunique, i.indpred is null,
           array(select a.attname::text from unnest(i.indkey) with ordinality k (number, place)
                 join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number order by k.place)
    from pg_index i join pg_class c on c.oid = i.indrelid
    where i.indexrelid = %s::regclass
"""


@pytest.fixture(scope="module")
def catalog(cluster: Cluster) -> Iterator[Connection[TupleRow]]:
    """A session in a database with the extension, for tests that change nothing."""
    made = cluster.create_database("catalog_of_schema")
    with cluster.connect(made.name) as conn:
        yield conn
    cluster.drop_database(made.name)


@pytest.mark.parametrize("table", COLUMNS)
def test_table_has_the_columns_of_pgagent(catalog: Connection[TupleRow], table: str) -> None:
    expected = [(name, kind, filled, _default(table, name, default)) for name, kind, filled, default in COLUMNS[table]]
    assert _columns(catalog, table)[: len(expected)] == expected


@pytest.mark.parametrize("table", COLUMNS)
def test_our_own_columns_do_not_disturb_a_client_that_does_not_know_them(
    catalog: Connection[TupleRow], table: str
) -> None:
    own = _columns(catalog, table)[len(COLUMNS[table]) :]
    prefix = COLUMNS[table][0][0][:3]
    assert [name for name, _, filled, default in own if filled and default is None] == []
    assert [name for name, *_ in own if not name.startswith(prefix)] == []


@pytest.mark.parametrize("table", COLUMNS)
def test_table_has_the_constraints_of_pgagent(catalog: Connection[TupleRow], table: str) -> None:
    rows = catalog.execute(
        "select conname::text, pg_get_constraintdef(oid) from pg_constraint"
        " where conrelid = %s::regclass and %s >= all (conkey)",  # of pgAgent's own columns
        (f"pgagent.{table}", len(COLUMNS[table])),
    ).fetchall()
    assert dict(rows) == CONSTRAINTS[table]


@pytest.mark.parametrize("index", INDEXES)
def test_table_has_the_indexes_of_pgagent(catalog: Connection[TupleRow], index: str) -> None:
    table, columns, unique = INDEXES[index]
    row = catalog.execute(_INDEX, (f"pgagent.{index}",)).fetchone()
    assert row is not None
    assert row[:3] == (table, unique, True)
    assert row[3][: len(columns)] == columns


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("pga_joblog_jobid", "btree (jlgjobid, jlgid)"),
        ("pga_jobsteplog_jstid_jslid", "btree (jsljstid, jslid)"),
        (
            "pga_job_due",
            "btree (jobnextrun, jobid) WHERE ((jobenabled OR (jobrunid IS NOT NULL)) AND (jobagentid IS NULL))",
        ),
    ],
)
def test_indexes_that_history_and_the_due_query_lack_in_pgagent(
    catalog: Connection[TupleRow], index: str, expected: str
) -> None:
    row = catalog.execute("select pg_get_indexdef(%s::regclass)", (f"pgagent.{index}",)).fetchone()
    assert row is not None
    assert row[0].endswith(expected)


def test_sequences_belong_to_their_columns(catalog: Connection[TupleRow]) -> None:
    serials = [(table, name) for table, rows in COLUMNS.items() for name, _, _, d in rows if d == "serial"]
    for table, column in serials:
        row = catalog.execute(
            "select pg_get_serial_sequence(%s, %s), data_type::text, start_value, increment_by, cycle"
            " from pg_sequences where schemaname = 'pgagent' and sequencename = %s",
            (f"pgagent.{table}", column, f"{table}_{column}_seq"),
        ).fetchone()
        assert row == (f"pgagent.{table}_{column}_seq", "integer", 1, 1, False)


def test_job_classes_have_the_ids_of_pgagent(connection: Connection[TupleRow]) -> None:
    assert connection.execute("select jclid, jclname from pgagent.pga_jobclass order by jclid").fetchall() == CLASSES
    row = connection.execute("insert into pgagent.pga_jobclass (jclname) values ('Own') returning jclid").fetchone()
    assert row == (6,)


def test_schema_version_is_pgagents(catalog: Connection[TupleRow]) -> None:
    row = catalog.execute("select v, pg_typeof(v)::text from pgagent.pgagent_schema_version() v").fetchone()
    assert row == (4, "smallint")


@pytest.mark.parametrize(
    ("year", "leap"), [(1900, False), (2000, True), (2023, False), (2024, True), (2100, False), (2400, True)]
)
def test_leap_years(catalog: Connection[TupleRow], year: int, leap: bool) -> None:
    assert catalog.execute("select pgagent.pga_is_leap_year(%s::int2)", (year,)).fetchone() == (leap,)


def test_pga_next_schedule_takes_the_arguments_of_pgagent(catalog: Connection[TupleRow]) -> None:
    rows = catalog.execute(
        "select oidvectortypes(proargtypes), prorettype::regtype::text, proretset, prokind::text from pg_proc"
        " where pronamespace = 'pgagent'::regnamespace and proname = 'pga_next_schedule'"
    ).fetchall()
    instant = "timestamp with time zone"
    arguments = ", ".join(["integer", instant, instant, *["boolean[]"] * 5])
    assert rows == [(arguments, instant, False, "f")]


@pytest.mark.parametrize(
    ("kind", "dbname", "connstr", "constraint"),
    [
        ("s", "postgres", "", None),
        ("s", "", "host=elsewhere", None),
        ("b", "", "", None),
        ("s", "", "", "pga_jobstep_check"),
        ("s", "postgres", "host=elsewhere", None),
        ("b", "postgres", "", "pga_jobstep_check1"),
        ("b", "", "host=elsewhere", "pga_jobstep_check"),
        ("x", "", "", "pga_jobstep_check"),
    ],
)
def test_step_says_where_it_runs(
    catalog: Connection[TupleRow], kind: str, dbname: str, connstr: str, constraint: str | None
) -> None:
    refused = None
    with catalog.transaction(force_rollback=True):
        catalog.execute("insert into pgagent.pga_job (jobid, jobjclid, jobname) values (1, 1, 'job')")
        try:
            with catalog.transaction():
                catalog.execute(
                    "insert into pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname, jstconnstr)"
                    " values (1, 'step', %s, 'select 1', %s, %s)",
                    (kind, dbname, connstr),
                )
        except psycopg.errors.CheckViolation as error:
            refused = error.diag.constraint_name
    assert refused == constraint


def _columns(conn: Connection[TupleRow], table: str) -> list[TupleRow]:
    return conn.execute(_COLUMNS, (f"pgagent.{table}",)).fetchall()


def _default(table: str, column: str, default: str | None) -> str | None:
    return f"nextval('pgagent.{table}_{column}_seq'::regclass)" if default == "serial" else default
