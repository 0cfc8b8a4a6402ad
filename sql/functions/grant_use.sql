create function pgagent.is_administrator() returns bool
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$ select true $$;
comment on function pgagent.is_administrator() is
    'True. Who may call it is an administrator: policies ask for that privilege; grant_administration grants it.';

-- What is handed out, one GRANT each.
create function pgagent._rights_of_use() returns setof text
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
    values ('usage on schema pgagent'),
           ('select, delete on pgagent.pga_job'),
           -- Not what the engine keeps in these rows, nor the claim, nor ids: they would run into those of the sequences.
           ('insert (jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobcreated, jobchanged, jobnextrun, '
            'jobstartdeadline, jobtimeout, jobmaxfailures, joblocks, jobpriority, jobowner), '
            'update (jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobchanged, jobnextrun, '
            'jobstartdeadline, jobtimeout, jobmaxfailures, joblocks, jobpriority, jobowner) on pgagent.pga_job'),
           ('select, delete on pgagent.pga_jobstep, pgagent.pga_schedule, pgagent.pga_exception'),
           ('insert (jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstconnstr, jstdbname, jstonerror, jscnextrun, '
            'jsttimeout, jstretries, jstretrydelay, jstretryfactor, jstretrymaxdelay, jstretryjitter, jstretrysqlstates), '
            'update (jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstconnstr, jstdbname, jstonerror, jscnextrun, '
            'jsttimeout, jstretries, jstretrydelay, jstretryfactor, jstretrymaxdelay, jstretryjitter, jstretrysqlstates) '
            'on pgagent.pga_jobstep'),
           ('insert (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, '
            'jscmonthdays, jscmonths, jsctimezone, jscinterval), '
            'update (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, '
            'jscmonthdays, jscmonths, jsctimezone, jscinterval) on pgagent.pga_schedule'),
           ('insert (jexscid, jexdate, jextime), update (jexscid, jexdate, jextime) on pgagent.pga_exception'),
           ('select on pgagent.pga_jobclass, pgagent.pga_jobagent, pgagent.pga_joblog, pgagent.pga_jobsteplog'),
           ('select, delete on pgagent.event'),
           ('select (jlgid), insert (jlgid, requested_by) on pgagent._cancel_request'),
           ('select, insert (jobid, jstid), update (cancelled_by) on pgagent._run_request'),
           ('select on pgagent._shared_settings'),
           ('usage on sequence pgagent.pga_job_jobid_seq, pgagent.pga_jobstep_jstid_seq, pgagent.pga_schedule_jscid_seq, '
            'pgagent.pga_exception_jexid_seq'),
           ('execute on function pgagent.pgagent_schema_version(), pgagent.pga_is_leap_year(int2), '
            'pgagent.pga_next_schedule(int4, timestamptz, timestamptz, bool[], bool[], bool[], bool[], bool[]), '
            'pgagent.next_run(int4, timestamptz), pgagent.upcoming(int4, int4, timestamptz), '
            'pgagent.calendar(timestamptz, timestamptz, int4), pgagent.explain_schedule(int4, timestamptz), '
            'pgagent.cron(text), pgagent.to_cron(int4), pgagent.to_cron(bool[], bool[], bool[], bool[], bool[]), '
            'pgagent.cancel_run(int4), pgagent.find_job(text), pgagent.run_now(int4, int4), pgagent.run_now(text, text), '
            'pgagent.wait_for_run(int4, interval)'),
           -- What these call with the rights of their caller.
           ('execute on function pgagent._python_load(), pgagent._python_source(), '
            'pgagent._reject_null(json), pgagent._require_job(int4), pgagent._similar_jobs(text), pgagent._require_request(int4), '
            'pgagent._epoch(timestamptz), pgagent._schedule_next_run_epoch(int4, float8), '
            'pgagent._upcoming(int4[], float8, float8, int4), pgagent._explain_schedule(int4, float8), '
            'pgagent._to_cron(text, text, text, text, text), '
            'pgagent._next_schedule_epoch(int4, float8, float8, text, text, text, text, text, text, float8)')
