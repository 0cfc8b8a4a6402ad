-- Arrays travel as text: PL/Python would drop their bounds.
create function pgagent._next_schedule_epoch(
    schedule int4, starts float8, ends float8, minutes text, hours text, weekdays text, monthdays text, months text,
    zone text, after float8
) returns float8
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").next_run_of_arrays(
    plpy, SD, schedule, starts, ends, (minutes, hours, weekdays, monthdays, months), zone, after)
$$;
comment on function pgagent._next_schedule_epoch(int4, float8, float8, text, text, text, text, text, text, float8) is
    'The next run by arrays given, with the exceptions and the calendar of a stored schedule; instants in seconds since 1970.';

create function pgagent.pga_next_schedule(
    jscid int4, jscstart timestamptz, jscend timestamptz, jscminutes bool[], jschours bool[], jscweekdays bool[],
    jscmonthdays bool[], jscmonths bool[]
) returns timestamptz
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select to_timestamp(pgagent._next_schedule_epoch(
        jscid, pgagent._epoch(jscstart), pgagent._epoch(jscend),
        jscminutes::text, jschours::text, jscweekdays::text, jscmonthdays::text, jscmonths::text,
        current_setting('TimeZone'), pgagent._epoch(now())))
$$;
comment on function pgagent.pga_next_schedule(int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[]) is
    'The next run after now by the arrays given, with the exceptions and the calendar of schedule jscid, in the session''s time zone, as in pgAgent.';
