-- Asks the catalog itself, not _may_run_programs: a GRANT on the tables is enough to write steps.
create function pgagent.pga_jobstep_trigger() returns trigger
language plpgsql volatile security invoker  -- the writer's rights count, and what the writer sees
set search_path = pg_catalog, pg_temp
as $$
declare
    owner name;
begin
    select j.jobowner into owner from pgagent.pga_job j where j.jobid = new.jstjobid;
    if found and not exists (select from pg_roles r
                              where r.rolname = owner and pg_has_role(r.oid, 'pg_execute_server_program', 'usage')) then
        if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
            raise exception using
                errcode = 'insufficient_privilege',
                message = format('role "%s" may not own a job with batch steps', owner),
                detail = 'A batch step runs as the operating-system user of the ticker.',
                hint = format('GRANT pg_execute_server_program TO %I allows it.', owner);
        end if;
        -- A dump is restored all the same. The step fails for as long as its owner has no right to it.
        raise warning using
            errcode = 'insufficient_privilege',
            message = format('batch step "%s" will fail: role "%s" may not own a job with batch steps', new.jstname, owner),
            hint = format('GRANT pg_execute_server_program TO %I allows it.', owner);
    end if;
    return new;
end
$$;
comment on function pgagent.pga_jobstep_trigger() is 'Refuses batch steps of jobs whose owner may not run programs on the server.';

create trigger pga_jobstep_batch
    before insert or update of jstkind, jstjobid on pgagent.pga_jobstep
    for each row when (new.jstkind = 'b')
    execute function pgagent.pga_jobstep_trigger();
comment on trigger pga_jobstep_batch on pgagent.pga_jobstep is 'Keeps batch steps to those who may run programs on the server.';
