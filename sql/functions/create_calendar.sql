create function pgagent._find_calendar(calendar text) returns int4
language plpgsql stable strict security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id int4;
begin
    select c.calid into id from pgagent.pga_calendar c where c.calname = calendar;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('calendar "%s" does not exist', calendar),
            hint = case
                when exists (select from pgagent.pga_calendar)
                    then 'SELECT calname FROM pgagent.pga_calendar lists the calendars.'
                else 'There is none yet: pgagent.create_calendar creates one.'
            end;
    end if;
    return id;
end
$$;
comment on function pgagent._find_calendar(text) is 'The id of the calendar of this name, null for null; error 42704: there is none.';

-- What the policies would refuse, or pass over without a word.
create function pgagent._find_own_calendar(calendar text) returns int4
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id constant int4 := pgagent._find_calendar(calendar);
    owner name;
begin
    select c.calowner into owner from pgagent.pga_calendar c where c.calid = id;
    if row_security_active('pgagent.pga_calendar')
       and not has_function_privilege('pgagent.is_administrator()', 'execute')
       and not exists (select from pg_roles r where r.rolname = owner and pg_has_role(r.oid, 'usage')) then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('permission denied for calendar "%s"', calendar),
            detail = format('It belongs to role "%s".', owner),
            hint = 'Its owner, members of the owning role and administrators change it; everybody may use it.';
    end if;
    return id;
end
$$;
comment on function pgagent._find_own_calendar(text) is
    'As _find_calendar, for who may change it; error 42501 for others.';

create function pgagent._check_dates(dates date[]) returns void
language plpgsql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong date;
begin
    if array_position(dates, null) is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'parameter "dates" must not have null elements';
    end if;
    select d.day into wrong from unnest(dates) d (day) where d.day not between '0001-01-01' and '9999-12-31' limit 1;
    if found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('no schedule runs on %s', wrong),
            hint = 'Dates are those of the years 1 to 9999.';
    end if;
end
$$;
comment on function pgagent._check_dates(date[]) is 'Error 22004 or 22023 for a date that is null or that no schedule can meet.';

-- A slip of the pen in a year must not fill the table.
create function pgagent._days_of_period(first date, until date) returns date[]
language plpgsql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    last constant date := coalesce(until, first);
begin
    perform pgagent._check_dates(array[first, last]);
    if last < first then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the period from %s until %s ends before it begins', first, last);
    elsif last - first >= 3660 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the period from %s until %s is longer than ten years', first, last),
            hint = 'At most 3660 days are added at a time.';
    end if;
    return array(select first + i from generate_series(0, last - first) i);
end
$$;
comment on function pgagent._days_of_period(date, date) is
    'The dates of a period; one date where it has no end. Error 22023 where it has no date or too many.';

create function pgagent.create_calendar(name text, dates date[] default '{}', description text default '') returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id int4;
begin
    perform pgagent._reject_null(json_build_object('name', name, 'dates', dates, 'description', description));
    perform pgagent._check_dates(dates);
    if name = '' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a calendar needs a name that is not empty';
    end if;
    insert into pgagent.pga_calendar as c (calname, caldesc)
    values (name, description)
        on conflict (calname) do nothing
    returning c.calid into id;
    if id is null then
        raise exception using
            errcode = 'duplicate_object',
            message = format('calendar "%s" exists already', name),
            hint = 'pgagent.add_holiday adds dates to it.';
    end if;
    insert into pgagent.pga_holiday (holcalid, holdate)
    select id, d.day from unnest(dates) d (day) group by d.day order by d.day;
    return id;
end
$$;
comment on function pgagent.create_calendar(text, date[], text) is
    'Creates a calendar, a named set of dates, and returns its id; it is the caller''s. The schedules that are given its name '
    'do not run on these dates, whole days in the time zone of each schedule.';

create function pgagent.drop_calendar(name text) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id int4;
    users text[];
begin
    perform pgagent._reject_null(json_build_object('name', name));
    id := pgagent._find_own_calendar(name);
    delete from pgagent.pga_calendar c where c.calid = id;
exception
    when foreign_key_violation or restrict_violation then  -- the latter since PostgreSQL 18
        users := array(select format('schedule %s of job "%s"', s.jscid, j.jobname)
                         from pgagent.pga_schedule s
                         join pgagent.pga_job j on j.jobid = s.jscjobid
                        where s.jsccalendar = id
                        order by s.jscid);
        raise exception using
            errcode = 'dependent_objects_still_exist',
            message = format('cannot drop calendar "%s" because schedules use it', name),
            detail = case
                when cardinality(users) = 0 then 'They are of jobs that the caller does not see.'
                when cardinality(users) <= 10 then format('It is used by %s.', array_to_string(users, ', '))
                else format('It is used by %s and %s more.', array_to_string(users[:10], ', '), cardinality(users) - 10)
            end,
            hint = 'pgagent.alter_schedule(schedule, reset => ''{calendar}'') takes it from a schedule.';
end
$$;
comment on function pgagent.drop_calendar(text) is
    'Drops a calendar and its dates. Error 2BP01 if a schedule uses it: the detail names those that the caller sees.';
