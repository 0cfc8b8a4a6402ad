create function pgagent.alter_job(
    job int4, new_name text default null, class text default null, description text default null, host text default null,
    enabled bool default null, owner name default null, timeout interval default null, start_deadline interval default null,
    max_failures int4 default null, locks text[] default null, priority int4 default null, reset text[] default null
) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    resets constant text[] := coalesce(reset, '{}');
    violated text;
begin
    perform pgagent._require_job(job);
    perform pgagent._check_reset(resets, json_build_object(
        'description', description, 'host', host, 'enabled', enabled, 'timeout', timeout, 'start_deadline', start_deadline,
        'max_failures', max_failures, 'locks', locks, 'priority', priority));
    perform pgagent._check_job_name(coalesce(new_name, j.jobname), coalesce(owner, j.jobowner))
       from pgagent.pga_job j
      where j.jobid = job and (j.jobname, j.jobowner) <> (coalesce(new_name, j.jobname), coalesce(owner, j.jobowner));
    update pgagent.pga_job j
       set jobname = coalesce(new_name, j.jobname),
           jobjclid = case when class is null then j.jobjclid else pgagent._class_id(class) end,
           jobdesc = case when 'description' = any (resets) then '' else coalesce(description, j.jobdesc) end,
           jobhostagent = case when 'host' = any (resets) then '' else coalesce(host, j.jobhostagent) end,
           jobenabled = case when 'enabled' = any (resets) then true else coalesce(enabled, j.jobenabled) end,
           jobowner = coalesce(owner, j.jobowner),
           jobtimeout = case when 'timeout' = any (resets) then null else coalesce(timeout, j.jobtimeout) end,
           jobstartdeadline = case when 'start_deadline' = any (resets) then null
                                   else coalesce(start_deadline, j.jobstartdeadline) end,
           jobmaxfailures = case when 'max_failures' = any (resets) then null
                                 else coalesce(max_failures, j.jobmaxfailures) end,
           joblocks = case when 'locks' = any (resets) then null else nullif(coalesce(locks, j.joblocks), '{}') end,
           jobpriority = case when 'priority' = any (resets) then 0 else coalesce(priority, j.jobpriority) end,
           jobchanged = now()
     where j.jobid = job;
exception
    when check_violation then
        get stacked diagnostics violated = constraint_name;
        perform pgagent._reject_value(sqlerrm, violated);
end
$$;
comment on function pgagent.alter_job(
    int4, text, text, text, text, bool, name, interval, interval, int4, text[], int4, text[]
) is
    'Changes a job: null leaves as it is, reset names what goes back to its default (timeout, for example: none). '
    'Error 42710: the owner has another job of the new name.';

create function pgagent.alter_job(
    job text, new_name text default null, class text default null, description text default null, host text default null,
    enabled bool default null, owner name default null, timeout interval default null, start_deadline interval default null,
    max_failures int4 default null, locks text[] default null, priority int4 default null, reset text[] default null
) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select pgagent.alter_job(
        pgagent.find_job(job), new_name, class, description, host, enabled, owner, timeout, start_deadline, max_failures,
        locks, priority, reset)
$$;
comment on function pgagent.alter_job(
    text, text, text, text, text, bool, name, interval, interval, int4, text[], int4, text[]
) is 'As alter_job of a job''s id, for the job of a name.';
