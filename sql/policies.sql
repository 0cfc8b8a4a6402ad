-- Who may see and change which rows; what tables a role may use at all, grant_use says. Superusers, and the engine, which
-- works as the owner of the extension, are not held by policies. Everybody else is, whatever was granted: a table without a
-- policy is not for them. The roles are found once per statement, not per row, and without functions of ours, so that a
-- GRANT on the tables is enough, as with pgAgent.
--
-- An administrator (grant_administration) sees everything, and may say when and whether a job runs; what it executes is
-- changed by its owner alone: whoever changes that acts as the owner.
alter table pgagent.settings enable row level security;
alter table pgagent._batch_step enable row level security;
alter table pgagent._prune_walk enable row level security;
alter table pgagent._claim_turn enable row level security;
alter table pgagent._alarm enable row level security;

alter table pgagent.pga_jobagent enable row level security;
create policy pga_jobagent_see on pgagent.pga_jobagent for select using (true);
comment on policy pga_jobagent_see on pgagent.pga_jobagent is 'Everybody sees the agents; they register themselves by functions.';

alter table pgagent.pga_jobclass enable row level security;
create policy pga_jobclass_see on pgagent.pga_jobclass for select using (true);
create policy pga_jobclass_change on pgagent.pga_jobclass using ((select has_function_privilege('pgagent.is_administrator()', 'execute')));
comment on policy pga_jobclass_see on pgagent.pga_jobclass is 'Everybody sees the classes.';
comment on policy pga_jobclass_change on pgagent.pga_jobclass is 'Administrators change them.';

alter table pgagent.pga_job enable row level security;
create policy pga_job_see on pgagent.pga_job for select
    using (jobowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage')))
           or (select has_function_privilege('pgagent.is_administrator()', 'execute')));
