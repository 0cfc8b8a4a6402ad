-- The jobs that may be claimed now or later. _may_run decides, one after the other; this keeps those that it
-- would refuse from standing in the way of others. What runs is counted only where there is a limit: its index is full of
-- dead entries while many short jobs run.
create view pgagent._claimable_job as
    select j.*
      from pgagent.pga_job j
     where (select not row_security_active('pgagent.pga_job'))  -- a view is not held by the policies of its reader
       and (j.jobenabled or j.jobrunid is not null)
       and j.jobagentid is null
       -- A statement that does not see the request cannot know what it asks for.
       and (j.jobrunid is null
            or exists (select from pgagent._run_request r where r.jobid = j.jobid and r.jlgid = j.jobrunid))
       -- One by one: an array of all that is held, computed before, crashes the server when a row that has been locked is
       -- looked at again.
       and (j.joblocks is null
            or not exists (select from pgagent.pga_job o where o.jobagentid is not null and o.joblocks && j.joblocks))
       and j.jobjclid not in (
               select c.jclid
                 from pgagent.pga_jobclass c
                where c.jclmaxruns is not null
                  and c.jclmaxruns <= (select count(*) from pgagent.pga_job o
                                        where o.jobagentid is not null and o.jobjclid = c.jclid))
       and not exists (
               select
                 from pgagent.settings t
                where t.total_runs is not null
                  and t.total_runs <= (select count(*) from pgagent.pga_job o where o.jobagentid is not null))
  with check option;  -- nor are rows written through it that its writer would not see

comment on view pgagent._claimable_job is
    'Jobs, enabled or asked for by run_now, that nobody runs and that no lock, no limit of their class and no limit of all keeps from running.';
