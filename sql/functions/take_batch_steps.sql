create function pgagent.take_batch_steps(station text, most int4)
returns table (
    jslid int4, jlgid int4, jobid int4, jobname text, jstid int4, jstname text, code text, output_limit int4,
    time_limit interval, due timestamptz
)
language plpgsql volatile security definer  -- a ticker's role needs no right to the tables
set search_path = pg_catalog, pg_temp
set lock_timeout = '500 ms'  -- a ticker's session must not stand still for one row
as $$
#variable_conflict use_column
declare
    me constant int4 := pg_backend_pid();
begin
    if pg_is_in_recovery() then
        return;
    end if;
    -- An idle ticker asks often: it writes nothing.
    if not exists (select
                     from pgagent.pga_jobagent a
                     join pg_stat_get_activity(me) s on s.backend_start = a.jagbackendstart
                    where a.jagpid = me
                      and a.jagtakesbatch
                      and a.jagstation = coalesce(take_batch_steps.station, '')) then
        insert into pgagent.pga_jobagent as a (jagpid, jaglogintime, jagstation, jagbackendstart, jagtakesbatch)
        select me, clock_timestamp(), coalesce(take_batch_steps.station, ''), s.backend_start, true
          from pg_stat_get_activity(me) s
        on conflict (jagpid) do update
           set jagtakesbatch = true, jagstation = excluded.jagstation
         where a.jagbackendstart = excluded.jagbackendstart;
        if not found then
            -- A dead agent had this pid: its row stands until an engine has cleaned up after it.
            return;
        end if;
    end if;
    if not exists (select from pgagent._batch_step b where not b.taken or b.agentid = me) then
        return;
    end if;
    update pgagent.pga_jobagent a
       set jagleaseuntil = clock_timestamp() + t.agent_lease
      from pgagent.settings t
     where a.jagpid = me
       and coalesce(a.jagleaseuntil not between clock_timestamp() + t.agent_lease * 0.75 and clock_timestamp() + t.agent_lease, true)
       and a.jagleaseuntil is distinct from '-infinity';
    -- The right to run programs may be gone since the step was written.
    with refused as (
        update pgagent._batch_step b
           set outcome = 'f'
         where b.jslid in (select k.jslid
                             from pgagent._batch_step k
                            where not k.taken
                              and k.outcome is null
                              and k.jobhostagent in ('', take_batch_steps.station)
                              and not pgagent._may_run_programs(k.owner)
                              for update skip locked)
        returning b.jslid, b.owner, b.steps -> 0 ->> 'on_error' as on_error
    )
    update pgagent.pga_jobsteplog l
       set jslstatus = r.on_error, jslduration = clock_timestamp() - l.jslstart,
           jsloutput = format('role "%s" may not own a job with batch steps: GRANT pg_execute_server_program TO %I allows it',
                              r.owner, r.owner)
      from refused r
     where l.jslid = r.jslid and l.jslstatus = 'r';
    if found then
        perform pg_notify('pgagent_due', '');
    end if;
    return query
    with waiting as (
        select b.jslid, b.jobid
          from pgagent._batch_step b
         where not b.taken
           and b.outcome is null
           and b.jobhostagent in ('', take_batch_steps.station)
           and coalesce((select l.jlgstatus = 'r' from pgagent.pga_joblog l where l.jlgid = b.jlgid), true)
         order by b.jslid
         limit most
           for update skip locked
    ), held as (
        -- A job row that a client has locked: its step is taken later.
        select j.jobid
          from pgagent.pga_job j
         where j.jobid in (select w.jobid from waiting w)
           for no key update skip locked
    ), taken as (
        update pgagent._batch_step b
           set taken = true, agentid = me
          from waiting w
         where b.jslid = w.jslid
           and (b.jobid in (select h.jobid from held h)
                or not exists (select from pgagent.pga_job j where j.jobid = b.jobid))
        returning b.*
    ), adopted as (
        update pgagent.pga_job j
           set jobagentid = me
          from taken t
         where j.jobid = t.jobid
           and j.jobagentid is not null
    ), begun as (
        update pgagent.pga_jobsteplog l
           set jslstart = clock_timestamp()
          from taken t
         where l.jslid = t.jslid
           and l.jslid in (select k.jslid from pgagent.pga_jobsteplog k
                            where k.jslid in (select u.jslid from taken u)
                              for no key update skip locked)
    )
    select t.jslid, t.jlgid, t.jobid, t.jobname, (t.steps -> 0 ->> 'jstid')::int4, t.steps -> 0 ->> 'name',
           t.steps -> 0 ->> 'code', s.output_limit,
           least(make_interval(secs => (t.steps -> 0 ->> 'timeout_seconds')::float8),
                 t.started + t.timeout - clock_timestamp()),
           t.due
      from taken t
     cross join pgagent.settings s
     order by t.jslid;
end
$$;
comment on function pgagent.take_batch_steps(text, int4) is
    'Hands waiting batch steps to the calling session, which answers for them: if it ends before finish_batch_step, they are aborted; '
    'so they are if it does not call again within agent_lease. time_limit: how long the script may run; null: for ever. '
    'station: the ticker''s host; most: how many at the most.';
