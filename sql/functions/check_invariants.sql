-- One statement, one snapshot: what engines, tickers and clients commit together is seen together. Who was gone when it
-- began is not alive in it either, so sessions are looked at before the snapshot is taken; an agent that registered
-- after that look counts as alive. What an agent that is gone has left is no violation but work for the next run_due.
create function pgagent.check_invariants(latest_runs int4 default null)
returns table (invariant text, object text, detail text)
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
set jit = off  -- to compile so many rules takes longer than to look
as $$
declare
    looked constant timestamptz := clock_timestamp();
    standby constant bool := pg_is_in_recovery();
    first_run int4;
    locked regclass[];
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception using
            errcode = 'active_sql_transaction',
            message = 'cannot judge a snapshot that is older than the look at the sessions',
            hint = 'Call check_invariants in a transaction of isolation level READ COMMITTED.';
    end if;
    perform pg_stat_clear_snapshot();
    -- The sessions as they are now, for all of this transaction: _agent_is_alive sees them so.
    perform from pg_stat_get_activity(pg_backend_pid());
    first_run := case when latest_runs is null then -2147483648
                      else coalesce((select max(l.jlgid) from pgagent.pga_joblog l), 0) - greatest(latest_runs, 0) end;
    -- By transactions that may hold up what an engine has to write.
    locked := array(
        select l.relation::regclass
          from pg_locks l
         where l.database = (select d.oid from pg_database d where d.datname = current_database())
           and l.relation = any ('{pgagent.pga_job, pgagent.pga_jobsteplog, pgagent._batch_step}'::regclass[])
           and l.mode <> 'AccessShareLock'
           and l.granted
           and l.pid is distinct from pg_backend_pid());
    return query
    with agent as materialized (
        -- An agent that stands still writes nothing: its books are judged as of its last sign of life.
        select a.*, standby or a.jaglogintime >= looked or pgagent._agent_is_alive(a) as alive,
               least(looked, a.jagleaseuntil - t.agent_lease) as seen
          from pgagent.pga_jobagent a
         cross join pgagent.settings t
    ), open_run as materialized (
        select l.jlgid, l.jlgjobid, l.jlgstart
          from pgagent.pga_joblog l
         where l.jlgstatus = 'r' and l.jlgid > first_run
        union all
        -- What goes on since before these.
        select l.jlgid, l.jlgjobid, l.jlgstart
          from pgagent.pga_job j
         cross join lateral (
             select o.* from pgagent.pga_joblog o where o.jlgjobid = j.jobid order by o.jlgid desc limit 1) l
         where j.jobagentid is not null and l.jlgstatus = 'r' and l.jlgid <= first_run
    ), open_step as materialized (
        select s.jslid, s.jsljlgid, s.jslstart
          from pgagent.pga_jobsteplog s
         where s.jslstatus = 'r' and s.jsljlgid > first_run
    ), without_next_run as materialized (
        -- array_agg, because the next runs of many jobs are computed in one go.
        select array_agg(j.jobid) as jobids
          from pgagent.pga_job j
         where j.jobenabled
           and j.jobagentid is null
           and j.jobnextrun is null
           and exists (select from pgagent.pga_schedule s where s.jscjobid = j.jobid and s.jscenabled)
        having count(*) > 0
    )
    select 'an agent is gone: the next run_due cleans up', format('agent %s', a.jagpid),
           format('%s; it has claimed %s jobs and has %s batch steps, its lease ends at %s', a.jagstation,
                  (select count(*) from pgagent.pga_job j where j.jobagentid = a.jagpid),
                  (select count(*) from pgagent._batch_step b where b.agentid = a.jagpid),
                  coalesce(a.jagleaseuntil, a.jaglogintime))
      from agent a
     where not a.alive

    union all
    select 'a claimed job has a registered agent', format('job %s', j.jobid), format('claimed by %s', j.jobagentid)
      from pgagent.pga_job j
     where j.jobagentid is not null
       and not exists (select from agent a where a.jagpid = j.jobagentid)

    union all
    -- The end of a run is written before its job is freed, which may have to wait for a client's lock.
    select 'a claimed job has an open run', format('job %s', j.jobid),
           format('claimed by %s, which lives; its last run ended at %s', j.jobagentid, e.ended)
      from pgagent.pga_job j
      join agent a on a.jagpid = j.jobagentid
     cross join pgagent.settings t
     cross join lateral (
         select greatest(j.joblastrun, max(l.jlgstart + l.jlgduration)) as ended
           from pgagent.pga_joblog l
          where l.jlgjobid = j.jobid) e
     where a.alive
       and 'pgagent.pga_job'::regclass <> all (locked)
       and e.ended < a.seen - t.agent_lease
       and not exists (select from open_run r where r.jlgjobid = j.jobid)

    union all
    select 'a free job has no request left over', format('job %s', j.jobid), format('requested for %s', j.jobrequested)
      from pgagent.pga_job j
     where j.jobagentid is null
       and j.jobrequested is not null

    union all
    select 'a run that was asked for belongs to its job', format('job %s', j.jobid), format('run %s was promised', j.jobrunid)
      from pgagent.pga_job j
     where (j.jobrunid is not null or j.jobid in (select r.jobid from pgagent._run_request r))
       and j.jobrunid is distinct from (select r.jlgid from pgagent._run_request r where r.jobid = j.jobid)

    union all
    select 'a disabled job has no next run', format('job %s', j.jobid), format('its next run is %s', j.jobnextrun)
      from pgagent.pga_job j
     where not j.jobenabled
       and j.jobrunid is null
       and j.jobnextrun is not null

    union all
    select 'an enabled and free job has the next run that its schedules say', format('job %s', n.jobid),
           format('it should be %s', to_timestamp(n.epoch))
      from without_next_run w
     cross join unnest(w.jobids, pgagent._next_run_epochs(w.jobids, floor(date_part('epoch', looked)))) n (jobid, epoch)
     where n.epoch is not null

    union all
    select 'a job has at most one open run', format('job %s', r.jlgjobid),
           format('open runs: %s', string_agg(r.jlgid::text, ', ' order by r.jlgid))
      from open_run r
     group by r.jlgjobid
    having count(*) > 1

    union all
    select 'an open run belongs to a claimed job', format('run %s', r.jlgid),
           format('job %s is free; the run has started at %s', r.jlgjobid, r.jlgstart)
      from open_run r
      join pgagent.pga_job j on j.jobid = r.jlgjobid
     where j.jobagentid is null

    union all
    select 'an open step belongs to an open run', format('step log %s', s.jslid),
           format('run %s has the status %s', l.jlgid, l.jlgstatus)
      from open_step s
      join pgagent.pga_joblog l on l.jlgid = s.jsljlgid
     where l.jlgstatus <> 'r'

    union all
    -- The end of a step, too, may have to wait for a client's lock, while the run goes on.
    select 'a run has at most one open step', format('run %s', s.jsljlgid),
           format('open step logs: %s', string_agg(s.jslid::text, ', ' order by s.jslid))
      from open_step s
     where 'pgagent.pga_jobsteplog'::regclass <> all (locked)
     group by s.jsljlgid
    having count(*) > 1
       and max(s.jslstart) + (select t.agent_lease from pgagent.settings t)
           < (select coalesce(min(a.seen), looked)
                from pgagent.pga_joblog l
                join pgagent.pga_job j on j.jobid = l.jlgjobid
                join agent a on a.jagpid = j.jobagentid
               where l.jlgid = s.jsljlgid)

    union all
    -- Runs that pgAgent's own daemon has given up have none.
    select 'an ended run has a duration, not below zero', format('run %s', l.jlgid),
           format('status %s, duration %s', l.jlgstatus, coalesce(l.jlgduration::text, 'null'))
      from pgagent.pga_joblog l
     where l.jlgstatus <> 'r'
       and l.jlgid > first_run
       and not coalesce(l.jlgduration >= '0', l.jlgstatus = 'd')

    union all
    select 'an ended step has a duration, not below zero', format('step log %s', s.jslid),
           format('status %s, duration %s', s.jslstatus, coalesce(s.jslduration::text, 'null'))
      from pgagent.pga_jobsteplog s
     where s.jslstatus <> 'r'
       and s.jsljlgid > first_run
       and not coalesce(s.jslduration >= '0', s.jslstatus = 'd')

    union all
    -- The second: the end of a run is counted back from when it is written. Zero: the clock was set back.
    select 'no step begins after the end of its run', format('step log %s', s.jslid),
           format('begun at %s, run %s ended at %s', s.jslstart, l.jlgid, l.jlgstart + l.jlgduration)
      from pgagent.pga_jobsteplog s
      join pgagent.pga_joblog l on l.jlgid = s.jsljlgid
     where l.jlgstatus <> 'r'
       and l.jlgduration > '0'
       and s.jsljlgid > first_run
       and s.jslstart > l.jlgstart + l.jlgduration + interval '1 s'

    union all
    -- Of a step that was tried several times, the last attempt counts.
    select 'a run that has succeeded has no failed step', format('run %s', l.jlgid),
           format('step log %s has the status %s', s.jslid, s.jslstatus)
      from pgagent.pga_jobsteplog s
      join pgagent.pga_joblog l on l.jlgid = s.jsljlgid
     where s.jslstatus in ('f', 'd')
       and l.jlgstatus = 's'
       and s.jsljlgid > first_run
       and not exists (select from pgagent.pga_jobsteplog n
                        where n.jsljlgid = s.jsljlgid and n.jsljstid = s.jsljstid and n.jslid > s.jslid)

    union all
    -- A step whose end could not be written before its agent was lost is aborted like the run, which had gone on.
    select 'no step follows a failed one', format('run %s', s.jsljlgid),
           format('step log %s has the status %s, step log %s came after it', s.jslid, s.jslstatus, n.jslid)
      from pgagent.pga_jobsteplog s
     cross join lateral (
         select m.jslid, m.jsljstid
           from pgagent.pga_jobsteplog m
          where m.jsljlgid = s.jsljlgid and m.jslid > s.jslid
          order by m.jslid
          limit 1) n
      join pgagent.pga_joblog l on l.jlgid = s.jsljlgid
     where (s.jslstatus = 'f' or s.jslstatus = 'd' and l.jlgstatus not in ('d', 'r'))
       and n.jsljstid <> s.jsljstid
       and s.jsljlgid > first_run

    union all
    -- The row of a run that was given up waits to be removed: by an engine if its step has ended, or for a lock.
    select 'a batch step in the queue belongs to an open run', format('step log %s', b.jslid),
           format('run %s of job %s has the status %s', b.jlgid, b.jobid, l.jlgstatus)
      from pgagent._batch_step b
      join pgagent.pga_joblog l on l.jlgid = b.jlgid
      join agent a on a.jagpid = b.agentid
     where b.outcome is null
       and l.jlgstatus <> 'r'
       and a.alive
       and 'pgagent._batch_step'::regclass <> all (locked)

    union all
    select 'an agent is gone: the next run_due cleans up', format('step log %s', b.jslid),
           format('a batch step in the queue, of agent %s', b.agentid)
      from pgagent._batch_step b
     where b.outcome is null
       and not exists (select from agent a where a.jagpid = b.agentid)

    order by 1, 2;
end
$$;
comment on function pgagent.check_invariants(int4) is
    'What is not as it must be: the rule that is broken, the row that breaks it, how; no row when all is well. '
    'latest_runs: of the logs, look at so many of the latest runs only, and what goes on; null: at all. '
    'May be called at any moment. A row "an agent is gone" is no fault: the next run_due of any agent cleans up.';
