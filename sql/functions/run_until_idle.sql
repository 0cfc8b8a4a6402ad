-- Without SET search_path: a procedure with a SET clause cannot commit. Hence the qualified names and operators.
create procedure pgagent.run_until_idle(
    station pg_catalog.text default null,
    inout succeeded pg_catalog.int4 default 0,
    inout failed pg_catalog.int4 default 0,
    inout aborted pg_catalog.int4 default 0
)
language plpgsql security invoker
as $$
declare
    touched pg_catalog.record;
    running pg_catalog.bool;
    last_touched pg_catalog.timestamptz := pg_catalog.clock_timestamp();
begin
    succeeded := 0;
    failed := 0;
    aborted := 0;
    loop
        running := false;
        for touched in select r.status from pgagent.run_due('1 s'::pg_catalog.interval, station) r loop
            last_touched := pg_catalog.clock_timestamp();
            if touched.status operator(pg_catalog.=) 'succeeded' then
                succeeded := succeeded operator(pg_catalog.+) 1;
            elsif touched.status operator(pg_catalog.=) 'aborted' then
                aborted := aborted operator(pg_catalog.+) 1;
            elsif touched.status operator(pg_catalog.=) 'running' then
                running := true;
            elsif touched.status operator(pg_catalog.<>) 'waiting for ticker' then
                failed := failed operator(pg_catalog.+) 1;
            end if;
        end loop;
        -- A step may wait for the snapshot that run_due held (CREATE INDEX CONCURRENTLY does).
        commit;
        if not running then
            exit when not pgagent._wait_for_work(station, last_touched);
            commit;
        end if;
    end loop;
end
$$;
comment on procedure pgagent.run_until_idle(pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog.int4) is
    'Calls run_due until nothing is due or running, and nothing waits for a ticker that is there; counts the runs that ended.';
