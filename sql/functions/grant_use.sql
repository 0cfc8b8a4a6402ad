create function pgagent.is_administrator() returns bool
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$ select true $$;
comment on function pgagent.is_administrator() is
    'True. Who may call it is an administrator: policies ask for that privilege; grant_administration grants it.';

-- What is handed out, one GRANT each.
create function pgagent._rights_of_use() returns setof text
language sql stable security invoker
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
            'jscmonthdays, jscmonths, jsctimezone, jscinterval, jsccalendar), '
            'update (jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, '
            'jscmonthdays, jscmonths, jsctimezone, jscinterval, jsccalendar) on pgagent.pga_schedule'),
           ('insert (jexscid, jexdate, jextime), update (jexscid, jexdate, jextime) on pgagent.pga_exception'),
           ('select, delete on pgagent.pga_calendar, pgagent.pga_holiday'),
           ('insert (calname, caldesc, calowner), update (calname, caldesc, calowner) on pgagent.pga_calendar'),
           ('insert (holcalid, holdate, holname), update (holcalid, holdate, holname) on pgagent.pga_holiday'),
           ('select on pgagent.jobs, pgagent.runs, pgagent.run_steps, pgagent.running, pgagent.calendar, pgagent.statistics'),
           ('select on pgagent.pga_jobclass, pgagent.pga_jobagent, pgagent.pga_joblog, pgagent.pga_jobsteplog'),
           ('select, delete on pgagent.event'),
           ('select (jlgid), insert (jlgid, requested_by) on pgagent._cancel_request'),
           ('select, insert (jobid, jstid) on pgagent._run_request'),
           ('select on pgagent._shared_settings'),
           ('usage on sequence pgagent.pga_job_jobid_seq, pgagent.pga_jobstep_jstid_seq, pgagent.pga_schedule_jscid_seq, '
            'pgagent.pga_exception_jexid_seq'),
           ('usage on sequence pgagent.pga_calendar_calid_seq, pgagent.pga_holiday_holid_seq')
    union all
    select format('execute on function %s', p.oid::regprocedure)
      from pg_proc p
     where p.pronamespace = 'pgagent'::regnamespace
       and (p.proname = any (string_to_array(
               'pgagent_schema_version pga_is_leap_year pga_next_schedule next_run upcoming calendar explain_schedule cron to_cron '
               'find_job create_job alter_job drop_job enable_job disable_job copy_job add_step alter_step drop_step '
               'add_schedule alter_schedule drop_schedule add_exception add_exceptions drop_exception '
               'create_calendar drop_calendar add_holiday drop_holiday export_jobs apply_jobs '
               'run_now wait_for_run cancel_run check', ' '))
            -- What these and the views call with the rights of their caller.
            or p.proname = any (string_to_array(
               '_python_load _python_source _epoch _schedule_next_run_epoch _upcoming _explain_schedule _to_cron '
               '_next_schedule_epoch _describe_schedule _why_never _reject_null _reject_value _check_reset _similar_jobs '
               '_require_job _require_own_job _require_step _require_schedule _require_request _class_id _check_job_owner '
               '_check_job_name _set_enabled _copy_schedules _on_error_letter _next_step_name _check_step_name '
               '_check_step_target _alter_step_target _check_every _instant_of_run _schedule_name _runs_once '
               '_default_schedule_name _altered_times _find_calendar _find_own_calendar _check_dates _days_of_period '
               '_check_exception _judge_value _zone_name _is_zone_of_python _jobs _runs _run_steps _running _statistics '
               '_run_status_word _step_status_word _has_session _job_label _first_five _ticker_command _check_jobs '
               '_check_schedules _check_steps _check_owners _check_agents _check_clock _check_installation', ' ')))
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
