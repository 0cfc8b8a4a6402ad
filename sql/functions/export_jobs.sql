create function pgagent.export_jobs(jobs text[] default null) returns jsonb
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.definitions").export_jobs(plpy, SD, jobs)
$$;
comment on function pgagent.export_jobs(text[]) is
    'A document that defines all jobs and calendars that the caller sees, or the jobs of these names and the calendars they use, as '
    'apply_jobs reads it. What has its default is left out. A connection string is in it as it is, password included.';
