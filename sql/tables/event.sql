create table pgagent.event (
    evtid bigserial not null constraint event_pkey primary key,
    evttime timestamptz not null default clock_timestamp(),
    evtkind text not null
        constraint event_evtkind_check check (
            evtkind in ('failed', 'timed out', 'aborted', 'overdue', 'disabled', 'recovered')),
    evtjobid int4 not null,
    evtjobname text not null,
    evtjlgid int4,
    evtdetail text
);
-- No foreign keys: an event outlives its job and its run.
create index event_evtjobid on pgagent.event (evtjobid, evtid);

comment on table pgagent.event is
    'Changes in how jobs fare that a person may want to act on: one row when a job begins to fail, one when it recovers. Whoever '
    'passes them on takes them with DELETE ... RETURNING, or reads and leaves them: settings.keep_events says how long they stay.';
comment on column pgagent.event.evtid is 'Id of the event.';
comment on column pgagent.event.evttime is 'When it was told.';
comment on column pgagent.event.evtkind is
    'failed, timed out, aborted: a run ended so; overdue: the job is due and does not start; disabled: by jobmaxfailures; recovered: '
    'a run has succeeded, or the job is no longer overdue.';
comment on column pgagent.event.evtjobid is 'The job.';
comment on column pgagent.event.evtjobname is 'Name of the job, as it was then.';
comment on column pgagent.event.evtjlgid is 'The run; null: none (overdue).';
comment on column pgagent.event.evtdetail is 'Why, in words.';
