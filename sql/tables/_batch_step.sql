create table pgagent._batch_step (
    jslid int4 not null constraint _batch_step_pkey primary key,
    jlgid int4 not null,
    jobid int4 not null,
    jobname text not null,
    jobhostagent text not null,
    started timestamptz not null,
    agentid int4 not null,
    taken bool not null default false,
    outcome character(1) constraint _batch_step_outcome_check check (outcome in ('s', 'f', 'd')),
    steps jsonb not null,
    timeout interval,
    cancelled_by text,
    owner name not null,
    due timestamptz not null
);
-- No foreign keys: a run goes on with what it started with, even when its job is deleted meanwhile.

comment on table pgagent._batch_step is
    'Runs that have reached a batch step: they wait for a ticker, are with one, or wait for an engine to go on.';
comment on column pgagent._batch_step.jslid is 'The step''s row in pga_jobsteplog.';
comment on column pgagent._batch_step.jlgid is 'The run.';
comment on column pgagent._batch_step.jobid is 'The job.';
comment on column pgagent._batch_step.jobname is 'Name of the job when the run started.';
comment on column pgagent._batch_step.jobhostagent is 'Host whose ticker alone may take the step; empty: any.';
comment on column pgagent._batch_step.started is 'When the run started.';
comment on column pgagent._batch_step.agentid is 'Pid of the agent that answers for the run: an engine, then the ticker''s session.';
comment on column pgagent._batch_step.taken is 'Whether a ticker has taken the step.';
comment on column pgagent._batch_step.outcome is 'How the script ended: s, f or d (aborted); null: not yet.';
comment on column pgagent._batch_step.steps is 'The batch step and the steps after it, as they were when the run started.';
comment on column pgagent._batch_step.timeout is 'Time limit of the run, counted from its start; null: none.';
comment on column pgagent._batch_step.cancelled_by is 'Who has asked that the run be cancelled, while a ticker has the step; null: nobody.';
comment on column pgagent._batch_step.due is 'When the run was due.';
comment on column pgagent._batch_step.owner is 'Owner of the job, when the run started.';
