-- Several days at once that an hourly job leaves out.
select pgagent.create_job('hourly report', schedule => '@hourly', sql => 'select 1');
select pgagent.add_exceptions(jscid, '{2027-01-01, 2027-05-01, 2027-10-03}')
  from pgagent.pga_schedule where jscjobid = pgagent.find_job('hourly report');
