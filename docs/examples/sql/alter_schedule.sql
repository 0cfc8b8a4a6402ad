-- The night run comes an hour later, until the end of 2037; then without an end again.
select pgagent.create_job('backup', schedule => '30 2 * * *', sql => 'checkpoint');
select pgagent.alter_schedule(jscid, crontab => '30 3 * * *', ends => '2037-12-31 23:59')
  from pgagent.pga_schedule where jscjobid = pgagent.find_job('backup');
select pgagent.alter_schedule(jscid, reset => '{ends}')
  from pgagent.pga_schedule where jscjobid = pgagent.find_job('backup');
select run, jscname from pgagent.upcoming('backup', 3);
