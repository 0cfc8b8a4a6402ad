-- What runs in the next week, at most three runs of each job.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * *', sql => 'vacuum analyze');
select pgagent.create_job('weekly report', schedule => '0 6 * * mon', sql => 'select 1');
select run, jobname, jscname from pgagent.calendar(until => now() + interval '1 week', count => 3);
