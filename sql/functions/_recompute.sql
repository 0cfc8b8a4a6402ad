-- The UPDATE runs in the client's own transaction, not in a subtransaction: see pga_job_trigger.
-- Its plans are made once in a session, perhaps while the tables are empty: see _next_run_epochs.
create function pgagent._recompute(jobids int4[], changed int4[]) returns void
language plpgsql volatile security definer  -- a change of a schedule changes its job, whatever the role may do to pga_job
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    locked int4[];
    epochs float8[];
    updated int8;
begin
    -- First the rows, then the time: a run that ended while this transaction was open, or waited, must not come back.
    locked := array(
        select j.jobid
          from pgagent.pga_job j
         where j.jobid = any (jobids)
           and j.jobenabled
         order by j.jobid
           for no key update);
    -- Apart from the UPDATE, whose planner would compute it a second time.
    epochs := pgagent._next_run_epochs(locked, date_part('epoch', date_trunc('second', clock_timestamp())), changed);
    update pgagent.pga_job j
       set jobnextrun = to_timestamp(n.epoch)
      from unnest(locked, epochs) n (jobid, epoch)
     where j.jobid = n.jobid
       and j.jobagentid is null;
    get diagnostics updated = row_count;
    if updated < cardinality(locked) then
        -- While a job runs a value written counts as asked for; null only computes.
        update pgagent.pga_job j
           set jobnextrun = null
         where j.jobid = any (locked)
           and j.jobagentid is not null;
    end if;
end
$$;
comment on function pgagent._recompute(int4[], int4[]) is
    'Computes and stores the next run of enabled jobs, all in one go; warns of those among the changed schedules that never run.';
