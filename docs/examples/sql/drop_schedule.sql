-- A job is no longer run on Saturdays.
select pgagent.create_job('backup', schedule => '30 2 * * 1-5', sql => 'checkpoint');
select pgagent.add_schedule('backup', '0 9 * * sat', name => 'Saturdays');
select pgagent.drop_schedule(jscid)
  from pgagent.pga_schedule where jscjobid = pgagent.find_job('backup') and jscname = 'Saturdays';
