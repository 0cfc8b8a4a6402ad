-- The session that has taken a batch step tells how its script has ended; run_due then goes on with the job.
select pgagent.create_job('disk usage', batch => 'df -h');
update pgagent.pga_job set jobnextrun = now();
select jobname, status from pgagent.run_due();
select pgagent.finish_batch_step(jslid, exit_code => 0, output => 'all well') from pgagent.take_batch_steps('db1', 4);
select jobname, status from pgagent.run_due();
