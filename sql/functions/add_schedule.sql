create function pgagent._check_every(every interval) returns void
language plpgsql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if extract(year from every) <> 0 or extract(month from every) <> 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('a schedule cannot run every %s', every),
            hint = 'Months and years differ in length: crontab syntax says them, ''0 0 1 * *'' is every month.';
    elsif extract(epoch from every) <> trunc(extract(epoch from every))
          or every not between '1 second' and '36500 days' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('a schedule cannot run every %s', every),
            hint = 'It can run every so many whole seconds, from 1 second to 36500 days.';
    end if;
end
$$;
comment on function pgagent._check_every(interval) is 'Error 22023 unless a schedule can have this interval.';

-- Runs lie on whole seconds: the next one, because the job is not to run before; and one that is not over when it is stored.
create function pgagent._instant_of_run(at timestamptz) returns timestamptz
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    asked_at constant timestamptz := clock_timestamp();
    run constant timestamptz := date_trunc('second', at + interval '999999 microseconds');
begin
    if not isfinite(at) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('a job cannot run at %s', at);
    elsif at <= asked_at then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('a job cannot run at %s: it is in the past', at),
            hint = 'pgagent.run_now runs a job at once.';
    end if;
    return case when run < asked_at + interval '100 ms' then run + interval '1 s' else run end;
end
$$;
comment on function pgagent._instant_of_run(timestamptz) is
    'The whole second at which a job runs that is to run at an instant; error 22023 for one in the past.';

create function pgagent._runs_once(start timestamptz, "end" timestamptz, "interval" interval) returns bool
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$ select "interval" is not distinct from interval '36500 days' and start is not distinct from "end" $$;
comment on function pgagent._runs_once(timestamptz, timestamptz, interval) is
    'Whether a schedule with this start, end and interval is one that "at" has made.';

create function pgagent._schedule_name(crontab text, every interval) returns text
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select case
        when every is null then crontab
        else concat_ws(', ', nullif(crontab, '* * * * *'), 'every ' || case
            when s % 86400 = 0 then s / 86400 || ' d'
            when s % 3600 = 0 then s / 3600 || ' h'
            when s % 60 = 0 then s / 60 || ' min'
            else s || ' s' end)
    end
      from (values (extract(epoch from every)::int8)) v (s)
$$;
comment on function pgagent._schedule_name(text, interval) is
    'The name of a schedule that was given none: its crontab text as to_cron writes it, and its interval.';

create function pgagent.add_schedule(
    job int4, schedule text default null, name text default null, every interval default null,
    at timestamptz default null, starts timestamptz default now(), ends timestamptz default null,
    timezone text default null, description text default '', enabled bool default true, calendar text default null
) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id int4;
begin
    perform pgagent._require_job(job);
    perform pgagent._reject_null(json_build_object('starts', starts, 'description', description, 'enabled', enabled));
    if num_nonnulls(schedule, every, at) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the new schedule of job %s never says when', job),
            hint = 'Give schedule (crontab syntax: ''30 2 * * 1-5''), every (''10 min'') or at (an instant).';
    elsif at is not null and (num_nonnulls(schedule, every, ends) > 0 or starts <> now()) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the new schedule of job %s cannot run once and be repeated', job),
            hint = 'Give at without schedule, every, starts and ends.';
    end if;
    perform pgagent._check_every(every);
    if at is not null then
        starts := pgagent._instant_of_run(at);
        ends := starts;
        every := '36500 days';
        name := coalesce(name, 'once');
    end if;
    insert into pgagent.pga_schedule as s (
        jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays,
        jscmonths, jsctimezone, jscinterval, jsccalendar)
    select job,
           coalesce(name, pgagent._schedule_name(
               pgagent.to_cron(c.jscminutes, c.jschours, c.jscweekdays, c.jscmonthdays, c.jscmonths), every)),
           description, enabled, starts, ends, c.jscminutes, c.jschours, c.jscweekdays, c.jscmonthdays, c.jscmonths,
           timezone, every, pgagent._find_calendar(calendar)
      from pgagent.cron(coalesce(schedule, '* * * * *')) c
    returning s.jscid into id;
    return id;
end
$$;
comment on function pgagent.add_schedule(
    int4, text, text, interval, timestamptz, timestamptz, timestamptz, text, text, bool, text
) is
    'Adds a schedule to a job and returns its id: crontab syntax, or every so often from starts on, or both (every so often in '
    'the minutes that crontab allows), or at an instant, at which the job runs once. It does not run on the days of the calendar.';

create function pgagent.add_schedule(
    job text, schedule text default null, name text default null, every interval default null,
    at timestamptz default null, starts timestamptz default now(), ends timestamptz default null,
    timezone text default null, description text default '', enabled bool default true, calendar text default null
) returns int4
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select pgagent.add_schedule(
        pgagent.find_job(job), schedule, name, every, at, starts, ends, timezone, description, enabled, calendar)
$$;
comment on function pgagent.add_schedule(
    text, text, text, interval, timestamptz, timestamptz, timestamptz, text, text, bool, text
) is 'As add_schedule of a job''s id, for the job of a name.';
