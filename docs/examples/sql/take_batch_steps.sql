-- What a ticker does: it takes the scripts that wait for a host, at most four of them, and runs them.
select pgagent.create_job('disk usage', batch => 'df -h');
update pgagent.pga_job set jobnextrun = now();
select jobname, status from pgagent.run_due();
select jslid, jobname, jstname, code from pgagent.take_batch_steps(station => 'db1', most => 4);
