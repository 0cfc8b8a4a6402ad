-- After the clock, not after the transaction's start: a transaction that is older than a run must not bring its time back.
create function pgagent._job_next_run(jobid int4) returns timestamptz
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select to_timestamp(
        (pgagent._next_run_epochs(array[$1], date_part('epoch', date_trunc('second', clock_timestamp()))))[1])
$$;
comment on function pgagent._job_next_run(int4) is 'The next run of a job after this moment, over its enabled schedules.';
