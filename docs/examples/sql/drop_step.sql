-- A job loses its second step.
select pgagent.create_job('cleaning', schedule => '@daily', sql => 'vacuum');
select pgagent.add_step('cleaning', name => '02 statistics', sql => 'analyze');
select pgagent.drop_step(jstid)
  from pgagent.pga_jobstep where jstjobid = pgagent.find_job('cleaning') and jstname = '02 statistics';