create policy pga_job_insert on pgagent.pga_job for insert
    with check (jobowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage'))));
create policy pga_job_update on pgagent.pga_job for update
    using (jobowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage')))
           or (select has_function_privilege('pgagent.is_administrator()', 'execute')));
create policy pga_job_delete on pgagent.pga_job for delete
    using (jobowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage')))
           or (select has_function_privilege('pgagent.is_administrator()', 'execute')));
comment on policy pga_job_see on pgagent.pga_job is 'Owner, members of the owning role, administrators.';
comment on policy pga_job_insert on pgagent.pga_job is 'For oneself, or a role that one is a member of.';
comment on policy pga_job_update on pgagent.pga_job is 'As pga_job_see; a trigger guards jobowner.';
comment on policy pga_job_delete on pgagent.pga_job is 'As pga_job_see.';

alter table pgagent.pga_jobstep enable row level security;
create policy pga_jobstep_see on pgagent.pga_jobstep for select
    using (exists (select from pgagent.pga_job j where j.jobid = jstjobid));
create policy pga_jobstep_change on pgagent.pga_jobstep
    using (exists (select
                     from pgagent.pga_job j
                    where j.jobid = jstjobid
                      and j.jobowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage')))));
comment on policy pga_jobstep_see on pgagent.pga_jobstep is 'Whoever sees the job.';
comment on policy pga_jobstep_change on pgagent.pga_jobstep is 'Owner and members of the owning role.';

alter table pgagent.pga_schedule enable row level security;
create policy pga_schedule_all on pgagent.pga_schedule
    using (exists (select from pgagent.pga_job j where j.jobid = jscjobid));
alter table pgagent.pga_exception enable row level security;
create policy pga_exception_all on pgagent.pga_exception
    using (exists (select from pgagent.pga_schedule s where s.jscid = jexscid));
-- Who may change a calendar changes when the jobs of all who use it run, never what they run.
alter table pgagent.pga_calendar enable row level security;
create policy pga_calendar_see on pgagent.pga_calendar for select using (true);
create policy pga_calendar_insert on pgagent.pga_calendar for insert
    with check (calowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage'))));
create policy pga_calendar_update on pgagent.pga_calendar for update
    using (calowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage')))
           or (select has_function_privilege('pgagent.is_administrator()', 'execute')));
create policy pga_calendar_delete on pgagent.pga_calendar for delete
    using (calowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage')))
           or (select has_function_privilege('pgagent.is_administrator()', 'execute')));
comment on policy pga_calendar_see on pgagent.pga_calendar is 'Everybody sees the calendars.';
comment on policy pga_calendar_insert on pgagent.pga_calendar is 'For oneself, or a role that one is a member of.';
comment on policy pga_calendar_update on pgagent.pga_calendar is
    'Owner, members of the owning role, administrators; a trigger guards calowner.';
comment on policy pga_calendar_delete on pgagent.pga_calendar is 'Owner, members of the owning role, administrators.';

alter table pgagent.pga_holiday enable row level security;
create policy pga_holiday_see on pgagent.pga_holiday for select using (true);
create policy pga_holiday_change on pgagent.pga_holiday
    using (exists (select
                     from pgagent.pga_calendar c
                    where c.calid = holcalid
                      and (c.calowner = any (array(select r.rolname from pg_roles r where pg_has_role(r.oid, 'usage')))
                           or (select has_function_privilege('pgagent.is_administrator()', 'execute')))));
comment on policy pga_holiday_see on pgagent.pga_holiday is 'Everybody sees the dates of the calendars.';
comment on policy pga_holiday_change on pgagent.pga_holiday is 'Whoever may change the calendar.';

comment on policy pga_schedule_all on pgagent.pga_schedule is 'Whoever sees the job.';
comment on policy pga_exception_all on pgagent.pga_exception is 'Whoever sees the job.';

alter table pgagent.pga_joblog enable row level security;
create policy pga_joblog_see on pgagent.pga_joblog for select
    using (exists (select from pgagent.pga_job j where j.jobid = jlgjobid));
alter table pgagent.pga_jobsteplog enable row level security;
create policy pga_jobsteplog_see on pgagent.pga_jobsteplog for select
    using (exists (select from pgagent.pga_joblog l where l.jlgid = jsljlgid));
comment on policy pga_joblog_see on pgagent.pga_joblog is 'Whoever sees the job. Nobody writes the log but agents.';
comment on policy pga_jobsteplog_see on pgagent.pga_jobsteplog is 'Whoever sees the job. Nobody writes the log but agents.';

alter table pgagent.event enable row level security;
create policy event_see on pgagent.event for select
    using (exists (select from pgagent.pga_job j where j.jobid = evtjobid) or (select has_function_privilege('pgagent.is_administrator()', 'execute')));
create policy event_delete on pgagent.event for delete
    using (exists (select from pgagent.pga_job j where j.jobid = evtjobid) or (select has_function_privilege('pgagent.is_administrator()', 'execute')));
comment on policy event_see on pgagent.event is 'Whoever sees the job; administrators also when it is deleted.';
comment on policy event_delete on pgagent.event is 'As event_see.';

alter table pgagent._cancel_request enable row level security;
create policy _cancel_request_see on pgagent._cancel_request for select
    using (exists (select from pgagent.pga_joblog l where l.jlgid = _cancel_request.jlgid)
           or exists (select from pgagent._run_request r where r.jlgid = _cancel_request.jlgid));
create policy _cancel_request_insert on pgagent._cancel_request for insert
    with check (requested_by = current_user
                and (exists (select from pgagent.pga_joblog l where l.jlgid = _cancel_request.jlgid)
                     or exists (select from pgagent._run_request r where r.jlgid = _cancel_request.jlgid)));
comment on policy _cancel_request_see on pgagent._cancel_request is 'Whoever sees the run.';
comment on policy _cancel_request_insert on pgagent._cancel_request is 'Whoever sees the run, in his own name.';

alter table pgagent._run_request enable row level security;
create policy _run_request_see on pgagent._run_request for select
    using (exists (select from pgagent.pga_job j where j.jobid = _run_request.jobid));
create policy _run_request_insert on pgagent._run_request for insert
    with check (requested_by = current_user
                and exists (select from pgagent.pga_job j where j.jobid = _run_request.jobid)
                and (jstid is null
                     or exists (select from pgagent.pga_jobstep s where s.jstid = _run_request.jstid and s.jstjobid = _run_request.jobid)));
comment on policy _run_request_see on pgagent._run_request is 'Whoever sees the job.';
comment on policy _run_request_insert on pgagent._run_request is 'Whoever sees the job, in his own name; a step of that job.';
