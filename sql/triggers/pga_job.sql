-- Claims of jobs with limits come one after the other: each sees those before it, in its own statement too.
create function pgagent._may_run(job pgagent.pga_job) returns bool
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from pgagent._claim_turn t for update skip locked;
    return found
       and not exists (select from pgagent.pga_job o where o.jobagentid is not null and o.joblocks && job.joblocks)
       and not exists (select
                         from pgagent.pga_jobclass c
                        where c.jclid = job.jobjclid
                          and c.jclmaxruns <= (select count(*) from pgagent.pga_job o
                                                where o.jobagentid is not null and o.jobjclid = c.jclid))
       and not exists (select
                         from pgagent.settings t
                        where t.total_runs <= (select count(*) from pgagent.pga_job o where o.jobagentid is not null));
end
$$;
comment on function pgagent._may_run(pgagent.pga_job) is
    'Whether no lock, no limit of its class and no limit of all keeps a job that is claimed now from running.';

create function pgagent._note_disabled(job int4, reason text) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into pgagent._alarm as a (jobid, kind, jlgid, detail)
    values (job, 'disabled', (select max(l.jlgid) from pgagent.pga_joblog l where l.jlgjobid = job), reason)
        on conflict (jobid) do update
           set kind = 'disabled', jlgid = excluded.jlgid, detail = excluded.detail;
    perform pgagent._tell_alarms(array[job]);
exception when others then
    raise warning using
        errcode = sqlstate,
        message = format('could not tell that job %s was disabled: %s', job, sqlerrm),
        hint = 'Its row is complete; only its event is missing.';
end
$$;
comment on function pgagent._note_disabled(int4, text) is 'Tells that the engine has disabled a job.';

-- The rules of a job's row, whoever writes it. Plain PL/pgSQL, so that the row keeps the xmin of the client's own
-- transaction: clients look up the job they have just made by it. PL/Python would write in a subtransaction.
create function pgagent.pga_job_trigger() returns trigger
language plpgsql volatile security definer  -- computes with functions that a job's owner may not call
set search_path = pg_catalog, pg_temp
as $$
declare
    request pgagent._run_request;
begin
    if tg_op = 'INSERT' then
        -- A new row, one out of a dump too, is nobody's.
        new.jobagentid := null;
        new.jobrequested := null;
        new.jobrunid := null;
        if not new.jobenabled then
            -- Run_now had asked for it where it was dumped.
            new.jobnextrun := null;
        elsif new.jobnextrun is not null then
            perform pg_notify('pgagent_due', '');
        end if;
        return new;
    end if;

    if old.jobagentid is null and new.jobagentid is not null then
        -- A claim. A daemon that read its list a while ago may claim a job that is no longer due.
        if not (new.jobenabled or old.jobrunid is not null) or old.jobnextrun is null or old.jobnextrun > now() then
            return null;
        end if;
        if new.joblocks is not null and not pgagent._may_run(new) then
            return null;
        end if;
        -- pgAgent's daemon runs every job with its own rights, and gives every run an id of its own.
        -- (Nested, so that most claims look up nothing.)
        if new.jobowner <> current_user or old.jobrunid is not null then
            if exists (select from pgagent.pga_jobagent a where a.jagpid = new.jobagentid and a.jagbackendstart is null) then
                return null;
            end if;
        end if;
        if old.jobrunid is not null then
            delete from pgagent._run_request r where r.jobid = new.jobid returning r.* into request;
            new.jobrunid := null;
            if not new.jobenabled then
                new.jobnextrun := null;
            elsif request.jstid is not null and request.due <= clock_timestamp() then
                -- A single step is not the run that is due.
                new.jobrequested := request.due;
            end if;
        end if;
        return new;
    end if;

    if old.jobagentid is not null and new.jobagentid is null and old.joblocks is not null then
        -- Others may have waited for this one.
        perform pg_notify('pgagent_due', '');
    end if;

    if new.jobenabled and not old.jobenabled then
        new.jobfailures := 0;
        new.jobdisabledreason := null;
    elsif old.jobagentid is not null and new.jobagentid is null and new.jobmaxfailures is not null then
        new.jobfailures := case (select l.jlgstatus from pgagent.pga_joblog l
                                  where l.jlgjobid = new.jobid
                                    -- Not those that were given up meanwhile.
                                    and coalesce(l.jlgreason !~ '^not started: (cancelled by|the job was disabled)', true)
                                  order by l.jlgid desc limit 1)
                               when 'f' then new.jobfailures + 1
                               when 'i' then new.jobfailures + 1
                               when 's' then 0
                               else new.jobfailures
                           end;
        if new.jobenabled and new.jobfailures > old.jobfailures and new.jobfailures >= new.jobmaxfailures then
            new.jobenabled := false;
            new.jobdisabledreason := format('%s runs in a row have failed, the last one ended at %s', new.jobfailures, now());
            perform pgagent._note_disabled(new.jobid, new.jobdisabledreason);
        end if;
    end if;

    if old.jobenabled and not new.jobenabled and old.jobrunid is not null then
        perform pgagent._give_up_request(new.jobid, 'the job was disabled');
        new.jobrunid := null;
    end if;
    if not new.jobenabled and new.jobrunid is null then
        new.jobnextrun := null;
        new.jobrequested := null;
    elsif new.jobagentid is not null then
        -- While it runs: a time asked for now takes effect when the run has ended.
        if new.jobnextrun is null then
            new.jobnextrun := pgagent._job_next_run(new.jobid);
        elsif new.jobnextrun is distinct from old.jobnextrun then
            new.jobrequested := new.jobnextrun;
        end if;
    elsif old.jobagentid is not null then
        -- The run has ended, or its agent's row was deleted. The time this run was due is used up.
        if new.jobrequested is not null then
            -- Not in the past: the time that it waited for this run does not make it late.
            new.jobnextrun := greatest(new.jobrequested, now());
            new.jobrequested := null;
            perform pg_notify('pgagent_due', '');
        elsif new.jobnextrun = 'infinity' then
            -- The engine has computed it: there is none.
            new.jobnextrun := null;
        elsif new.jobnextrun is null or new.jobnextrun = old.jobnextrun then
            new.jobnextrun := pgagent._job_next_run(new.jobid);
        end if;
    else
        if old.jobrunid is not null and new.jobrunid is not null then
            -- What run_now has promised is not put off.
            if new.jobnextrun is distinct from old.jobnextrun then
                update pgagent._run_request r set due = new.jobnextrun where r.jobid = new.jobid;
                new.jobnextrun := least(new.jobnextrun, old.jobnextrun);
            end if;
        elsif new.jobnextrun is null then
            new.jobnextrun := pgagent._job_next_run(new.jobid);
        end if;
        if new.jobnextrun is distinct from old.jobnextrun or not old.jobenabled then
            perform pg_notify('pgagent_due', '');
        end if;
    end if;
    return new;
