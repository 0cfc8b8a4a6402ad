create table pgagent.pga_job (
    jobid serial not null constraint pga_job_pkey primary key,
    jobjclid int4 not null
        constraint pga_job_jobjclid_fkey references pgagent.pga_jobclass (jclid) on delete restrict on update restrict,
    jobname text not null,
    jobdesc text not null default '',
    jobhostagent text not null default '',
    jobenabled bool not null default true,
    jobcreated timestamptz not null default current_timestamp,
    jobchanged timestamptz not null default current_timestamp,
    jobagentid int4
        constraint pga_job_jobagentid_fkey references pgagent.pga_jobagent (jagpid) on delete set null on update restrict,
    jobnextrun timestamptz,
    joblastrun timestamptz,
    jobrequested timestamptz,
    jobstartdeadline interval constraint pga_job_jobstartdeadline_check check (jobstartdeadline > '0'),
    jobtimeout interval constraint pga_job_jobtimeout_check check (jobtimeout between '1 ms' and '3660 days'),
    jobmaxfailures int4 constraint pga_job_jobmaxfailures_check check (jobmaxfailures between 1 and 1000),
    jobfailures int4 not null default 0,
    jobdisabledreason text,
    joblocks text[],
    jobpriority int4 not null default 0 constraint pga_job_jobpriority_check check (jobpriority between 0 and 1000),
    jobowner name not null default current_user,
    jobrunid int4
);
-- The due query: which free, enabled job is due first. Claims and releases move rows in and out of it.
create index pga_job_due on pgagent.pga_job (jobnextrun, jobid) where (jobenabled or jobrunid is not null) and jobagentid is null;
create index pga_job_due_by_priority on pgagent.pga_job (jobnextrun)
    where (jobenabled or jobrunid is not null) and jobagentid is null and jobpriority > 0;
-- Whose runs are these, asked when an agent is gone; also what the foreign key's SET NULL looks up.
create index pga_job_jobagentid on pgagent.pga_job (jobagentid) where jobagentid is not null;

comment on table pgagent.pga_job is 'Jobs.';
comment on column pgagent.pga_job.jobid is 'Id of the job.';
comment on column pgagent.pga_job.jobjclid is 'Class of the job.';
comment on column pgagent.pga_job.jobname is 'Name of the job.';
comment on column pgagent.pga_job.jobdesc is 'Description of the job.';
comment on column pgagent.pga_job.jobhostagent is 'Host (station) on which alone the job may run; empty: any.';
comment on column pgagent.pga_job.jobenabled is 'Whether the job runs; a disabled job has no next run, unless run_now asks for one.';
comment on column pgagent.pga_job.jobcreated is 'When the job was created.';
comment on column pgagent.pga_job.jobchanged is 'When the job was changed, if a client says so.';
comment on column pgagent.pga_job.jobagentid is 'Pid of the agent that runs the job now; null: the job is free.';
comment on column pgagent.pga_job.jobnextrun is
    'When the job is due. Set to null: computed from the schedules. Set to now(): run now. While the job runs: the time this run was due.';
comment on column pgagent.pga_job.joblastrun is 'When the last run started.';
comment on column pgagent.pga_job.jobrequested is
    'Due time that was asked for while the job was running; becomes the next run when the run ends.';
comment on column pgagent.pga_job.jobstartdeadline is
    'A run that could not start within this time after it was due is not made up for, and logged as aborted; null: it always is.';
comment on column pgagent.pga_job.jobtimeout is
    'Time limit of a run, waits and retries included (1 ms to 10 years): then its step is aborted and the run has failed; null: none.';
comment on column pgagent.pga_job.jobmaxfailures is
    'After so many failed runs in a row the job is disabled (1 to 1000); null: never.';
comment on column pgagent.pga_job.jobfailures is
    'Failed runs in a row since the job was enabled; counted where jobmaxfailures is set.';
comment on column pgagent.pga_job.jobdisabledreason is 'Why the engine has disabled the job; null when it has not, or is enabled again.';
comment on column pgagent.pga_job.jobpriority is
    'Where more jobs are due than may run, this one comes as if it had been due so many minutes earlier (0 to 1000).';
comment on column pgagent.pga_job.jobowner is 'Role as which the job runs, and whose members may see and change it.';
comment on column pgagent.pga_job.jobrunid is 'Id (jlgid) that the next run will have, because run_now has promised it; null: any.';
comment on column pgagent.pga_job.joblocks is
    'Names of locks that the job holds while it runs: two jobs with a name in common do not run at the same time; null: none.';
