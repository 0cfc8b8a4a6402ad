-- A disabled job runs once; without a ticker, run_until_idle runs it in this session.
select pgagent.create_job('report', schedule => '@monthly', sql => 'select count(*) from pg_class', enabled => false);
select pgagent.run_now('report') as run;
call pgagent.run_until_idle();
select jlgid, jlgstatus, jlgduration from pgagent.pga_joblog where jlgjobid = pgagent.find_job('report');
