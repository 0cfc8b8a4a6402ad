-- What runs within a day; pgagent.calendar(...) asks for another time.
select pgagent.create_job('six-hourly report', schedule => '0 */6 * * *', sql => 'select 1');
select run, name, schedule from pgagent.calendar order by run;
