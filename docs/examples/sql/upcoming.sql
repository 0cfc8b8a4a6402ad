-- The next five runs of a job, and its first three in 2037.
select pgagent.create_job('first of the month', schedule => '0 6 1 * *', sql => 'select 1');
select run, jscname from pgagent.upcoming('first of the month', 5);
select run from pgagent.upcoming('first of the month', 3, after => '2037-01-01');
