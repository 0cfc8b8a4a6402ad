-- An hourly job that leaves out a day, a week, and noon of every day.
select pgagent.create_job('hourly report', schedule => '@hourly', sql => 'select 1');
select pgagent.add_exception(jscid, '2027-01-01') from pgagent.pga_schedule;
select pgagent.add_exception(jscid, '2027-08-02', until => '2027-08-08') from pgagent.pga_schedule;
select pgagent.add_exception(jscid, at => '12:00') from pgagent.pga_schedule;
select jscname, pgagent.explain_schedule(jscid) from pgagent.pga_schedule;
