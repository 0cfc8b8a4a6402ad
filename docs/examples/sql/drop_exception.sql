-- Exceptions are dropped as they were added.
select pgagent.create_job('hourly report', schedule => '@hourly', sql => 'select 1');
select pgagent.add_exception(jscid, '2027-01-01'), pgagent.add_exception(jscid, at => '12:00')
  from pgagent.pga_schedule where jscjobid = pgagent.find_job('hourly report');
select pgagent.drop_exception(jscid, at => '12:00') from pgagent.pga_schedule;
