-- What the queue of batch steps has is for superusers only: where a batch step is, its agent tells. It is a ticker's session
-- from the moment when the step is taken.
create function pgagent._running()
returns table (
    run int4, job int4, name text, step_name text, state text, since timestamptz, duration interval, agent int4,
    station text
)
language sql stable security invoker
begin atomic
    select l.jlgid, l.jlgjobid, j.jobname, s.jstname,
           case when not coalesce(a.is_there, false) and not pg_is_in_recovery() then 'agent gone'
                when exists (select from pgagent._cancel_request c where c.jlgid = l.jlgid) then 'being cancelled'
                when s.jslstatus = 'f' then 'waiting for retry'
                when s.jslstatus = 'r' and s.jstkind = 'b' and a.is_ours
                then case when a.jagtakesbatch then 'with a ticker' else 'waiting for ticker' end
                when s.jslstatus <> 'r' and a.jagtakesbatch then 'waiting for engine'
                else 'running' end,
           l.jlgstart, greatest(statement_timestamp() - l.jlgstart, '0 s'), j.jobagentid, a.jagstation
      from pgagent.pga_joblog l
      join pgagent.pga_job j on j.jobid = l.jlgjobid
      left join lateral (
          select t.jstname, t.jstkind, o.jslstatus
            from pgagent.pga_jobsteplog o
            join pgagent.pga_jobstep t on t.jstid = o.jsljstid
           where o.jsljlgid = l.jlgid
           order by o.jslid desc
           limit 1) s on true
      left join lateral (
          select g.jagstation, g.jagtakesbatch, g.jagbackendstart is not null as is_ours, pgagent._has_session(g) as is_there
            from pgagent.pga_jobagent g
           where g.jagpid = j.jobagentid) a on true
     where l.jlgstatus = 'r'
    union all
    select r.jlgid, r.jobid, j.jobname, t.jstname, 'waiting to start', r.requested,
           greatest(statement_timestamp() - r.requested, '0 s'), null, null
      from pgagent._run_request r
      join pgagent.pga_job j on j.jobid = r.jobid
      left join pgagent.pga_jobstep t on t.jstid = r.jstid;
end;
comment on function pgagent._running() is 'The rows of view running, as the caller may see them.';

create view pgagent.running as select * from pgagent._running();
comment on view pgagent.running is 'Runs that go on or wait, and where they are.';
comment on column pgagent.running.run is 'Id of the run.';
comment on column pgagent.running.job is 'Id of the job.';
comment on column pgagent.running.name is 'Name of the job.';
comment on column pgagent.running.step_name is 'The step that was begun last, or that alone is to run; null: none yet.';
comment on column pgagent.running.state is
    'waiting to start: run_now has asked for it; running; waiting for ticker or with a ticker: a batch step; waiting for engine: '
    'a batch step has ended; waiting for retry; being cancelled; agent gone: the next run_due of any agent cleans up.';
comment on column pgagent.running.since is 'When the run started, or was asked for.';
comment on column pgagent.running.duration is 'How long it has lasted.';
comment on column pgagent.running.agent is 'Pid of the session that answers for the run.';
comment on column pgagent.running.station is 'Host of that agent, or the name of its application.';
