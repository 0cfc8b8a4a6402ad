-- The id of a job, for the tables and for functions that take no name.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze');
select jlgid, jlgstatus, jlgstart from pgagent.pga_joblog where jlgjobid = pgagent.find_job('nightly vacuum');
