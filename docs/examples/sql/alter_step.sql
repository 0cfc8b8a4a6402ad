-- Another statement and a time limit for a step, found by its job and its name; then no time limit any more.
select pgagent.create_job('cleaning', schedule => '@daily', sql => 'vacuum');
select pgagent.alter_step(jstid, sql => 'vacuum (analyze)', timeout => '2 hours')
  from pgagent.pga_jobstep where jstjobid = pgagent.find_job('cleaning') and jstname = '01';
select pgagent.alter_step(jstid, reset => '{timeout}')
  from pgagent.pga_jobstep where jstjobid = pgagent.find_job('cleaning') and jstname = '01';
