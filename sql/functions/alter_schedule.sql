create function pgagent._default_schedule_name(s pgagent.pga_schedule) returns text
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select case
        when pgagent._runs_once(s.jscstart, s.jscend, s.jscinterval) then 'once'
        else pgagent._schedule_name(
            pgagent.to_cron(s.jscminutes, s.jschours, s.jscweekdays, s.jscmonthdays, s.jscmonths), s.jscinterval)
    end
$$;
comment on function pgagent._default_schedule_name(pgagent.pga_schedule) is
    'The name that a schedule has if it was given none; null if crontab cannot say it.';

create function pgagent._altered_times(
    s pgagent.pga_schedule, crontab text, every interval, at timestamptz, starts timestamptz, ends timestamptz, resets text[]
) returns pgagent.pga_schedule
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    was_once constant bool := pgagent._runs_once(s.jscstart, s.jscend, s.jscinterval);
    is_bounded constant bool := num_nonnulls(starts, ends) > 0 or resets && '{every,starts,ends}';
begin
    crontab := case when 'crontab' = any (resets) then '* * * * *' else crontab end;
    if at is not null and (num_nonnulls(crontab, every) > 0 or is_bounded)
       or was_once and is_bounded and num_nonnulls(crontab, every) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('schedule %s cannot run once and be repeated', s.jscid),
            hint = 'at says when it runs once; crontab and every, with starts and ends, when it is repeated.';
    end if;
    perform pgagent._check_every(every);
    if at is not null then
        crontab := '* * * * *';
        every := '36500 days';
        starts := pgagent._instant_of_run(at);
        ends := starts;
    elsif was_once and crontab is null and every is null then
        return s;
    elsif was_once or 'starts' = any (resets) then
        starts := coalesce(starts, now());
    end if;
    s.jscstart := coalesce(starts, s.jscstart);
    s.jscend := coalesce(ends, case when not (was_once or 'ends' = any (resets)) then s.jscend end);
    s.jscinterval := coalesce(every, case when not (was_once or 'every' = any (resets)) then s.jscinterval end);
    if crontab is not null then
        select c.jscminutes, c.jschours, c.jscweekdays, c.jscmonthdays, c.jscmonths
          into s.jscminutes, s.jschours, s.jscweekdays, s.jscmonthdays, s.jscmonths
          from pgagent.cron(crontab) c;
    end if;
    return s;
end
$$;
comment on function pgagent._altered_times(
    pgagent.pga_schedule, text, interval, timestamptz, timestamptz, timestamptz, text[]
) is 'The row of a schedule with other times: null leaves as it is, what is in resets goes back to its default.';

create function pgagent.alter_schedule(
    schedule int4, crontab text default null, name text default null, every interval default null,
    at timestamptz default null, starts timestamptz default null, ends timestamptz default null,
    timezone text default null, description text default null, enabled bool default null, calendar text default null,
    reset text[] default null
) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    resets constant text[] := coalesce(reset, '{}');
    s pgagent.pga_schedule;
    old_default_name text;
begin
    perform pgagent._require_schedule(schedule);
    perform pgagent._check_reset(resets, json_build_object(
        'crontab', crontab, 'every', every, 'starts', starts, 'ends', ends, 'timezone', timezone,
        'description', description, 'enabled', enabled, 'calendar', calendar));
    select p.* into s from pgagent.pga_schedule p where p.jscid = schedule for no key update;
    old_default_name := pgagent._default_schedule_name(s);
    s := pgagent._altered_times(s, crontab, every, at, starts, ends, resets);
    update pgagent.pga_schedule p
       set jscname = case when name is null and p.jscname = old_default_name
                          then coalesce(pgagent._default_schedule_name(s), p.jscname)
                          else coalesce(name, p.jscname) end,
           jscdesc = case when 'description' = any (resets) then '' else coalesce(description, p.jscdesc) end,
           jscenabled = case when 'enabled' = any (resets) then true else coalesce(enabled, p.jscenabled) end,
           jscstart = s.jscstart,
           jscend = s.jscend,
           jscminutes = s.jscminutes,
           jschours = s.jschours,
           jscweekdays = s.jscweekdays,
           jscmonthdays = s.jscmonthdays,
           jscmonths = s.jscmonths,
           jsctimezone = case when 'timezone' = any (resets) then null else coalesce(timezone, p.jsctimezone) end,
           jscinterval = s.jscinterval,
           jsccalendar = case when 'calendar' = any (resets) then null
                              else coalesce(pgagent._find_calendar(calendar), p.jsccalendar) end
     where p.jscid = schedule;
end
$$;
comment on function pgagent.alter_schedule(
    int4, text, text, interval, timestamptz, timestamptz, timestamptz, text, text, bool, text, text[]
) is
    'Changes a schedule: null leaves as it is, reset names what goes back to its default. at makes it one that runs once; '
    'crontab or every make such a one repeat itself again.';
