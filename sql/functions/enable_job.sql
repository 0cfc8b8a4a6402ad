create function pgagent._set_enabled(job int4, enabled bool) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._require_job(job);
    update pgagent.pga_job j
       set jobenabled = enabled, jobchanged = now()
     where j.jobid = job and j.jobenabled <> enabled;
end
$$;
comment on function pgagent._set_enabled(int4, bool) is 'Enables or disables a job; nothing is written if it is so already.';

create function pgagent.enable_job(job int4) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._set_enabled(job, true) $$;
comment on function pgagent.enable_job(int4) is
    'Enables a job: it runs when its schedules say so. Its failures in a row are counted from 0 again.';

create function pgagent.enable_job(job text) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent.enable_job(pgagent.find_job(job)) $$;
comment on function pgagent.enable_job(text) is 'As enable_job of a job''s id, for the job of a name.';

create function pgagent.disable_job(job int4) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._set_enabled(job, false) $$;
comment on function pgagent.disable_job(int4) is 'Disables a job: it has no next run. A run that goes on is not ended.';

create function pgagent.disable_job(job text) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent.disable_job(pgagent.find_job(job)) $$;
comment on function pgagent.disable_job(text) is 'As disable_job of a job''s id, for the job of a name.';
