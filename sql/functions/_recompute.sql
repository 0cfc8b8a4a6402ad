-- The UPDATE runs in the client's own transaction, not in a subtransaction: see pga_job_trigger.
create function pgagent._recompute(jobids int4[]) returns void
language plpgsql volatile security definer  -- a change of a schedule changes its job, whatever the role may do to pga_job
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Apart from the UPDATE, whose planner would compute it a second time.
    epochs constant float8[] := pgagent._next_run_epochs(jobids, date_part('epoch', date_trunc('second', now())));
begin
    update pgagent.pga_job j
       set jobnextrun = to_timestamp(n.epoch)
      from unnest(jobids, epochs) n (jobid, epoch)
     where j.jobid = n.jobid
       and j.jobenabled
       and j.jobagentid is null;
    -- While a job runs a value written counts as asked for; null only computes.
    update pgagent.pga_job
       set jobnextrun = null
     where jobid = any (jobids)
       and jobenabled
       and jobagentid is not null;
end
$$;
comment on function pgagent._recompute(int4[]) is 'Computes and stores the next run of enabled jobs, all in one go.';
