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

-- The row of the job comes first, then the id: runs of one job have growing ids.
create function pgagent._run_request_reserve() returns trigger
language plpgsql volatile security definer  -- ids and the columns of the engine are not for users; the policies say for which jobs
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'UPDATE' then
        perform pgagent._give_up_request(new.jobid, format('cancelled by %s', new.cancelled_by));
        update pgagent.pga_job set jobrunid = null, jobrequested = null, jobnextrun = null where jobid = new.jobid;
    elsif tg_when = 'BEFORE' then
        perform from pgagent.pga_job j where j.jobid = new.jobid for no key update;
        new.jlgid := nextval('pgagent.pga_joblog_jlgid_seq');
    else
        update pgagent.pga_job set jobrunid = new.jlgid, jobnextrun = clock_timestamp() where jobid = new.jobid;
    end if;
    return new;
end
$$;
comment on function pgagent._run_request_reserve() is
    'Makes the job due with the id that its run will have; or gives the run up, when it is cancelled.';

create trigger _run_request_reserve
    before insert on pgagent._run_request
    for each row execute function pgagent._run_request_reserve();
comment on trigger _run_request_reserve on pgagent._run_request is 'Gives the run its id.';
create trigger _run_request_insert
    after insert on pgagent._run_request
    for each row execute function pgagent._run_request_reserve();
comment on trigger _run_request_insert on pgagent._run_request is 'Makes the job due.';
create trigger _run_request_cancel
    after update of cancelled_by on pgagent._run_request
    for each row execute function pgagent._run_request_reserve();
comment on trigger _run_request_cancel on pgagent._run_request is 'Gives the run up.';
