create function pgagent.check_owner(owner name, dbname name default current_database())
returns table (allowed bool, detail text, remedy text)
language plpython3u volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.owners").check_owner(plpy, SD, owner, dbname)
$$;
comment on function pgagent.check_owner(name, name) is
    'Tries to log in as the SQL steps of this role''s jobs do: whether it works, if not why, and what would help.';
