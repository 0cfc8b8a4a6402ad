-- One call for many jobs, arrays in and out: PL/Python converts a row of a result far slower than an element.
-- The plans are made once in a session, perhaps while the tables are empty, and must do when they are full: by index.
create function pgagent._next_run_epochs(jobids int4[], after float8, changed int4[] default '{}') returns float8[]
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").next_runs_of_jobs(plpy, SD, jobids, after, changed)
$$;
comment on function pgagent._next_run_epochs(int4[], float8, int4[]) is
    'The next run of each job, over its enabled schedules, in seconds since 1970; null for none. Warns of those among the changed schedules that never run.';
