-- When the next job is due, for a program that calls run_due itself; and on the host whose jobs run nowhere else.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * *', sql => 'vacuum analyze');
select pgagent.create_job('disk usage', schedule => '@hourly', sql => 'select 1', host => 'db1');
select pgagent.next_due() as anywhere, pgagent.next_due(station => 'db1') as on_db1;
