create function pgagent.pgagent_schema_version() returns int2
language sql immutable parallel safe security invoker
set search_path = pg_catalog, pg_temp
as $$ select 4::int2 $$;
comment on function pgagent.pgagent_schema_version() is
    'Major version of pgAgent whose tables these are: 4. pgAgent''s own daemon checks it.';
