create table pgagent.pga_joblog (
    jlgid serial not null,
    jlgjobid int4 not null
        constraint pga_joblog_jlgjobid_fkey references pgagent.pga_job (jobid) on delete cascade on update restrict,
    jlgstatus character(1) not null default 'r'
        constraint pga_joblog_jlgstatus_check check (jlgstatus in ('r', 's', 'f', 'i', 'd')),
    jlgstart timestamptz not null default current_timestamp,
    jlgduration interval,
    jlgreason text
);
-- The history of one job, newest first, as clients ask for it. pgAgent has the first column only.
create index pga_joblog_jobid on pgagent.pga_joblog (jlgjobid, jlgid);
-- What runs now, whatever the size of the history.
create index pga_joblog_running on pgagent.pga_joblog (jlgjobid, jlgid) where jlgstatus = 'r';
-- Made last: of indexes that look equally good for an empty table, the planner takes the youngest, and stays with it
-- while the table grows.
alter table pgagent.pga_joblog add constraint pga_joblog_pkey primary key (jlgid);

comment on table pgagent.pga_joblog is 'Runs of jobs.';
comment on column pgagent.pga_joblog.jlgid is 'Id of the run; grows with time.';
comment on column pgagent.pga_joblog.jlgjobid is 'The job.';
comment on column pgagent.pga_joblog.jlgstatus is
    'r: running, s: succeeded, f: failed, i: internal failure, d: aborted (its agent is gone, or it was cancelled).';
comment on column pgagent.pga_joblog.jlgstart is 'When the run started.';
comment on column pgagent.pga_joblog.jlgduration is 'How long the run took; null while it runs.';
comment on column pgagent.pga_joblog.jlgreason is 'Why the run did not succeed, in words; null: it did, or pgAgent''s daemon ran it.';
