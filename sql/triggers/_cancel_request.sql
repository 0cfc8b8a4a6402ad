-- One that has started meanwhile its engine cancels.
create function pgagent._cancel_request_trigger() returns trigger
language plpgsql volatile security definer  -- the columns of the engine are not for users; the policies say for which runs
set search_path = pg_catalog, pg_temp
as $$
declare
    request pgagent._run_request;
begin
    -- The row of the job first, as those do who start the run.
    perform
       from pgagent.pga_job j
      where j.jobid = (select r.jobid from pgagent._run_request r where r.jlgid = new.jlgid)
        for no key update;
    select r.* into request from pgagent._run_request r where r.jlgid = new.jlgid;
    if found then
        perform pgagent._give_up_request(request.jobid, format('cancelled by %s', new.requested_by));
        -- What was due before is due again: it was put off for this run.
        update pgagent.pga_job j
           set jobrunid = null,
               jobrequested = case when j.jobagentid is not null then request.due end,
               jobnextrun = case when j.jobagentid is null and request.due <= clock_timestamp() then request.due end
         where j.jobid = request.jobid;
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
