"""The reference of the SQL interface, made of the catalog of a database that has the extension."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from reference.themes import TABLES, VIEWS, in_order, sort_by_theme

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "sql"

HEAD = """\
# Reference: SQL

Made by `make docs` from the catalog of the extension and docs/examples; a test says when it is stale.

All names are in schema `pgagent`. Parameters may be given by position or by name (`sql => 'vacuum'`); what has a
default may be left out. A job is given by its id or by its name. `psql` shows the same texts with `\\df+ pgagent.*`.
"""

_FUNCTIONS = """
    select p.proname::text as name, p.oid::regprocedure::text as identity, p.prokind = 'p' as is_procedure,
           d.description as comment, pg_get_function_result(p.oid) as result,
           coalesce(p.proargnames, '{}') as arguments,
           coalesce(p.proargmodes::text[], array_fill('i'::text, array[p.pronargs::int])) as modes,
           array(select format_type(t, null)
                   from unnest(coalesce(p.proallargtypes, p.proargtypes)) with ordinality u (t, n)
                  order by n) as types,
           array(select pg_get_function_arg_default(p.oid, n)
                   from generate_series(1, greatest(p.pronargs, coalesce(array_length(p.proallargtypes, 1), 0))) n
                  order by n) as defaults,
           array(select r.rolname::text from pg_roles r
                  where r.rolname = any (%(roles)s) and has_function_privilege(r.oid, p.oid, 'execute')
                  order by array_position(%(roles)s, r.rolname::text)) as callers
      from pg_proc p
      left join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass
     where p.pronamespace = 'pgagent'::regnamespace and p.proname !~ '^_' and p.prorettype <> 'trigger'::regtype
     order by p.proname, p.pronargs desc, p.oid::regprocedure::text
"""

_RELATIONS = """
    select c.relname::text as name, obj_description(c.oid, 'pg_class') as comment, c.relkind = 'v' as is_view
      from pg_class c
     where c.relnamespace = 'pgagent'::regnamespace and c.relkind in ('r', 'v') and c.relname !~ '^_'
     order by 1
"""

_COLUMNS = """
    select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
           pg_get_expr(d.adbin, d.adrelid) as default,
           col_description(a.attrelid, a.attnum) as comment
      from pg_attribute a
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = format('pgagent.%%I', %(name)s::text)::regclass and a.attnum > 0 and not a.attisdropped
     order by a.attnum
"""

# Roles that are made for the questions, and what those are called who have the same rights.
_CALLERS = {"reference_use": "job users", "reference_ticker": "tickers", "reference_administration": "administrators"}

_ID_OR_NAME = "int4 or text"
_SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "character varying": "varchar",
    "boolean": "bool",
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "double precision": "float8",
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function or procedure as the catalog has it."""

    name: str
    identity: str
    is_procedure: bool
    comment: str | None
    result: str | None
    arguments: list[str]
    modes: list[str]
    types: list[str]
    defaults: list[str | None]
    callers: list[str]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view."""

    name: str
    comment: str | None
    is_view: bool


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or view."""

    name: str
    type: str
    default: str | None
    comment: str | None


def render_page(conn: Connection[Any]) -> str:
    """Return the page; the session must be a superuser's, in a database that has the extension."""
    functions = read_functions(conn)
    relations = read_relations(conn)
    parts = [HEAD, *_render_contents(functions, relations), *_render_functions(functions)]
    if _views(relations):
        parts.append("## Views\n")
        parts += [_render_relation(conn, relations[name]) for name in _views(relations)]
    parts.append("## Tables\n")
    parts += [_render_relation(conn, relations[name]) for name in _tables(relations)]
    return "\n".join(parts)


def read_functions(conn: Connection[Any]) -> list[Function]:
    """Return the public functions, and who may call each of them."""
    with conn.transaction(force_rollback=True), conn.cursor(row_factory=class_row(Function)) as cursor:
        for role in _CALLERS:
            grant = role.replace("reference", "grant")
            conn.execute(f"create role {role}; select pgagent.{grant}('{role}')")
        return cursor.execute(_FUNCTIONS, {"roles": list(_CALLERS)}).fetchall()


def read_relations(conn: Connection[Any]) -> dict[str, Relation]:
    """Return the public tables and views by their names."""
    with conn.cursor(row_factory=class_row(Relation)) as cursor:
        return {relation.name: relation for relation in cursor.execute(_RELATIONS).fetchall()}


def example_of(name: str, *, is_view: bool = False) -> Path:
    """Return where the example of a function or view is; both may have the same name."""
    return EXAMPLES / f"{name}{'_view' if is_view else ''}.sql"


def _render_example(path: Path) -> list[str]:
    return [f"```sql\n{path.read_text(encoding='utf-8').rstrip()}\n```\n"] if path.exists() else []


# ---- Functions ---------------------------------------------------------------------------------------------


def _render_contents(functions: Sequence[Function], relations: dict[str, Relation]) -> Iterator[str]:
    themes = sort_by_theme({function.name for function in functions})
    for title, names in themes.items():
        yield f"* {title}: " + ", ".join(f"[{name}](#{name})" for name in names)
    if _views(relations):
        yield "* Views: " + ", ".join(f"[{name}](#view-{name})" for name in _views(relations))
    yield "* Tables: " + ", ".join(f"[{name}](#table-{name})" for name in _tables(relations)) + "\n"


