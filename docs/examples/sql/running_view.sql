-- What goes on now; a batch step waits for a ticker.
select pgagent.create_job('disk usage', batch => 'df -h');
select pgagent.run_now('disk usage') as run;
select from pgagent.run_due(max_wait => '1 s');
select run, name, step_name, state, duration, station from pgagent.running order by since;
