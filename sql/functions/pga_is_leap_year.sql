create function pgagent.pga_is_leap_year(int2) returns bool
language sql immutable strict parallel safe security invoker
set search_path = pg_catalog, pg_temp
as $$ select $1 % 4 = 0 and ($1 % 100 <> 0 or $1 % 400 = 0) $$;
comment on function pgagent.pga_is_leap_year(int2) is 'Whether the year is a leap year of the Gregorian calendar.';
