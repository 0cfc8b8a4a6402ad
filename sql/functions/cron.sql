create function pgagent.cron(
    crontab text, out jscminutes bool[], out jschours bool[], out jscweekdays bool[], out jscmonthdays bool[],
    out jscmonths bool[]
)
language plpython3u immutable strict security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.cron").read_crontab(plpy, crontab)
$$;
comment on function pgagent.cron(text) is
    'The arrays of pga_schedule for the five fields of a crontab line, or for a macro such as @daily.';

-- Arrays travel as text: PL/Python would drop their bounds.
create function pgagent._to_cron(minutes text, hours text, weekdays text, monthdays text, months text) returns text
language plpython3u immutable strict security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.cron").write_crontab((minutes, hours, weekdays, monthdays, months))
$$;
comment on function pgagent._to_cron(text, text, text, text, text) is
    'The crontab text of arrays given as text; null if crontab cannot say it.';

create function pgagent.to_cron(
    jscminutes bool[], jschours bool[], jscweekdays bool[], jscmonthdays bool[], jscmonths bool[]
) returns text
language sql immutable strict security invoker
set search_path = pg_catalog, pg_temp
as $$
    select pgagent._to_cron(jscminutes::text, jschours::text, jscweekdays::text, jscmonthdays::text, jscmonths::text)
$$;
comment on function pgagent.to_cron(bool[], bool[], bool[], bool[], bool[]) is
    'The crontab text of the arrays of pga_schedule; null if an array is null or both kinds of days are restricted.';

create function pgagent.to_cron(schedule int4) returns text
language plpython3u stable strict security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.cron").write_crontab_of_schedule(plpy, SD, schedule)
$$;
comment on function pgagent.to_cron(int4) is
    'The crontab text of a stored schedule; null if it has an interval or restricts both kinds of days.';