end
$$;
comment on function pgagent.pga_job_trigger() is
    'Keeps a job''s row by the rules: computes the next run, refuses the claim of a job that is not due.';

create function pgagent.pga_job_owner_trigger() returns trigger
language plpgsql volatile security invoker  -- the writer's rights count
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_roles r where r.rolname = new.jobowner) then
        raise exception using
            errcode = 'undefined_object',
            message = format('role "%s" does not exist', new.jobowner),
            hint = 'The owner of a job is a role: CREATE ROLE makes one.';
    elsif (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        return new;
    elsif 2 > (select count(*) from pg_roles r
                where r.rolname in (old.jobowner, new.jobowner) and pg_has_role(r.oid, 'usage')) then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('the owner of job %s cannot be changed from "%s" to "%s"', old.jobid, old.jobowner, new.jobowner),
            detail = format('Role "%s" must be a member of both.', current_user),
            hint = 'A superuser can change it.';
    end if;
    if not exists (select from pg_roles r
                    where r.rolname = new.jobowner and pg_has_role(r.oid, 'pg_execute_server_program', 'usage'))
       and exists (select from pgagent.pga_jobstep s where s.jstjobid = new.jobid and s.jstkind = 'b') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('role "%s" may not own a job with batch steps', new.jobowner),
            hint = format('GRANT pg_execute_server_program TO %I allows it.', new.jobowner);
    end if;
    return new;
end
$$;
comment on function pgagent.pga_job_owner_trigger() is 'Lets only superusers and members of both roles give a job to another owner.';

create trigger pga_job_owner
    before update of jobowner on pgagent.pga_job
    for each row when (new.jobowner is distinct from old.jobowner)
    execute function pgagent.pga_job_owner_trigger();
comment on trigger pga_job_owner on pgagent.pga_job is 'Guards the owner.';
create trigger pga_job_insert
    before insert on pgagent.pga_job
    for each row
    when (new.jobagentid is not null or new.jobrequested is not null or new.jobnextrun is not null or new.jobrunid is not null)
    execute function pgagent.pga_job_trigger();
comment on trigger pga_job_insert on pgagent.pga_job is 'Keeps the next run and the claim by the rules.';
create trigger pga_job_trigger
    before update on pgagent.pga_job
    for each row execute function pgagent.pga_job_trigger();
comment on trigger pga_job_trigger on pgagent.pga_job is 'Keeps the next run and the claim by the rules.';
