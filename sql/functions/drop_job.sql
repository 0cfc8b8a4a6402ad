create function pgagent.drop_job(job int4) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._require_job(job);
    delete from pgagent.pga_job j where j.jobid = job;
end
$$;
comment on function pgagent.drop_job(int4) is
    'Deletes a job with its steps, schedules and logs. A run that goes on is not ended, and leaves no log: cancel_run ends it.';

create function pgagent.drop_job(job text) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent.drop_job(pgagent.find_job(job)) $$;
comment on function pgagent.drop_job(text) is 'As drop_job of a job''s id, for the job of a name.';
