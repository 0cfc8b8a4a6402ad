create function pgagent._note_ends(runs int4[]) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into pgagent._alarm as a (jobid, kind, jlgid, detail)
    select distinct on (l.jlgjobid) l.jlgjobid,
           case when l.jlgstatus = 'd' then 'aborted'
                when l.jlgduration >= j.jobtimeout
                  or exists (select
                               from pgagent.pga_jobsteplog s
                               join pgagent.pga_jobstep p on p.jstid = s.jsljstid
                              where s.jsljlgid = l.jlgid and s.jslstatus = 'f' and s.jslduration >= p.jsttimeout)
                then 'timed out'
                else 'failed' end,
           l.jlgid, l.jlgreason
      from pgagent.pga_joblog l
      left join pgagent.pga_job j on j.jobid = l.jlgjobid
     where l.jlgid = any (runs) and l.jlgstatus in ('f', 'i', 'd')
     order by l.jlgjobid, l.jlgid desc
        on conflict (jobid) do update
           set kind = excluded.kind, jlgid = excluded.jlgid, detail = excluded.detail;
    update pgagent._alarm a
       set kind = 'recovered', jlgid = l.jlgid, detail = null
      from pgagent.pga_joblog l
     where l.jlgid = any (runs) and l.jlgstatus = 's' and a.jobid = l.jlgjobid and a.kind <> 'recovered';
    perform pgagent._tell_alarms(array(select l.jlgjobid from pgagent.pga_joblog l where l.jlgid = any (runs)));
end
$$;
comment on function pgagent._note_ends(int4[]) is 'Notes how jobs fare whose runs have just ended, and tells what is new.';

create function pgagent.pga_joblog_trigger() returns trigger
language plpgsql volatile security definer  -- an event is told whoever ends the run
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from ended e
                where e.jlgstatus in ('f', 'i', 'd')
                   or e.jlgstatus = 's' and exists (select from pgagent._alarm a where a.jobid = e.jlgjobid)) then
        begin
            perform pgagent._note_ends(array(
                select e.jlgid from ended e join open o on o.jlgid = e.jlgid
                 where o.jlgstatus = 'r' and e.jlgstatus <> 'r'));
        exception when others then
            raise warning using
                errcode = sqlstate,
                message = format('could not tell of the end of a run: %s', sqlerrm),
                hint = 'The log of the run is complete; only its event is missing.';
        end;
    end if;
    return null;
end
$$;
comment on function pgagent.pga_joblog_trigger() is 'Tells events of runs that have ended, and loses no end for the sake of an event.';

create trigger pga_joblog_event
    after update on pgagent.pga_joblog
    referencing old table as open new table as ended
    for each statement execute function pgagent.pga_joblog_trigger();
comment on trigger pga_joblog_event on pgagent.pga_joblog is 'Tells events of runs that have ended.';