def _render_functions(functions: Sequence[Function]) -> Iterator[str]:
    by_name = {name: list(group) for name, group in groupby(functions, lambda function: function.name)}
    for title, names in sort_by_theme(set(by_name)).items():
        yield f"## {title}\n"
        for name in names:
            yield _render_function(by_name[name])


def _render_function(overloads: Sequence[Function]) -> str:
    name = overloads[0].name
    shown = _join_overloads(overloads)
    comments = list(dict.fromkeys(function.comment or "" for function in shown))
    parts = [f"### {name}\n", "\n".join(f"    {line}" for each in shown for line in _render_signature(each)) + "\n"]
    parts += [f"{_escape(comment)}\n" for comment in comments]
    parts.append(f"May be called by {_render_callers(overloads[0].callers)}.\n")
    return "\n".join(parts + _render_example(example_of(name)))


def _join_overloads(overloads: Sequence[Function]) -> list[Function]:
    """The overloads, those by id and by name that are otherwise alike as one, with the comment of the former."""
    by_name = {_without_first_type(each) for each in overloads if each.types[:1] == ["text"]}
    by_id = {_without_first_type(each) for each in overloads if each.types[:1] == ["integer"]}
    return [
        replace(each, types=[_ID_OR_NAME, *each.types[1:]])
        if each.types[:1] == ["integer"] and _without_first_type(each) in by_name
        else each
        for each in overloads
        if each.types[:1] != ["text"] or _without_first_type(each) not in by_id
    ]


def _without_first_type(function: Function) -> tuple[object, ...]:
    return tuple(function.arguments), tuple(function.types[1:]), tuple(function.defaults)


def _render_signature(function: Function) -> list[str]:
    """The signature, in lines of at most 110 characters."""
    given = [
        _render_argument(name, kind, default)
        for name, mode, kind, default in zip(
            _names(function), function.modes, function.types, function.defaults, strict=True
        )
        if mode in "ib"
    ]
    start = f"{'call ' if function.is_procedure else ''}{function.name}("
    lines, line = [], start
    for position, argument in enumerate(given):
        piece = argument + ("," if position < len(given) - 1 else "")
        if line != start and len(line) + len(piece) > 109:
            lines.append(line.rstrip())
            line = " " * 4
        line += piece + " "
    lines.append(f"{line.rstrip()}){_render_result(function)}")
    return lines


def _names(function: Function) -> list[str]:
    return function.arguments or [f"${number}" for number, _ in enumerate(function.types, 1)]


def _render_argument(name: str, kind: str, default: str | None) -> str:
    text = f"{name} {_shorten_type(kind)}"
    return text if default is None else f"{text} default {_render_default(default)}"


def _render_default(default: str) -> str:
    if re.fullmatch(r"'\{f(?:,f)*\}'::.*", default):
        return "'{f, ...}'"
    text = re.sub(r"::(?:\"char\"|[a-z][a-z0-9_]*(?: [a-z]+)*(?:\[\])?)", "", default)
    return text.lower() if re.fullmatch(r"[A-Z_]+(?:\(\))?", text) else text


def _render_result(function: Function) -> str:
    if function.is_procedure:
        return ""
    outs = [
        f"{name} {_shorten_type(kind)}"
        for name, mode, kind in zip(_names(function), function.modes, function.types, strict=True)
        if mode in "ot"
    ]
    if not outs:
        return f" returns {_shorten_type(function.result or 'void')}"
    is_table = "t" in function.modes
    return f"\n        returns {'table ' if is_table else ''}(" + ", ".join(outs) + ")"


def _shorten_type(kind: str) -> str:
    base, brackets, _ = kind.partition("[]")
    return _SHORT_TYPES.get(base, base) + brackets


def _render_callers(callers: Sequence[str]) -> str:
    words = [_CALLERS[role] for role in callers]
    if not words:
        return "superusers only"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# ---- Views and tables --------------------------------------------------------------------------------------


def _views(relations: dict[str, Relation]) -> list[str]:
    return in_order({name for name, relation in relations.items() if relation.is_view}, VIEWS)


def _tables(relations: dict[str, Relation]) -> list[str]:
    return in_order({name for name, relation in relations.items() if not relation.is_view}, TABLES)


def _render_relation(conn: Connection[Any], relation: Relation) -> str:
    kind = "view" if relation.is_view else "table"
    with conn.cursor(row_factory=class_row(Column)) as cursor:
        columns = cursor.execute(_COLUMNS, {"name": relation.name}).fetchall()
    lines = [f'### <a id="{kind}-{relation.name}"></a>{relation.name}\n', f"{_escape(relation.comment or '')}\n"]
    has_comments = any(column.comment for column in columns)
    lines += (
        ["| column | type | meaning |", "| --- | --- | --- |"]
        if has_comments
        else ["| column | type |", "| --- | --- |"]
    )
    for column in columns:
        cells = [f"`{column.name}`", _escape(_shorten_type(column.type))]
        lines.append(f"| {' | '.join(cells + [_render_meaning(column)] * has_comments)} |")
    example = _render_example(example_of(relation.name, is_view=True)) if relation.is_view else []
    return "\n".join([*lines, "", *example])


def _render_meaning(column: Column) -> str:
    meaning = _escape(column.comment or "").replace("\n", " ")
    if column.default is None or column.default.startswith("nextval("):
        return meaning
    return f"{meaning} Default: `{_render_default(column.default)}`."


def _escape(text: str) -> str:
    return re.sub(r"([|*<])", r"\\\1", text)
