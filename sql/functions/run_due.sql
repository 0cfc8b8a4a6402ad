create function pgagent.run_due(max_wait interval default '10 s', station text default null)
returns table (
    jlgid int4, jobid int4, jobname text, status text, started timestamptz, duration interval, detail text
)
language plpython3u volatile security definer  -- a ticker's role needs no right to the tables
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.due").run_due(plpy, GD, max_wait, station)
$$;
comment on function pgagent.run_due(interval, text) is
    'Runs the jobs that are due, many at once, for max_wait at the most; a row per run touched. Work in flight stays with the '
    'session: the next call goes on with it. station: the caller''s host, for jobs with a jobhostagent.';
