-- A subtransaction for each value, but without a row written it costs nothing.
create function pgagent._judge_value(kind text, value text, zone text, out answer text, out problem text)
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
as $$
declare
    length interval;
begin
    case kind
        when 'timeout', 'start_deadline', 'delay', 'every' then
            length := value::interval;
            problem := case
                when kind = 'timeout' and length not between '1 ms' and '3660 days' then 'must be between 1 ms and 3660 days'
                when kind = 'start_deadline' and length <= '0' then 'must be longer than 0'
                when kind = 'delay' and length not between '0' and '30 days' then 'must be between 0 s and 30 days'
                when kind = 'every' and length not between '1 s' and '36500 days' then 'must be between 1 s and 36500 days'
                when kind = 'every'
                     and (extract(year from length) <> 0 or extract(month from length) <> 0
                          or extract(epoch from length) <> trunc(extract(epoch from length)))
                    then 'must be whole seconds, without months'
            end;
            answer := length::text;
        when 'instant' then
            answer := to_json(value::timestamptz) #>> '{}';
        when 'local instant' then
            answer := to_json(value::timestamp at time zone coalesce(zone, (select t.timezone from pgagent._shared_settings t)))
                      #>> '{}';
        when 'zone' then
            answer := pgagent._zone_name(value);
        when 'role' then
            -- A role that is gone may still own what is to stay as it is.
            if exists (select from pg_roles r where r.rolname = value)
               or exists (select from pgagent.pga_job j where j.jobowner = value)
               or exists (select from pgagent.pga_calendar c where c.calowner = value) then
                answer := value;
            else
                problem := format('role "%s" does not exist', value);
            end if;
        when 'class' then
            select c.jclname into answer from pgagent.pga_jobclass c where c.jclname = value;
            if not found then
                problem := format('class "%s" does not exist: there are %s', value,
                                  (select string_agg(c.jclname, ', ' order by c.jclid) from pgagent.pga_jobclass c));
            end if;
        when 'calendar' then
            select c.calname into answer from pgagent.pga_calendar c where c.calname = value;
            problem := case when not found then format('calendar "%s" does not exist', value) end;
    end case;
    if problem is not null then
        answer := null;
    end if;
exception
    when data_exception then
        answer := null;
        problem := sqlerrm;
end
$$;
comment on function pgagent._judge_value(text, text, text) is
    'A value of a document as the server spells it, or what is wrong with it; zone: of a local instant, null: that of the settings.';

create function pgagent.apply_jobs(definitions jsonb, dry_run bool default false, prune bool default false)
returns table (action text, object text, job text, name text, attribute text, was text, becomes text)
language plpython3u volatile security invoker
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.definitions").apply_jobs(plpy, SD, definitions, dry_run, prune)
$$;
comment on function pgagent.apply_jobs(jsonb, bool, bool) is
    'Makes jobs and calendars equal to a document, as export_jobs writes it, and returns what was done: a row for each object '
    'created or dropped (what belongs to it is dropped with it) and each attribute altered. Jobs that stay keep id and history. '
    'dry_run: only says so; prune: also drops the jobs and calendars that the document does not name. '
    'Error 22023 has a line in its DETAIL for each place that is wrong.';
