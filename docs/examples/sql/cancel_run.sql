-- All runs of a job that go on are cancelled; here none does.
select pgagent.create_job('report', schedule => '@daily', sql => 'select pg_sleep(3600)');
select jlgid, pgagent.cancel_run(jlgid)
  from pgagent.pga_joblog where jlgjobid = pgagent.find_job('report') and jlgstatus = 'r';
