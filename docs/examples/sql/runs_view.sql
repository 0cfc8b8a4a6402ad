-- The latest runs of a job, the newest first; and why runs have failed since yesterday.
select pgagent.create_job('report', sql => 'select 1 / 0');
select pgagent.run_now('report') as run;
call pgagent.run_until_idle();
select run, status, started, duration, steps
  from pgagent.runs
 where job = pgagent.find_job('report')
 order by run desc
 limit 20;
select run, name, reason
  from pgagent.runs
 where status = 'failed' and started > now() - interval '1 day'
 order by run desc;
