-- What is wrong with the jobs: this one has no step in a database that exists, and nothing runs it.
select pgagent.create_job('report', schedule => '@daily', sql => 'select 1', database => 'warehouse');
select severity, matter, object, detail, remedy from pgagent.check();
