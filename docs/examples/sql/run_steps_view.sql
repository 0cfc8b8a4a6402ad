-- The steps of the latest run of a job, with their output.
select pgagent.create_job('report', sql => 'do $$ begin raise notice ''the report begins''; end $$');
select pgagent.add_step('report', sql => 'select relname from pg_class limit 10');
select pgagent.run_now('report') as run;
call pgagent.run_until_idle();
select step_name, kind, status, duration, result, output
  from pgagent.run_steps
 where run = (select max(run) from pgagent.runs where job = pgagent.find_job('report'))
 order by step_run;
