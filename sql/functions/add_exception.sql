create function pgagent._check_exception(schedule int4, date date, at time) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._require_schedule(schedule);
    if num_nonnulls(date, at) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the exception of schedule %s says neither a date nor a time', schedule),
            hint = 'Give date, or at (a time of day), or both.';
    end if;
end
$$;
comment on function pgagent._check_exception(int4, date, time) is
    'Error 42704 unless the caller sees the schedule, 22023 unless there is a date or a time.';

create function pgagent.add_exception(
    schedule int4, date date default null, until date default null, at time default null
) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    added int4;
begin
    perform pgagent._check_exception(schedule, date, at);
    if date is null and until is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the exceptions of schedule %s have an end and no beginning', schedule),
            hint = 'Give date, the first one.';
    elsif at = '24:00' or date_trunc('minute', at::interval) <> at::interval then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('no schedule has a run to be excepted at %s', at),
            hint = 'Schedules are read by the minute, from 00:00 to 23:59.';
    end if;
    insert into pgagent.pga_exception (jexscid, jexdate, jextime)
    select schedule, d.day, at
      from unnest(case when date is null then array[null::date] else pgagent._days_of_period(date, until) end) d (day)
        on conflict do nothing;
    get diagnostics added = row_count;
    return added;
end
$$;
comment on function pgagent.add_exception(int4, date, date, time) is
    'Lets a schedule not run on a date, on all dates of a period, at a time of day (at) of these dates, or, without a date, at that time '
    'on every day. Returns how many exceptions it has more.';

-- Not an overload: add_exception(1, '2027-01-01') would no longer be unique.
create function pgagent.add_exceptions(schedule int4, dates date[]) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    added int4;
begin
    perform pgagent._require_schedule(schedule);
    perform pgagent._reject_null(json_build_object('dates', dates));
    perform pgagent._check_dates(dates);
    insert into pgagent.pga_exception (jexscid, jexdate)
    select schedule, d.day from unnest(dates) d (day) group by d.day order by d.day
        on conflict do nothing;
    get diagnostics added = row_count;
    return added;
end
$$;
comment on function pgagent.add_exceptions(int4, date[]) is
    'Lets a schedule not run on these dates; returns how many exceptions it has more.';

create function pgagent.drop_exception(schedule int4, date date default null, at time default null) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    dropped int4;
begin
    perform pgagent._check_exception(schedule, date, at);
    delete from pgagent.pga_exception x
     where x.jexscid = schedule
       and x.jexdate is not distinct from date
       and x.jextime is not distinct from at;
    get diagnostics dropped = row_count;
    return dropped;
end
$$;
comment on function pgagent.drop_exception(int4, date, time) is
    'Drops the exception of a schedule that add_exception adds with the same date and time; returns how many it has fewer, 0 or 1.';
