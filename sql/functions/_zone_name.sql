-- The TimeZone set inside is undone at the end, by the function's own SET.
create function pgagent._zone_name(name text) returns text
language plpython3u volatile security invoker
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").name_zone(plpy, SD, name)
$$;
comment on function pgagent._zone_name(text) is
    'The name of a time zone as SET TimeZone would keep it; an error for one that is not known to the server and its Python.';
