-- The schedules of a job in words, and when it will run next after New Year's Eve.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze');
select jscname, pgagent.explain_schedule(jscid), pgagent.explain_schedule(jscid, after => '2030-12-31')
  from pgagent.pga_schedule where jscjobid = pgagent.find_job('nightly vacuum');
