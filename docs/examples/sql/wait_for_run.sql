-- How the latest run of a job has ended; null if it goes on for another minute.
select pgagent.create_job('report', sql => 'select count(*) from pg_class');
select pgagent.run_now('report') as run;
call pgagent.run_until_idle();
select pgagent.wait_for_run(max(jlgid), timeout => '1 min')
  from pgagent.pga_joblog where jlgjobid = pgagent.find_job('report');
