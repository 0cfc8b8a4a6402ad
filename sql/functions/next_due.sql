-- In PL/pgSQL, like what else an idle ticker calls all the time: a function in SQL is planned anew in each call.
create function pgagent.next_due(station text default null) returns timestamptz
language plpgsql volatile security definer  -- a ticker's role needs no right to the tables
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pgagent._batch_step b where b.outcome is not null) then
        return clock_timestamp();
    end if;
    return (select j.jobnextrun
              from pgagent._claimable_job j
             where j.jobnextrun < 'infinity'
               and j.jobhostagent in ('', coalesce(station, ''))
             order by j.jobnextrun
             limit 1);
end
$$;
comment on function pgagent.next_due(text) is
    'When run_due must be called again at the latest, for the jobs of any host and those of this station; null: nothing is scheduled.';
