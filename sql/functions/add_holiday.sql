create function pgagent.add_holiday(calendar text, date date, until date default null, name text default '') returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id int4;
    added int4;
begin
    perform pgagent._reject_null(json_build_object('calendar', calendar, 'date', date, 'name', name));
    id := pgagent._find_own_calendar(calendar);
    insert into pgagent.pga_holiday (holcalid, holdate, holname)
    select id, d.day, name from unnest(pgagent._days_of_period(date, until)) d (day)
        on conflict (holcalid, holdate) do nothing;
    get diagnostics added = row_count;
    return added;
end
$$;
comment on function pgagent.add_holiday(text, date, date, text) is
    'Adds a date, or all dates of a period, to a calendar, and returns how many it has more. Dates that it has already stay as they are.';

create function pgagent.drop_holiday(calendar text, date date, until date default null) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id int4;
    dropped int4;
begin
    perform pgagent._reject_null(json_build_object('calendar', calendar, 'date', date));
    id := pgagent._find_own_calendar(calendar);
    if until < date then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the period from %s until %s ends before it begins', date, until);
    end if;
    delete from pgagent.pga_holiday h where h.holcalid = id and h.holdate between date and coalesce(until, date);
    get diagnostics dropped = row_count;
    return dropped;
end
$$;
comment on function pgagent.drop_holiday(text, date, date) is
    'Takes a date, or all dates of a period, from a calendar, and returns how many it has fewer.';
