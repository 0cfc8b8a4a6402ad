create table pgagent.pga_jobsteplog (
    jslid serial not null,
    jsljlgid int4 not null
        constraint pga_jobsteplog_jsljlgid_fkey references pgagent.pga_joblog (jlgid) on delete cascade on update restrict,
    jsljstid int4 not null
        constraint pga_jobsteplog_jsljstid_fkey references pgagent.pga_jobstep (jstid) on delete cascade on update restrict,
    jslstatus character(1) not null default 'r'
        constraint pga_jobsteplog_jslstatus_check check (jslstatus in ('r', 's', 'i', 'f', 'd')),
    jslresult int4,
    jslstart timestamptz not null default current_timestamp,
    jslduration interval,
    jsloutput text
);
create index pga_jobsteplog_jslid on pgagent.pga_jobsteplog (jsljlgid);
-- The history of one step, newest first, as clients ask for it.
create index pga_jobsteplog_jstid_jslid on pgagent.pga_jobsteplog (jsljstid, jslid);
-- What runs now, whatever the size of the history.
create index pga_jobsteplog_running on pgagent.pga_jobsteplog (jsljlgid) where jslstatus = 'r';
-- Made last, as in pga_joblog.
alter table pgagent.pga_jobsteplog add constraint pga_jobsteplog_pkey primary key (jslid);

comment on table pgagent.pga_jobsteplog is 'Runs of steps.';
comment on column pgagent.pga_jobsteplog.jslid is 'Id of the step''s run; grows with time.';
comment on column pgagent.pga_jobsteplog.jsljlgid is 'The run of the job.';
comment on column pgagent.pga_jobsteplog.jsljstid is 'The step.';
comment on column pgagent.pga_jobsteplog.jslstatus is
    'r: running, s: succeeded, i: failed and ignored, f: failed, stopping the job, d: aborted.';
comment on column pgagent.pga_jobsteplog.jslresult is
    'SQL step: rows of the last statement, -1 on failure. Batch step: exit code, 128 + n after signal n.';
comment on column pgagent.pga_jobsteplog.jslstart is 'When the step started.';
comment on column pgagent.pga_jobsteplog.jslduration is 'How long the step took; null while it runs.';
comment on column pgagent.pga_jobsteplog.jsloutput is 'Notices and error of a SQL step, output of a batch step.';
