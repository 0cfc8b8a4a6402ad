create function pgagent._require_step(step int4) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    job int4;
begin
    perform pgagent._reject_null(json_build_object('step', step));
    select s.jstjobid into job from pgagent.pga_jobstep s where s.jstid = step;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('step %s does not exist', step),
            hint = 'SELECT jstid, jstjobid, jstname FROM pgagent.pga_jobstep lists the steps.';
    end if;
    perform pgagent._require_own_job(job);
end
$$;
comment on function pgagent._require_step(int4) is
    'Error 42704 unless the caller sees a step of this id, 42501 unless the caller may change it.';

create function pgagent._alter_step_target(step int4, sql text, batch text, database name, connection text) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    was_batch constant bool := (select s.jstkind = 'b' from pgagent.pga_jobstep s where s.jstid = step);
begin
    perform pgagent._check_step_target(
        sql, case when was_batch and sql is null then coalesce(batch, '') else batch end, database, connection);
    update pgagent.pga_jobstep s
       set jstkind = case when sql is not null then 's' when batch is not null then 'b' else s.jstkind end,
           jstcode = coalesce(sql, batch, s.jstcode),
           jstconnstr = case when connection is not null then connection
                             when batch is not null or database is not null then ''
                             else s.jstconnstr end,
           jstdbname = case when batch is not null or connection <> '' then ''
                            when connection = '' then current_database()
                            when database is not null then coalesce(nullif(database, ''), current_database())
                            when was_batch and sql is not null then current_database()
                            else s.jstdbname end
     where s.jstid = step;
end
$$;
comment on function pgagent._alter_step_target(int4, text, text, name, text) is
    'Changes what a step executes and where, as far as it is given; an empty database or connection is this database.';

create function pgagent.alter_step(
    step int4, name text default null, sql text default null, batch text default null, database name default null,
    connection text default null, description text default null, enabled bool default null, on_error text default null,
    timeout interval default null, retries int4 default null, retry_delay interval default null,
    retry_factor float8 default null, retry_max_delay interval default null, retry_jitter float8 default null,
    retry_sqlstates text[] default null, reset text[] default null
) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    resets constant text[] := coalesce(reset, '{}');
    violated text;
begin
    perform pgagent._require_step(step);
    perform pgagent._check_reset(resets, json_build_object(
        'database', database, 'connection', connection, 'description', description, 'enabled', enabled,
        'on_error', on_error, 'timeout', timeout, 'retries', retries, 'retry_delay', retry_delay,
        'retry_factor', retry_factor, 'retry_max_delay', retry_max_delay, 'retry_jitter', retry_jitter,
        'retry_sqlstates', retry_sqlstates));
    perform pgagent._check_step_name(s.jstjobid, alter_step.name)
       from pgagent.pga_jobstep s
      where s.jstid = step and s.jstname <> alter_step.name;
    if num_nonnulls(sql, batch, database, connection) > 0 or resets && '{database,connection}' then
        perform pgagent._alter_step_target(
            step, sql, batch, coalesce(database, case when resets && '{database,connection}' and connection is null then '' end),
            connection);
    end if;
    update pgagent.pga_jobstep s
       set jstname = coalesce(alter_step.name, s.jstname),
           jstdesc = case when 'description' = any (resets) then '' else coalesce(description, s.jstdesc) end,
           jstenabled = case when 'enabled' = any (resets) then true else coalesce(enabled, s.jstenabled) end,
           jstonerror = case when 'on_error' = any (resets) then 'f'
                             else coalesce(pgagent._on_error_letter(on_error), s.jstonerror) end,
           jsttimeout = case when 'timeout' = any (resets) then null else coalesce(timeout, s.jsttimeout) end,
           jstretries = case when 'retries' = any (resets) then 0 else coalesce(retries, s.jstretries) end,
           jstretrydelay = case when 'retry_delay' = any (resets) then '1 s'
                                else coalesce(retry_delay, s.jstretrydelay) end,
           jstretryfactor = case when 'retry_factor' = any (resets) then 2
                                 else coalesce(retry_factor, s.jstretryfactor) end,
           jstretrymaxdelay = case when 'retry_max_delay' = any (resets) then '5 min'
                                   else coalesce(retry_max_delay, s.jstretrymaxdelay) end,
           jstretryjitter = case when 'retry_jitter' = any (resets) then 0.1
                                 else coalesce(retry_jitter, s.jstretryjitter) end,
           jstretrysqlstates = case when 'retry_sqlstates' = any (resets) then null
                                    else nullif(coalesce(retry_sqlstates, s.jstretrysqlstates), '{}') end
     where s.jstid = step;
exception
    when check_violation then
        get stacked diagnostics violated = constraint_name;
        perform pgagent._reject_value(sqlerrm, violated);
end
$$;
comment on function pgagent.alter_step(
    int4, text, text, text, name, text, text, bool, text, interval, int4, interval, float8, interval, float8, text[], text[]
) is
    'Changes a step: null leaves as it is, reset names what goes back to its default. sql makes an SQL step of it, batch a '
    'batch step; database and connection take each other''s place. A run that goes on is not changed.';
