create function pgagent._watch_jobs() returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '500 ms'
as $$
begin
    if pg_is_in_recovery() then
        return;
    end if;
    insert into pgagent._alarm as a (jobid, kind, detail)
    select j.jobid, 'overdue', format('due since %s, and not started', date_trunc('second', j.jobnextrun))
      from pgagent.pga_job j
     cross join pgagent.settings t
     where j.jobenabled
       and j.jobagentid is null
       and j.jobnextrun < clock_timestamp() - t.overdue_after
       and not exists (select from pgagent._alarm k where k.jobid = j.jobid and k.kind in ('overdue', 'disabled'))
     order by j.jobnextrun
     limit 1000
        on conflict (jobid) do update
           set kind = 'overdue', jlgid = null, detail = excluded.detail;
    update pgagent._alarm a
       set kind = 'recovered', detail = 'no longer overdue'
      from pgagent.pga_job j
     cross join pgagent.settings t
     where a.kind = 'overdue'
       and j.jobid = a.jobid
       and j.jobagentid is null
       and not coalesce(j.jobenabled and j.jobnextrun < clock_timestamp() - t.overdue_after, false);
    perform pgagent._tell_alarms();
    delete from pgagent._alarm a
     using pgagent.settings t
     where a.kind = 'recovered' and a.told = 'recovered' and a.told_at < clock_timestamp() - t.event_interval
        or not exists (select from pgagent.pga_job j where j.jobid = a.jobid);
    -- Ids grow with time: only the first ones are looked at.
    delete from pgagent.event e
     where e.evtid in (select k.evtid
                         from pgagent.event k
                        cross join pgagent.settings t
                        where k.evtid <= (select max(f.evtid)
                                            from (select o.evtid from pgagent.event o order by o.evtid limit 1000) f)
                          and k.evttime < now() - least(t.keep_events, '4000 years')
                          for update of k skip locked);
end
$$;
comment on function pgagent._watch_jobs() is
    'Finds the jobs that are overdue, tells the events that had to wait, forgets those that are old enough. Engines call it.';