$$;
comment on function pgagent._rights_of_use() is 'The privileges of a role that has jobs.';

create function pgagent._rights_of_ticker() returns setof text
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
    values ('usage on schema pgagent'),
           ('select on pgagent._shared_settings'),
           ('execute on function pgagent.pgagent_schema_version(), pgagent.run_due(interval, text), pgagent.next_due(text), '
            'pgagent.take_batch_steps(text, int4), pgagent.finish_batch_step(int4, int4, text, bool), '
            'pgagent.cancelled_batch_steps(), pgagent._wait_for_work(text, timestamptz)'),
           ('execute on procedure pgagent.run_until_idle(text, int4, int4, int4)')
$$;
comment on function pgagent._rights_of_ticker() is 'The privileges of a role that runs jobs.';

create function pgagent._rights_of_administrator() returns setof text
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
    values ('execute on function pgagent.is_administrator()'),
           ('insert, update, delete on pgagent.pga_jobclass'),
           ('usage on sequence pgagent.pga_jobclass_jclid_seq')
$$;
comment on function pgagent._rights_of_administrator() is 'The privileges of an administrator, besides those of use.';

create function pgagent._change_rights(role name, statement text, rights text[]) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if role is null or not exists (select from pg_roles r where r.rolname = role) then
        raise exception using
            errcode = 'undefined_object',
            message = format('role "%s" does not exist', role),
            hint = 'CREATE ROLE makes one. Nothing is granted to PUBLIC.';
    end if;
    for position in 1 .. cardinality(rights) loop
        execute format(statement, rights[position], role);
    end loop;
end
$$;
comment on function pgagent._change_rights(name, text, text[]) is
    'Executes grant %s to %I, or revoke %s from %I, for each of these rights. Error 42704 unless there is such a role.';

create function pgagent.grant_use(role name) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._change_rights(role, 'grant %s to %I', array(select pgagent._rights_of_use())) $$;
comment on function pgagent.grant_use(name) is
    'Lets a role have jobs: to define them, to see them and their logs, to run and to cancel them. Call it as superuser. '
    'The jobs run as their owner: pgagent.check_owner(role) says whether that role can log in.';

create function pgagent.revoke_use(role name) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._change_rights(role, 'revoke %s from %I', array(select pgagent._rights_of_use())) $$;
comment on function pgagent.revoke_use(name) is
    'Takes back what grant_use gave. The jobs of the role stay and go on running: UPDATE pgagent.pga_job SET jobenabled = false '
    'WHERE jobowner = ... ends that. A role that is a ticker too needs grant_ticker again.';

create function pgagent.grant_ticker(role name) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._change_rights(role, 'grant %s to %I', array(select pgagent._rights_of_ticker())) $$;
comment on function pgagent.grant_ticker(name) is
    'Lets a role run what is due, as a ticker does: every job as its owner. It sees no job by that, except the code of the batch steps '
    'that it takes. Call it as superuser.';

create function pgagent.revoke_ticker(role name) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._change_rights(role, 'revoke %s from %I', array(select pgagent._rights_of_ticker())) $$;
comment on function pgagent.revoke_ticker(name) is
    'Takes back what grant_ticker gave. A role that has jobs too needs grant_use again.';

create function pgagent.grant_administration(role name) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select pgagent._change_rights(role, 'grant %s to %I',
                                  array(select pgagent._rights_of_use() union all select pgagent._rights_of_administrator()))
$$;
comment on function pgagent.grant_administration(name) is
    'Lets a role see all jobs and say when and whether they run: enable, disable, run, cancel, delete them, change schedules and classes. '
    'What a job executes only its owner changes. Call it as superuser.';

create function pgagent.revoke_administration(role name) returns void
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent._change_rights(role, 'revoke %s from %I', array(select pgagent._rights_of_administrator())) $$;
comment on function pgagent.revoke_administration(name) is
    'Takes that back; what grant_use gave stays.';
