-- One that has started meanwhile its engine cancels.
create function pgagent._cancel_request_trigger() returns trigger
language plpgsql volatile security definer  -- the columns of the engine are not for users; the policies say for which runs
set search_path = pg_catalog, pg_temp
as $$
declare
    job int4;
begin
    update pgagent.pga_job j
       set jobrunid = null, jobrequested = null, jobnextrun = null
     where j.jobid = (select r.jobid from pgagent._run_request r where r.jlgid = new.jlgid)
       and j.jobrunid = new.jlgid
    returning j.jobid into job;
    if found then
        perform pgagent._give_up_request(job, format('cancelled by %s', new.requested_by));
        delete from pgagent._cancel_request c where c.jlgid = new.jlgid;
    end if;
    return null;
end
$$;
comment on function pgagent._cancel_request_trigger() is 'Gives a run up that has not started.';

create trigger _cancel_request_insert
    after insert on pgagent._cancel_request
    for each row execute function pgagent._cancel_request_trigger();
comment on trigger _cancel_request_insert on pgagent._cancel_request is 'Gives a run up that has not started.';
