-- When each schedule of a job would run next, even if it is disabled; and after a given instant.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze');
select jscname, pgagent.next_run(jscid), pgagent.next_run(jscid, after => '2030-12-31')
  from pgagent.pga_schedule where jscjobid = pgagent.find_job('nightly vacuum');
