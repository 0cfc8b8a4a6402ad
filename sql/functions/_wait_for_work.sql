create function pgagent._wait_for_work(station text, last_touched timestamptz) returns bool
language plpgsql volatile security definer  -- a ticker's role needs no right to the tables
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_is_in_recovery() then
        return false;
    end if;
    -- Runs that are with a ticker, or wait for one that is connected.
    if exists (select
                 from pgagent._batch_step b
                where b.taken
                   or exists (select
                                from pgagent.pga_jobagent a
                               where a.jagtakesbatch
                                 and b.jobhostagent in ('', a.jagstation)
                                 and pgagent._agent_is_alive(a))) then
        perform pg_sleep(0.1);
        return true;
    end if;
    if coalesce(pgagent.next_due(station) > clock_timestamp(), true) then
        return false;
    end if;
    if clock_timestamp() > last_touched + interval '10 s' then
        raise exception using
            errcode = 'lock_not_available',
            message = 'jobs are due, but could not be claimed for 10 s',
            hint = 'Perhaps another transaction holds their rows (pg_locks shows which), or a warning of run_due says why.';
    end if;
    perform pg_sleep(0.05);
    return true;
end
$$;
comment on function pgagent._wait_for_work(text, timestamptz) is
    'Whether there is work that a session must still wait for; if so, after a short sleep. Error 55P03 if none could be claimed '
    'for 10 s.';
