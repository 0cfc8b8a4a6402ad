-- A second job like the first one, for other data: changed first, then enabled.
select pgagent.create_job('vacuum orders', schedule => '0 3 * * *', sql => 'vacuum analyze pg_class');
select pgagent.copy_job('vacuum orders', 'vacuum invoices');
select pgagent.alter_step(jstid, sql => 'vacuum analyze pg_type')
  from pgagent.pga_jobstep where jstjobid = pgagent.find_job('vacuum invoices');
select pgagent.enable_job('vacuum invoices');
