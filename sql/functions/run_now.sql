create function pgagent.run_now(job int4, step int4 default null) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    run int4;
    pending record;
begin
    perform pgagent._require_job(job);
    if step is not null and not exists (select from pgagent.pga_jobstep s where s.jstid = step and s.jstjobid = job) then
        raise exception using
            errcode = 'undefined_object',
            message = format('job %s has no step %s', job, step),
            hint = format('SELECT jstid, jstname FROM pgagent.pga_jobstep WHERE jstjobid = %s lists its steps.', job);
    end if;
    insert into pgagent._run_request (jobid, jstid) values (job, step)
        on conflict (jobid) do nothing
        returning jlgid into run;
    if found then
        return run;
    end if;
    select r.jlgid, r.jstid into pending from pgagent._run_request r where r.jobid = job;
    if pending.jstid is distinct from step then
        raise exception using
            errcode = 'object_in_use',
            message = format('job %s has already been asked for another run, %s, which has not started', job, pending.jlgid),
            hint = format('SELECT pgagent.wait_for_run(%s), or pgagent.cancel_run(%1$s), then try again.', pending.jlgid);
    end if;
    return pending.jlgid;
end
$$;
comment on function pgagent.run_now(int4, int4) is
    'Asks for a run of a job at once, also of a disabled one; with a step, of that step alone, enabled or not. Returns the id (jlgid) that '
    'the run has. While the job runs, the next run follows it. An agent starts it when the transaction is committed; a run that was asked for '
    'and has not started is not asked for twice.';

create function pgagent.run_now(job text, step text default null) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    job_id constant int4 := pgagent.find_job(job);
    steps int4[];
begin
    if step is not null then
        steps := array(select s.jstid from pgagent.pga_jobstep s where s.jstjobid = job_id and s.jstname = step order by 1);
        if cardinality(steps) <> 1 then
            raise exception using
                errcode = case when cardinality(steps) = 0 then 'undefined_object' else 'too_many_rows' end,
                message = format('job "%s" has %s steps of the name "%s"', job, cardinality(steps), step),
                hint = format('SELECT jstid, jstname FROM pgagent.pga_jobstep WHERE jstjobid = %s lists its steps; give the ids.', job_id);
        end if;
    end if;
    return pgagent.run_now(job_id, steps[1]);
end
$$;
comment on function pgagent.run_now(text, text) is 'As run_now, by the names of job and step.';
