-- A job whose state changes to and fro is told of once per settings.event_interval; what is different then is told then.
create function pgagent._tell_alarms(jobids int4[] default null) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    told record;
begin
    for told in
        with due as (
            select a.jobid, a.kind, a.jlgid, a.detail
              from pgagent._alarm a
             cross join pgagent.settings t
             where (jobids is null or a.jobid = any (jobids))
               and a.kind is distinct from a.told
               and (a.kind = 'disabled' or coalesce(a.told_at <= clock_timestamp() - t.event_interval, true))
               for update of a skip locked
        ), marked as (
            update pgagent._alarm a
               set told = d.kind, told_at = clock_timestamp()
              from due d
             where a.jobid = d.jobid
        )
        insert into pgagent.event as e (evtkind, evtjobid, evtjobname, evtjlgid, evtdetail)
        select d.kind, d.jobid, coalesce(j.jobname, ''), d.jlgid, d.detail
          from due d
          left join pgagent.pga_job j on j.jobid = d.jobid
         order by d.jobid
        returning e.*
    loop
        -- Anybody may listen: names and reasons are in the table, where policies hold.
        perform pg_notify('pgagent_event', json_build_object(
            'id', told.evtid, 'time', told.evttime, 'event', told.evtkind, 'jobid', told.evtjobid,
            'run', told.evtjlgid)::text);
    end loop;
end
$$;
comment on function pgagent._tell_alarms(int4[]) is
    'Writes an event, and notifies, for each of these jobs (null: all) whose state has changed since it was last told.';
