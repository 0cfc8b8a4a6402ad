-- All schedules as crontab has them; null where crontab cannot say it.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * mon-fri', sql => 'vacuum analyze');
select pgagent.create_job('often', every => '10 s', sql => 'select 1');
select jscname, pgagent.to_cron(jscid) from pgagent.pga_schedule;
