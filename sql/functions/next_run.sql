create function pgagent._schedule_next_run_epoch(schedule int4, after float8) returns float8
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").next_run_of_schedule(plpy, SD, schedule, after)
$$;
comment on function pgagent._schedule_next_run_epoch(int4, float8) is
    'The next run of a stored schedule later than the minute of an instant; both in seconds since 1970.';

create function pgagent.next_run(schedule int4, after timestamptz default now()) returns timestamptz
language plpgsql stable security invoker  -- a function in SQL would be planned again in every statement
set search_path = pg_catalog, pg_temp
as $$
begin
    return to_timestamp(pgagent._schedule_next_run_epoch(schedule, date_part('epoch', date_trunc('second', after))));
end
$$;
comment on function pgagent.next_run(int4, timestamptz) is
    'The next run of a stored schedule, enabled or not, later than the minute of "after"; null: there is none.';
