create function pgagent._is_zone_of_python(name text) returns bool
language plpython3u stable strict security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").is_known_zone(name)
$$;
comment on function pgagent._is_zone_of_python(text) is 'Whether the server''s Python knows a time zone of this name.';

-- The TimeZone set inside is undone at the end, by the function's own SET.
create function pgagent._zone_name(name text) returns text
language plpgsql volatile strict security invoker
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    known text;
begin
    begin
        known := set_config('TimeZone', name, true);
    exception
        when invalid_parameter_value then
            known := null;
    end;
    if known is null or not pgagent._is_zone_of_python(known) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('time zone "%s" not recognized', name),
            hint = 'SELECT name FROM pg_timezone_names lists the names.';
    end if;
    return known;
end
$$;
comment on function pgagent._zone_name(text) is
    'The name of a time zone as SET TimeZone would keep it; error 22023 for one that the server or its Python does not know.';
