-- A vacuum on weekdays, a check every ten seconds in office hours, a script, and something that runs once.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze');
select pgagent.create_job('sessions', '* 9-16 * * 1-5', every => '10 s', timezone => 'Europe/Berlin',
    sql => 'select count(*) from pg_stat_activity', timeout => '5 s');
select pgagent.create_job('disk usage', '@hourly', batch => 'df -h /var/lib/postgresql');
select pgagent.create_job('reindex once', at => now() + interval '1 hour',
    sql => 'reindex (concurrently) database postgres');
select jobid, jobname, jobnextrun from pgagent.pga_job order by jobid;
