-- Which jobs take longest, and which have failed.
select pgagent.create_job('report', sql => 'select count(*) from pg_class');
select pgagent.run_now('report') as run;
call pgagent.run_until_idle();
select name, runs, median_duration, p95_duration from pgagent.statistics order by p95_duration desc nulls last;
select name, failed, aborted, last_failure, last_failure_reason from pgagent.statistics where last_failure is not null;
