-- Whatever is due runs in this session; the job was asked for, and no ticker was quicker.
select pgagent.create_job('statistics', schedule => '30 2 * * 1-5', sql => 'analyze');
update pgagent.pga_job set jobnextrun = now() where jobid = pgagent.find_job('statistics');
select jobname, status, duration, detail from pgagent.run_due(max_wait => '5 s');
