-- The Python modules, verbatim. A SQL function, because PL/Python would alter literals of several lines.
create function pgagent._python_source() returns table (module text, source text)
language sql immutable parallel safe security invoker
set search_path = pg_catalog, pg_temp
as $source_of_pgagent_py$
values
@python_values@
$source_of_pgagent_py$;
comment on function pgagent._python_source() is 'The Python modules of this version: name and source.';
