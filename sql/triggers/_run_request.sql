create function pgagent._give_up_request(job int4, reason text) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with request as (
        delete from pgagent._run_request r where r.jobid = job returning r.jlgid, r.jobid
    )
    insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgduration, jlgreason)
    select r.jlgid, r.jobid, 'd', '0', format('not started: %s', reason) from request r
$$;
comment on function pgagent._give_up_request(int4, text) is 'Ends the run that a job was asked for, in the log too, before it has started.';

-- The row of the job comes first, then the id: runs of one job have growing ids. Nobody but who has locked the job's row
-- locks that of its request, and users may not at all: the engine, which starts the run, must not wait for them.
create function pgagent._run_request_lock() returns trigger
language plpgsql volatile security invoker  -- policies come after triggers: what the writer does not see is not locked
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from pgagent.pga_job j where j.jobid = new.jobid for no key update;
    new.jlgid := case when found then 0 end;
    if exists (select from pgagent._run_request r where r.jobid = new.jobid) then
        -- No id is used up.
        return null;
    end if;
    return new;
end
$$;
comment on function pgagent._run_request_lock() is 'Lets one run of a job be asked for at a time; gives the id 0 where the job is seen.';

create function pgagent._run_request_reserve() returns trigger
language plpgsql volatile security definer  -- ids and the columns of the engine are not for users; the policies say for which jobs
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_when = 'BEFORE' then
        new.jlgid := nextval('pgagent.pga_joblog_jlgid_seq');
        new.due := (select case when j.jobagentid is null then j.jobnextrun else j.jobrequested end
                      from pgagent.pga_job j where j.jobid = new.jobid);
    else
        update pgagent.pga_job set jobrunid = new.jlgid, jobnextrun = clock_timestamp() where jobid = new.jobid;
    end if;
    return new;
end
$$;
comment on function pgagent._run_request_reserve() is 'Makes the job due with the id that its run will have.';

create trigger _run_request_lock
    before insert on pgagent._run_request
    for each row execute function pgagent._run_request_lock();
comment on trigger _run_request_lock on pgagent._run_request is 'One run of a job is asked for at a time.';
create trigger _run_request_reserve
    before insert on pgagent._run_request
    for each row when (new.jlgid = 0)
    execute function pgagent._run_request_reserve();
comment on trigger _run_request_reserve on pgagent._run_request is 'Gives the run its id.';
create trigger _run_request_insert
    after insert on pgagent._run_request
    for each row execute function pgagent._run_request_reserve();
comment on trigger _run_request_insert on pgagent._run_request is 'Makes the job due.';
