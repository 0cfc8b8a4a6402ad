create function pgagent.finish_batch_step(jslid int4, exit_code int4, output text, aborted bool default false) returns bool
language plpython3u volatile security definer  -- a ticker's role needs no right to the tables
set search_path = pg_catalog, pg_temp
set lock_timeout = '500 ms'  -- 55P03: the ticker reports it again later, and others meanwhile
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.batch").finish_step(plpy, jslid, exit_code, output, aborted)
$$;
comment on function pgagent.finish_batch_step(int4, int4, text, bool) is
    'Logs the end of a batch step that this session has taken, and sends the run on. aborted: the ticker ended the script. '
    'False: the step is no longer this session''s.';
