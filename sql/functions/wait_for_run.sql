create function pgagent.wait_for_run(run int4, timeout interval default null) returns text
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    until constant timestamptz := clock_timestamp() + timeout;
    pause float8 := 0.01;
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
        perform pg_sleep(least(pause, extract(epoch from until - clock_timestamp())));
        pause := least(pause * 1.5, 0.5);
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
    select r.xmin = pg_current_xact_id_if_assigned()::xid as is_own into request
      from pgagent._run_request r where r.jlgid = run;
    if request.is_own then
        raise exception using
            errcode = 'invalid_transaction_state',
            message = format('run %s was asked for in this transaction, which must be committed before it can start', run),
            hint = 'COMMIT, then wait.';
    elsif not found and not exists (select from pgagent.pga_joblog l where l.jlgid = run) then
        raise exception using
            errcode = 'undefined_object',
            message = format('run %s does not exist', run),
            hint = 'SELECT jlgid FROM pgagent.pga_joblog ORDER BY jlgid DESC lists the runs, the latest first.';
    end if;
end
$$;
comment on function pgagent._require_request(int4) is
    'Error 42704 unless a run has started or was asked for; 25000 if it was asked for by the transaction that waits for it.';
