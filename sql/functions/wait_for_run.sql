create function pgagent.wait_for_run(run int4, timeout interval default null) returns text
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    until constant timestamptz := clock_timestamp() + timeout;
    pause float8 := 0.01;
    longest_pause constant float8 := 0.5;
    status text;
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception using
            errcode = 'invalid_transaction_state',
            message = 'wait_for_run cannot see the end of a run in a transaction of this isolation level',
            hint = 'Call it in a transaction of isolation level READ COMMITTED.';
    end if;
    loop
        select l.jlgstatus into status from pgagent.pga_joblog l where l.jlgid = run;
        if not found then
            perform pgagent._require_request(run);
        elsif status <> 'r' then
            return case status when 's' then 'succeeded' when 'f' then 'failed' when 'd' then 'aborted' else 'internal failure' end;
        end if;
        if clock_timestamp() >= until then
            return null;
        end if;
        if pause = longest_pause and status = 'r'
           and exists (select
                         from pg_locks own
                         join pg_locks w on w.locktype = 'virtualxid' and w.virtualxid = own.virtualxid and not w.granted
                        where own.locktype = 'virtualxid' and own.pid = pg_backend_pid() and own.granted) then
            raise exception using
                errcode = 'deadlock_detected',
                message = format('run %s may be waiting for the end of this statement, which waits for the run', run),
                detail = 'Another session waits for the snapshot of this one, as CREATE INDEX CONCURRENTLY does.',
                hint = 'Wait with a short timeout, again and again, each time in a transaction of its own.';
        end if;
        perform pg_sleep(least(pause, extract(epoch from until - clock_timestamp())));
        pause := least(pause * 1.5, longest_pause);
    end loop;
end
$$;
comment on function pgagent.wait_for_run(int4, interval) is
    'Waits for the end of a run (jlgid), also of one that run_now has asked for: succeeded, failed, aborted or internal failure; null: the '
    'timeout came first (null: no limit). It starts nothing: without a ticker, call run_due in another session.';

create function pgagent._require_request(run int4) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    request record;
begin
    -- A row that is seen while its transaction goes on, perhaps behind a savepoint, is the caller's own.
    select pg_xact_status((t.xid + ((r.xmin::text::int8 - t.xid) & 4294967295))::text::xid8) = 'in progress' as is_own
      into request
      from pgagent._run_request r
     cross join (select pg_current_xact_id_if_assigned()::text::int8 as xid) t
     where r.jlgid = run
       and (r.xmin::text::int8 - t.xid) & 4294967295 < 2147483648;
    if request.is_own then
        raise exception using
            errcode = 'invalid_transaction_state',
            message = format('run %s was asked for in this transaction, which must be committed before it can start', run),
            hint = 'COMMIT, then wait.';
    elsif not exists (select from pgagent._run_request r where r.jlgid = run)
          and not exists (select from pgagent.pga_joblog l where l.jlgid = run) then
        raise exception using
            errcode = 'undefined_object',
            message = format('run %s does not exist', run),
            hint = 'SELECT jlgid FROM pgagent.pga_joblog ORDER BY jlgid DESC lists the runs, the latest first.';
    end if;
end
$$;
comment on function pgagent._require_request(int4) is
    'Error 42704 unless a run has started or was asked for; 25000 if it was asked for by the transaction that waits for it.';
