-- No job of the class Data Import runs until further notice.
select pgagent.create_job('import orders', schedule => '@hourly', sql => 'select 1', class => 'Data Import');
select pgagent.disable_job(jobid)
  from pgagent.pga_job join pgagent.pga_jobclass on jclid = jobjclid where jclname = 'Data Import';
