create function pgagent._runs()
returns table (
    run int4, job int4, name text, owner name, status text, started timestamptz, duration interval, reason text,
    steps int8, failed_steps int8
)
language sql stable security invoker
begin atomic
    select l.jlgid, l.jlgjobid, j.jobname, j.jobowner, pgagent._run_status_word(l.jlgstatus), l.jlgstart,
           -- A statement may see a run that has started after it.
           case when l.jlgstatus = 'r' then greatest(statement_timestamp() - l.jlgstart, '0 s') else l.jlgduration end,
           l.jlgreason,
           (select count(distinct s.jsljstid) from pgagent.pga_jobsteplog s where s.jsljlgid = l.jlgid),
           -- Of a step that was tried several times, the last attempt counts.
           (select count(*)
              from pgagent.pga_jobsteplog s
             where s.jsljlgid = l.jlgid
               and s.jslstatus in ('f', 'i', 'd')
               and not exists (select
                                 from pgagent.pga_jobsteplog n
                                where n.jsljlgid = l.jlgid and n.jsljstid = s.jsljstid and n.jslid > s.jslid))
      from pgagent.pga_joblog l
      join pgagent.pga_job j on j.jobid = l.jlgjobid;
end;
comment on function pgagent._runs() is 'The rows of view runs, as the caller may see them.';

create view pgagent.runs as select * from pgagent._runs();
comment on view pgagent.runs is
    'Runs of jobs: ORDER BY run DESC shows the newest first. Those of one job are found by its id, not by its name.';
comment on column pgagent.runs.run is 'Id of the run; grows with time.';
comment on column pgagent.runs.job is 'Id of the job.';
comment on column pgagent.runs.name is 'Name of the job.';
comment on column pgagent.runs.owner is 'Owner of the job.';
comment on column pgagent.runs.status is 'running, succeeded, failed, aborted or internal failure.';
comment on column pgagent.runs.started is 'When the run started.';
comment on column pgagent.runs.duration is 'How long it took, or has lasted until now.';
comment on column pgagent.runs.reason is 'Why it did not succeed; null: it did, or pgAgent''s daemon ran it.';
comment on column pgagent.runs.steps is 'How many steps were begun.';
comment on column pgagent.runs.failed_steps is 'How many of them failed or were aborted, ignored failures included.';
