-- Instants travel to Python as whole seconds: a number depends on no DateStyle or TimeZone, infinity stays infinity.
create function pgagent._epoch(instant timestamptz) returns float8
language sql immutable strict parallel safe security invoker
set search_path = pg_catalog, pg_temp
as $$ select date_part('epoch', date_trunc('second', instant)) $$;
comment on function pgagent._epoch(timestamptz) is 'Seconds since 1970-01-01 UTC, cut to whole seconds.';
