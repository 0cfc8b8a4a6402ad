create function pgagent._run_steps()
returns table (
    run int4, step_run int4, job int4, name text, step int4, step_name text, kind text, status text,
    started timestamptz, duration interval, result int4, output text
)
language sql stable security invoker
begin atomic
    select s.jsljlgid, s.jslid, j.jobid, j.jobname, s.jsljstid, t.jstname,
           case t.jstkind when 's' then 'sql' when 'b' then 'batch' end,
           pgagent._step_status_word(s.jslstatus), s.jslstart,
           case when s.jslstatus = 'r' then greatest(statement_timestamp() - s.jslstart, '0 s') else s.jslduration end,
           s.jslresult, s.jsloutput
      from pgagent.pga_jobsteplog s
      join pgagent.pga_jobstep t on t.jstid = s.jsljstid
      join pgagent.pga_job j on j.jobid = t.jstjobid;
end;
comment on function pgagent._run_steps() is 'The rows of view run_steps, as the caller may see them.';

create view pgagent.run_steps as select * from pgagent._run_steps();
comment on view pgagent.run_steps is 'Runs of steps: ORDER BY step_run is the order in which they began. Each attempt has a row.';
comment on column pgagent.run_steps.run is 'Id of the run of the job.';
comment on column pgagent.run_steps.step_run is 'Id of the run of the step; grows with time.';
comment on column pgagent.run_steps.job is 'Id of the job.';
comment on column pgagent.run_steps.name is 'Name of the job.';
comment on column pgagent.run_steps.step is 'Id of the step.';
comment on column pgagent.run_steps.step_name is 'Name of the step.';
comment on column pgagent.run_steps.kind is 'sql or batch.';
comment on column pgagent.run_steps.status is 'running, succeeded, failed, aborted, or ignored: failed, and the run goes on.';
comment on column pgagent.run_steps.started is 'When the step started.';
comment on column pgagent.run_steps.duration is 'How long it took, or has lasted until now.';
comment on column pgagent.run_steps.result is
    'SQL step: rows of the last statement, -1 on failure. Batch step: exit code, 128 + n after signal n.';
comment on column pgagent.run_steps.output is 'Notices and error of an SQL step, output of a batch step.';
