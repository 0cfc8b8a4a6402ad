-- A job goes, with its steps, schedules and logs; its name or its id says which.
select pgagent.create_job('old import', schedule => '@daily', sql => 'select 1');
select pgagent.drop_job('old import');
select pgagent.drop_job(pgagent.create_job('a mistake'));
