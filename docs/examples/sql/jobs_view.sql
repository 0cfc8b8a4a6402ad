-- All jobs, what runs next first; and those whose last runs have failed.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze');
select pgagent.create_job('sessions', schedule => '* 9-16 * * *', every => '10 s',
    sql => 'select count(*) from pg_stat_activity');
select name, schedule, next_run, last_status, last_duration from pgagent.jobs order by next_run;
select name, last_run, streak from pgagent.jobs where streak < 0;
