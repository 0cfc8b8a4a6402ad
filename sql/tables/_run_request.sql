create table pgagent._run_request (
    jobid int4 not null
        constraint _run_request_pkey primary key
        constraint _run_request_jobid_fkey references pgagent.pga_job (jobid) on delete cascade on update restrict,
    jlgid int4 not null constraint _run_request_jlgid_key unique,
    jstid int4,
    requested_by name not null default current_user,
    requested timestamptz not null default current_timestamp,
    due timestamptz
);

comment on table pgagent._run_request is 'Runs that run_now has promised and that have not started.';
comment on column pgagent._run_request.jobid is 'The job.';
comment on column pgagent._run_request.jlgid is 'Id that the run will have.';
comment on column pgagent._run_request.jstid is 'The only step that is to run, enabled or not; null: the enabled ones.';
comment on column pgagent._run_request.requested_by is 'Role that asked for it.';
comment on column pgagent._run_request.requested is 'When it was asked for.';
comment on column pgagent._run_request.due is 'When the job would be due without it; null: not.';
