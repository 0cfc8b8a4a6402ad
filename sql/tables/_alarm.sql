create table pgagent._alarm (
    jobid int4 not null constraint _alarm_pkey primary key,
    kind text not null,
    jlgid int4,
    detail text,
    told text,
    told_at timestamptz
);
-- No foreign key: to write here must not wait for a job's row.

comment on table pgagent._alarm is 'How jobs fare that do not fare well, or have just recovered; and what of it was told as an event.';
comment on column pgagent._alarm.jobid is 'The job.';
comment on column pgagent._alarm.kind is 'As event.evtkind.';
comment on column pgagent._alarm.jlgid is 'The run that ended so last.';
comment on column pgagent._alarm.detail is 'Why, in words.';
comment on column pgagent._alarm.told is 'The kind that was told last; null: nothing yet.';
comment on column pgagent._alarm.told_at is 'When that was.';
