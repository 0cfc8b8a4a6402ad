create function pgagent._explain_schedule(schedule int4, after float8) returns text
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").explain_schedule(plpy, SD, schedule, after)
$$;
comment on function pgagent._explain_schedule(int4, float8) is 'As explain_schedule; the instant in seconds since 1970.';

create function pgagent.explain_schedule(schedule int4, after timestamptz default now()) returns text
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._explain_schedule(schedule, pgagent._epoch(after)) $$;
comment on function pgagent.explain_schedule(int4, timestamptz) is
    'A stored schedule in words, with its next run after an instant, or the reason why there is none.';

create function pgagent._describe_schedule(schedule int4, after float8) returns text
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").describe_schedule(plpy, SD, schedule, after)
$$;
comment on function pgagent._describe_schedule(int4, float8) is
    'A stored schedule in words, without its next run, told at an instant in seconds since 1970; null if there is none.';

create function pgagent._why_never(schedule int4, after float8) returns text
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").why_never(plpy, SD, schedule, after)
$$;
comment on function pgagent._why_never(int4, float8) is
    'Why a stored schedule has no run after an instant in seconds since 1970; null if it has one, or does not exist.';
