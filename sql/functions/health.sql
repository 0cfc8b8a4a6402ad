-- Every matter has a function of its own; the instant of the look is their parameter. They lock nothing, and read the
-- logs by index: (jlgjobid, jlgid) for what a job has done, jlgid for the oldest and the latest runs.

create function pgagent._job_label(jobid int4, jobname text) returns text
language sql immutable parallel safe security invoker
set search_path = pg_catalog, pg_temp
as $$ select format('"%s" (%s)', left(jobname, 80), jobid) $$;
comment on function pgagent._job_label(int4, text) is 'A job in the words of health.';

create function pgagent._finding(
    topic text, severity text, found text, items text[], total int8, nothing text, cure text
)
returns table (matter text, status text, detail text, remedy text)
language sql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select topic,
           case when total = 0 then 'OK' else severity end,
           case when total = 0 then nothing
                else format('%s %s: %s', total, found, array_to_string(items[1:5], '; '))
                     || case when total > 5 then format('; and %s more', total - 5) else '' end
           end,
           case when total > 0 then cure end
$$;
comment on function pgagent._finding(text, text, text, text[], int8, text, text) is
    'A row of health: the number of things found and the first five of them, or that there are none.';

create function pgagent._living_agents() returns setof pgagent.pga_jobagent
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select a.* from pgagent.pga_jobagent a where pg_is_in_recovery() or pgagent._agent_is_alive(a) $$;
comment on function pgagent._living_agents() is
    'The agents that are alive; on a standby, which cannot know, all of them.';

-- The xmax of a row that is locked or changed is the id of that transaction, unless several share the row.
create function pgagent._open_transactions() returns xid[]
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select array(select l.transactionid
                   from pg_locks l
                  where l.locktype = 'transactionid' and l.granted and l.pid is distinct from pg_backend_pid())
$$;
comment on function pgagent._open_transactions() is 'The transactions of other sessions that may hold locks of rows.';

create function pgagent._free_connections() returns int4
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select current_setting('max_connections')::int4
           - current_setting('superuser_reserved_connections')::int4
           - coalesce(current_setting('reserved_connections', true), '0')::int4
           - t.reserved_connections
           - (select count(*) from pg_stat_get_activity(null) s where s.backend_type = 'client backend')::int4
      from pgagent.settings t
$$;
comment on function pgagent._free_connections() is 'How many connections the engines may still open.';

-- Runs that wait for a ticker have left their engine.
create function pgagent._engines_are_busy() returns bool
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_and(r.runs >= t.parallel_runs) or pgagent._free_connections() <= 0, false)
      from pgagent._living_agents() a
     cross join pgagent.settings t
     cross join lateral (
         select count(*) as runs
           from pgagent.pga_job j
          where j.jobagentid = a.jagpid
            and not exists (select from pgagent._batch_step b where b.jobid = j.jobid)) r
     where not a.jagtakesbatch
$$;
comment on function pgagent._engines_are_busy() is
    'Whether there are engines, and all of them have as many runs as the settings and the server''s connections allow.';

create function pgagent._waiting_job(looked timestamptz) returns table (jobid int4, jobname text, due timestamptz)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with living as materialized (
        select a.jagstation from pgagent._living_agents() a
    ), open_transaction as materialized (
        select pgagent._open_transactions() as ids
    )
    select c.jobid, c.jobname, c.jobnextrun
      from pgagent._claimable_job c
      join pgagent.pga_job j on j.jobid = c.jobid
     where c.jobnextrun <= looked
       and (c.jobhostagent = ''
            or c.jobhostagent in (select l.jagstation from living l)
            or not exists (select from living))
       and j.xmax <> all ((select t.ids from open_transaction t)::xid[])
     order by c.jobnextrun, c.jobid
     limit 1
$$;
comment on function pgagent._waiting_job(timestamptz) is
    'The job that has been due for the longest time although nothing but a lack of agents keeps it from running.';

create function pgagent._health_agents(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with agent as materialized (
        select a.*, l.jagpid is not null as alive
          from pgagent.pga_jobagent a
          left join pgagent._living_agents() l on l.jagpid = a.jagpid
    ), number as (
        select count(*) filter (where alive and jagbackendstart is not null and not jagtakesbatch) as engines,
               count(*) filter (where alive and jagtakesbatch) as tickers,
               count(*) filter (where alive and jagbackendstart is null) as daemons,
               -- Cleaned up within seconds, as a rule. When it went is not known, but its lease has ended since.
               count(*) filter (
                   where not alive
                     and coalesce(jagleaseuntil, jaglogintime) < looked - interval '10 s'
                     and (exists (select from pgagent.pga_job j where j.jobagentid = jagpid)
                          or exists (select from pgagent._batch_step b where b.agentid = jagpid and b.outcome is null))
               ) as dead
          from agent
    ), state as (
        select n.*,
               n.engines + n.tickers + n.daemons > 0
               -- A ticker that takes no batch steps registers itself only when it has something to run.
               or exists (select
                            from pg_stat_activity s
                           where s.datname = current_database() and s.application_name = 'pgagent-ticker') as are_there,
               exists (select
                         from pgagent.pga_job j
                        where j.jobenabled and j.jobagentid is null and j.jobnextrun < 'infinity')
               or exists (select from pgagent.pga_job j where j.jobagentid is not null) as has_work,
               w.*,
               l.claimed,
               w.due < looked - interval '2 min'
               and coalesce(l.claimed < looked - interval '2 min', true)
               and not pgagent._engines_are_busy() as stands_still
          from number n
          left join pgagent._waiting_job(looked) w on true
          left join (select o.jlgstart as claimed from pgagent.pga_joblog o order by o.jlgid desc limit 1) l on true
    )
    select 'agents',
           case when s.stands_still then 'CRITICAL'
                when s.has_work and not s.are_there or s.dead > 0 then 'WARNING'
                else 'OK' end,
           concat_ws('; ',
               format('alive: %s engines, %s tickers', s.engines, s.tickers)
                   || case when s.daemons > 0 then format(', %s daemons of pgAgent', s.daemons) else '' end,
               case when s.are_there and s.engines + s.tickers + s.daemons = 0
                    then 'a ticker without batch steps is connected' end,
               case when s.dead > 0 then format('gone, and not cleaned up after: %s', s.dead) end,
               case when s.stands_still
                    then format('job %s has been due since %s, and none has been claimed since %s',
                                pgagent._job_label(s.jobid, s.jobname), date_trunc('second', s.due),
                                coalesce(date_trunc('second', s.claimed)::text, 'the beginning'))
                    when s.has_work and not s.are_there then 'jobs are scheduled' end),
           case when (s.stands_still or s.dead > 0 or s.has_work) and not s.are_there
                then 'Start pgagent-ticker, or call pgagent.run_due(); if it is running, its log says what is wrong.'
                when s.stands_still or s.dead > 0
                then 'See in the logs of ticker and server why run_due claims nothing; restart the ticker.' end
      from state s
$$;
comment on function pgagent._health_agents(timestamptz) is 'health: whether there are agents, and whether they work.';

create function pgagent._why_waiting(job int4) returns text
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (select format('no agent on host "%s"', j.jobhostagent)
          where j.jobhostagent <> ''
            and not exists (select from pgagent._living_agents() a where a.jagstation = j.jobhostagent)),
        (select format('job %s holds lock "%s"', pgagent._job_label(o.jobid, o.jobname), k.name)
           from pgagent.pga_job o
          cross join unnest(o.joblocks) k (name)
          where o.jobagentid is not null and k.name = any (j.joblocks)
          order by o.jobid
          limit 1),
        (select format('%s jobs of class "%s" run, which is its limit', r.runs, c.jclname)
           from pgagent.pga_jobclass c
          cross join lateral (
              select count(*) as runs
                from pgagent.pga_job o
               where o.jobagentid is not null and o.jobjclid = c.jclid) r
          where c.jclid = j.jobjclid and c.jclmaxruns <= r.runs),
        (select format('%s jobs run, which is the limit total_runs', r.runs)
           from pgagent.settings t
          cross join (select count(*) as runs from pgagent.pga_job o where o.jobagentid is not null) r
          where t.total_runs <= r.runs),
        (select format('its row is locked by the session with pid %s', l.pid)
           from pg_locks l
          where l.locktype = 'transactionid' and l.granted and l.transactionid = j.xmax
            and l.pid is distinct from pg_backend_pid()
          limit 1),
        (select format('table pga_job is locked by the session with pid %s', l.pid)
           from pg_locks l
          where l.relation = 'pgagent.pga_job'::regclass
            and l.database = (select d.oid from pg_database d where d.datname = current_database())
            and l.granted
            and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            and l.pid is distinct from pg_backend_pid()
          limit 1),
        (select 'no agent is alive' where not exists (select from pgagent._living_agents())),
        (select 'no connection is free for the engines' where pgagent._free_connections() <= 0),
        (select 'every engine has parallel_runs runs' where pgagent._engines_are_busy()),
        'no reason to be seen')
      from pgagent.pga_job j
     where j.jobid = job
$$;
comment on function pgagent._why_waiting(int4) is 'Why a job that is due does not run, as far as it can be seen.';

create function pgagent._health_overdue_jobs(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with first as materialized (
        select j.jobid, j.jobname, j.jobnextrun
          from pgagent.pga_job j
         where j.jobenabled and j.jobagentid is null and j.jobnextrun < looked - interval '1 min'
         order by j.jobnextrun, j.jobid
         limit 5
    )
    select f.*
      from pgagent._finding(
               'overdue jobs', 'WARNING', 'due for more than a minute',
               array(select format('%s since %s, %s', pgagent._job_label(j.jobid, j.jobname),
                                   date_trunc('second', j.jobnextrun), pgagent._why_waiting(j.jobid))
                       from first j
                      order by j.jobnextrun, j.jobid),
               (select count(*)
                  from pgagent.pga_job j
                 where j.jobenabled and j.jobagentid is null and j.jobnextrun < looked - interval '1 min'),
               'no job has been due for more than a minute',
               'Remove what the detail names: start a ticker on that host, end the transaction or the run that holds '
               'the lock, raise jclmaxruns, total_runs or parallel_runs.') f
$$;
comment on function pgagent._health_overdue_jobs(timestamptz) is
    'health: jobs that are free and enabled, and should run.';

create function pgagent._health_batch_steps(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with ticker as materialized (
        select a.jagstation from pgagent._living_agents() a where a.jagtakesbatch
    ), waiting as (
        select b.jobhostagent as host,
               coalesce(l.jslstart, b.started) as since,
               exists (select from ticker k where b.jobhostagent in ('', k.jagstation)) as has_ticker
          from pgagent._batch_step b
          left join pgagent.pga_jobsteplog l on l.jslid = b.jslid
         where not b.taken
           and b.outcome is null
    ), host as (
        select case when w.host = '' then 'any host' else format('host "%s"', w.host) end
               || format(': %s since %s, ', count(*), date_trunc('second', min(w.since)))
               || case when w.has_ticker then 'its ticker is busy or stuck' else 'no ticker' end as item,
               min(w.since) as since,
               count(*) as steps
          from waiting w
         where w.since < looked - interval '1 min'
         group by w.host, w.has_ticker
    )
    select f.*
      from pgagent._finding(
               'batch steps', 'WARNING', 'hosts where batch steps have waited for more than a minute',
               array(select h.item from host h order by h.since, h.item limit 5),
               (select count(*) from host),
               format('no batch step has waited for a ticker for more than a minute; with tickers or just come: %s',
                      (select count(*) from pgagent._batch_step)),
               'Start pgagent-ticker on that host, without --no-batch; --station sets the name of its host.') f
$$;
comment on function pgagent._health_batch_steps(timestamptz) is 'health: batch steps that no ticker takes.';

-- Of the job's last 200 runs, so that a job with thousands of failures costs no more than another.
create function pgagent._usual_longest(job int4) returns interval
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select max(s.jlgduration)
      from (select r.jlgduration
              from (select l.jlgid, l.jlgstatus, l.jlgduration
                      from pgagent.pga_joblog l
                     where l.jlgjobid = job
                     order by l.jlgid desc
                     limit 200) r
             where r.jlgstatus = 's'
             order by r.jlgid desc
             limit 20) s
$$;
comment on function pgagent._usual_longest(int4) is 'The longest of the last 20 succeeded runs of a job.';

-- pgAgent's own daemon knows no jobtimeout.
create function pgagent._health_long_runs(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with run as materialized (
        select j.jobid, j.jobname, j.jobtimeout, l.jlgid, looked - l.jlgstart as lasts,
               coalesce(looked - l.jlgstart > j.jobtimeout + interval '1 min' and a.jagbackendstart is not null, false)
                   as is_over
          from pgagent.pga_job j
          left join pgagent.pga_jobagent a on a.jagpid = j.jobagentid
         cross join lateral (
             select o.jlgid, o.jlgstatus, o.jlgstart
               from pgagent.pga_joblog o
              where o.jlgjobid = j.jobid
              order by o.jlgid desc
              limit 1) l
         where j.jobagentid is not null
           and l.jlgstatus = 'r'
    ), long as materialized (
        select r.*, u.longest
          from run r
         cross join lateral (
             select case when r.lasts > interval '10 min' then pgagent._usual_longest(r.jobid) end as longest) u
         where r.is_over
            or r.lasts > 10 * u.longest
    )
    select f.*
      from pgagent._finding(
               'long runs', case when exists (select from long where is_over) then 'CRITICAL' else 'WARNING' end,
               'too long',
               array(select format('run %s of %s for %s, ', l.jlgid, pgagent._job_label(l.jobid, l.jobname),
                                   date_trunc('second', l.lasts))
                            || case when l.is_over then format('jobtimeout is %s', l.jobtimeout)
                                    else format('the longest of the last that succeeded took %s',
                                                date_trunc('second', l.longest)) end
                       from long l
                      order by l.is_over desc, l.lasts desc, l.jlgid
                      limit 5),
               (select count(*) from long),
               format('runs that go on: %s, none for too long', (select count(*) from run)),
               'Look at what the step waits for (pg_stat_activity, application_name pgagent_py step ...); '
               'pgagent.cancel_run(run) ends it.') f
$$;
comment on function pgagent._health_long_runs(timestamptz) is
    'health: runs longer than their jobtimeout, or than ten times what is usual and at least ten minutes.';

-- A run of a failing job is among the latest runs that failed, or the job has not run since those began. Only such jobs
-- are looked at one by one.
create function pgagent._jobs_that_may_fail() returns setof int4
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select l.jlgjobid
      from (select o.jlgjobid, o.jlgstatus from pgagent.pga_joblog o order by o.jlgid desc limit 100000) l
     where l.jlgstatus in ('f', 'i', 'd')
    union
    select j.jobid
      from pgagent.pga_job j
     where j.jobenabled
       and j.joblastrun < (
               select o.jlgstart + interval '1 min'
                 from pgagent.pga_joblog o
                where o.jlgid > (select max(m.jlgid) - 100000 from pgagent.pga_joblog m)
                order by o.jlgid
                limit 1)
       and (select o.jlgstatus
              from pgagent.pga_joblog o
             where o.jlgjobid = j.jobid
             order by o.jlgid desc
             limit 1) in ('f', 'i', 'd', 'r')
$$;
comment on function pgagent._jobs_that_may_fail() is
    'The jobs whose last runs may all have failed: all of those, and others.';

create function pgagent._health_failing_jobs()
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with failing as materialized (
        select j.jobid, j.jobname, r.jlgid, r.jlgstart
          from pgagent._jobs_that_may_fail() f (jobid)
          join pgagent.pga_job j on j.jobid = f.jobid
         cross join lateral (
             select max(l.jlgid) as jlgid, max(l.jlgstart) as jlgstart
               from (select o.jlgid, o.jlgstart, o.jlgstatus
                       from pgagent.pga_joblog o
                      where o.jlgjobid = j.jobid and o.jlgstatus <> 'r'
                      order by o.jlgid desc
                      limit 3) l
             having count(*) filter (where l.jlgstatus <> 's') = 3) r
         where j.jobenabled
    )
    select f.*
      from pgagent._finding(
               'failing jobs', 'WARNING', 'whose last three runs or more have not succeeded',
               array(select format('%s, the last was run %s at %s', pgagent._job_label(j.jobid, j.jobname), j.jlgid,
                                   date_trunc('second', j.jlgstart))
                       from failing j
                      order by j.jlgid desc
                      limit 5),
               (select count(*) from failing),
               'no enabled job has failed three times in a row',
               'pga_jobsteplog.jsloutput of that run (jsljlgid) says why.') f
$$;
comment on function pgagent._health_failing_jobs() is
    'health: enabled jobs whose last three runs have failed or were aborted.';

create function pgagent._health_disabled_jobs()
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with disabled as materialized (
        select j.jobid, j.jobname, j.jobdisabledreason
          from pgagent.pga_job j
         where not j.jobenabled and j.jobdisabledreason is not null
    )
    select f.*
      from pgagent._finding(
               'disabled jobs', 'WARNING', 'disabled by the engine',
               array(select format('%s, %s', pgagent._job_label(j.jobid, j.jobname), j.jobdisabledreason)
                       from disabled j
                      order by j.jobid
                      limit 5),
               (select count(*) from disabled),
               'the engine has disabled no job',
               'Mend the job, then UPDATE pgagent.pga_job SET jobenabled = true WHERE jobid = ...; '
               'jobdisabledreason = null instead, if it is to stay disabled.') f
$$;
comment on function pgagent._health_disabled_jobs() is 'health: jobs that the engine has disabled.';

-- A schedule that has ended has done what it should.
create function pgagent._health_idle_jobs(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with idle as materialized (
        select j.jobid, j.jobname, s.jscid, s.jscname
          from pgagent.pga_job j
         cross join lateral (
             select c.jscid, c.jscname
               from pgagent.pga_schedule c
              where c.jscjobid = j.jobid and c.jscenabled and coalesce(c.jscend > looked, true)
              order by c.jscid
              limit 1) s
         where j.jobenabled
           and j.jobagentid is null
           and (j.jobnextrun is null or j.jobnextrun = 'infinity')
    )
    select f.*
      from pgagent._finding(
               'jobs that never run', 'WARNING', 'without a next run',
               array(select format('%s with schedule "%s" (%s)', pgagent._job_label(j.jobid, j.jobname),
                                   left(j.jscname, 80), j.jscid)
                       from idle j
                      order by j.jobid
                      limit 5),
               (select count(*) from idle),
               'every enabled job with an enabled schedule has a next run',
               'pgagent.explain_schedule(schedule) says why; UPDATE pgagent.pga_job SET jobnextrun = null '
               'computes the next run anew.') f
$$;
comment on function pgagent._health_idle_jobs(timestamptz) is
    'health: enabled jobs with an enabled schedule, not ended, and no next run.';

create function pgagent._health_lag(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'lag',
           case when w.due < looked - interval '10 min' then 'CRITICAL'
                when w.due < looked - interval '1 min' then 'WARNING'
                else 'OK' end,
           case when w.due is null then 'no job waits for an agent'
                else format('%s: job %s has waited longest for an agent, since %s',
                            date_trunc('second', looked - w.due), pgagent._job_label(w.jobid, w.jobname),
                            date_trunc('second', w.due)) end,
           case when w.due < looked - interval '1 min' and pgagent._engines_are_busy()
                then 'Raise pgagent.settings.parallel_runs and the server''s max_connections, or start another ticker.'
                when w.due < looked - interval '1 min'
                then 'See to the agents: their row here says how they are.' end
      from (select) one
      left join pgagent._waiting_job(looked) w on true
$$;
comment on function pgagent._health_lag(timestamptz) is
    'health: for how long a job has waited that nothing but a lack of agents keeps from running.';

create function pgagent._health_next_wakeup(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'next wake-up', 'OK',
           case when exists (select from pgagent._batch_step b where b.outcome is not null)
                then 'now, for runs whose batch step has ended'
                when j.jobid is null then 'nothing is scheduled'
                else format('%s, for job %s', case when j.jobnextrun <= looked then 'now'
                                                  else date_trunc('second', j.jobnextrun)::text end,
                            pgagent._job_label(j.jobid, j.jobname))
                     || case when j.jobhostagent = '' then '' else format(' on host "%s"', j.jobhostagent) end end,
           null
      from (select) one
      left join (
          select c.jobid, c.jobname, c.jobnextrun, c.jobhostagent
            from pgagent._claimable_job c
           where c.jobnextrun < 'infinity'
           order by c.jobnextrun, c.jobid
           limit 1) j on true
$$;
comment on function pgagent._health_next_wakeup(timestamptz) is
    'health: when run_due is to be called next, for which job.';

create function pgagent._is_known_zone(name text) returns bool
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._zone_name(name);
    return true;
exception
    when invalid_parameter_value then
        return false;
end
$$;
comment on function pgagent._is_known_zone(text) is 'Whether the server and its Python know a time zone of this name.';

create function pgagent._conninfo_settings(conninfo text) returns table (keyword text, value text)
language plpython3u volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.target").parse(conninfo).items()
$$;
comment on function pgagent._conninfo_settings(text) is
    'The settings that a connection string names, as libpq reads it; error 38000 if it cannot.';

-- A host name may be this server's; a directory or a port that it does not use cannot. The directories are shown to
-- members of pg_read_all_settings only.
create function pgagent._conninfo_fault(conninfo text) returns text
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    fault text;
begin
    select format('conninfo names %s %s, which this server does not use', c.keyword, c.value)
      into fault
      from pgagent._conninfo_settings(conninfo) c
     where c.keyword = 'port' and c.value <> current_setting('port')
        or c.keyword = 'host'
           and c.value like '/%'
           and rtrim(c.value, '/') <> all (
                   (select array_agg(rtrim(btrim(d), '/'))
                      from pg_settings g
                     cross join unnest(string_to_array(g.setting, ',')) d
                     where g.name = 'unix_socket_directories')::text[])
     limit 1;
    return fault;
exception
    when external_routine_exception then
        return case when sqlerrm ~ 'InvalidTarget' then 'conninfo is not a valid connection string: '
                    else 'the server''s Python cannot read conninfo: ' end
               || btrim(regexp_replace(sqlerrm, '^[^:]*: ', ''), e' \n');
end
$$;
comment on function pgagent._conninfo_fault(text) is
    'What is wrong with a connection string back to this server; null: nothing to be seen.';

create function pgagent._setting_faults() returns table (severity text, fault text, cure text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'WARNING', 'the server is a standby, which runs nothing', 'Call health() on the primary.'
     where pg_is_in_recovery()
    union all
    select 'CRITICAL', format('timezone "%s" is not known', t.timezone),
           'UPDATE pgagent.settings SET timezone = ...; SELECT name FROM pg_timezone_names lists the names.'
      from pgagent.settings t
     where not pgagent._is_known_zone(t.timezone)
    union all
    select 'CRITICAL', format('jsctimezone "%s" of %s schedules is not known', z.jsctimezone, z.schedules),
           'UPDATE pgagent.pga_schedule SET jsctimezone = ...; SELECT name FROM pg_timezone_names lists the names.'
      from (select s.jsctimezone, count(*) as schedules
              from pgagent.pga_schedule s
             where s.jscenabled and s.jsctimezone is not null
             group by s.jsctimezone) z
     where not pgagent._is_known_zone(z.jsctimezone)
    union all
    select 'CRITICAL', f.fault,
           'Run on this server: UPDATE pgagent.settings SET conninfo = ''user=postgres'', for example, or ''''; '
           'its Python needs psycopg 3 (python3-psycopg).'
      from pgagent.settings t
     cross join lateral (select pgagent._conninfo_fault(t.conninfo) as fault) f
     where f.fault is not null
    union all
    select 'WARNING',
           format('parallel_runs (%s), reserved_connections (%s) and the server''s reserved connections (%s) are more '
                  'than max_connections (%s)',
                  t.parallel_runs, t.reserved_connections, r.reserved, current_setting('max_connections')),
           'Raise max_connections, or lower parallel_runs or reserved_connections in pgagent.settings.'
      from pgagent.settings t
     cross join (
         select current_setting('superuser_reserved_connections')::int4
                + coalesce(current_setting('reserved_connections', true), '0')::int4 as reserved) r
     where t.parallel_runs + t.reserved_connections + r.reserved > current_setting('max_connections')::int4
    union all
    select 'WARNING', 'total_runs is 0: no job runs', 'UPDATE pgagent.settings SET total_runs = null.'
      from pgagent.settings t
     where t.total_runs = 0
    union all
    select 'WARNING',
           format('%s is null and keep_runs_per_job, too: about %s logs are kept, and more for ever',
                  case when t.keep_runs is null then 'keep_runs' else 'keep_failed_runs' end, c.logs),
           'UPDATE pgagent.settings SET keep_runs = default, keep_failed_runs = default, keep_runs_per_job = default.'
      from pgagent.settings t
     cross join (
         select sum(greatest(c.reltuples, 0))::int8 as logs
           from pg_class c
          where c.oid in ('pgagent.pga_joblog'::regclass, 'pgagent.pga_jobsteplog'::regclass)) c
     where (t.keep_runs is null or t.keep_failed_runs is null)
       and t.keep_runs_per_job is null
       and c.logs > 1000000
$$;
comment on function pgagent._setting_faults() is
    'Settings of the extension and of the server with which jobs cannot run as they should.';

create function pgagent._health_settings()
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'settings',
           case when bool_or(f.severity = 'CRITICAL') then 'CRITICAL' when count(*) > 0 then 'WARNING' else 'OK' end,
           coalesce(string_agg(f.fault, '; '), 'nothing is wrong with the settings'),
           string_agg(f.cure, ' ')
      from pgagent._setting_faults() f
$$;
comment on function pgagent._health_settings() is 'health: settings with which jobs cannot run as they should.';

-- The latest run of a job stays, however old; a day, because logs are deleted little by little.
create function pgagent._outdated_runs(looked timestamptz) returns int8
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select count(*)
      from (select o.* from pgagent.pga_joblog o order by o.jlgid limit 1000) l
     cross join pgagent.settings t
     where l.jlgstatus <> 'r'
       and looked - l.jlgstart
           > case when l.jlgstatus = 's' then t.keep_runs else t.keep_failed_runs end + interval '1 day'
       and exists (select
                     from pgagent.pga_joblog n
                    where n.jlgjobid = l.jlgjobid and n.jlgid > l.jlgid and n.jlgstatus <> 'r')
$$;
comment on function pgagent._outdated_runs(timestamptz) is
    'How many of the first thousand runs should have been deleted a day ago.';

create function pgagent._health_logs(looked timestamptz)
returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'logs',
           case when o.runs > 0 then 'WARNING' else 'OK' end,
           format('%s runs and %s step logs, %s, the oldest of %s', s.runs, s.step_logs, pg_size_pretty(s.bytes),
                  coalesce((select date_trunc('second', l.jlgstart)::text
                              from pgagent.pga_joblog l order by l.jlgid limit 1), 'never'))
           || case when o.runs > 0
                   then format('; of the first 1000 runs, %s should have been deleted', o.runs) else '' end,
           case when o.runs > 0
                then 'Agents delete logs when they are idle; call pgagent.prune_runs(10000) until it answers 0.' end
      from (select pgagent._outdated_runs(looked) as runs) o
     cross join (
         select min(case when c.oid = 'pgagent.pga_joblog'::regclass then n.about end) as runs,
                min(case when c.oid = 'pgagent.pga_jobsteplog'::regclass then n.about end) as step_logs,
                sum(pg_total_relation_size(c.oid)) as bytes
           from pg_class c
          cross join lateral (
              select case when c.reltuples < 0 then 'uncounted' else 'about ' || c.reltuples::int8 end as about) n
          where c.oid in ('pgagent.pga_joblog'::regclass, 'pgagent.pga_jobsteplog'::regclass)) s
$$;
comment on function pgagent._health_logs(timestamptz) is
    'health: how many logs there are, and whether they are deleted in time.';

-- An agent that is gone is no broken rule; the matter "agents" tells of it.
create function pgagent._health_invariants()
returns table (matter text, status text, detail text, remedy text)
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    looked_at constant int4 := 10000;
    broken text[];
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        return query select 'invariants', 'WARNING', 'cannot be judged in a transaction of this isolation level',
                            'Call health() in a transaction of isolation level READ COMMITTED.';
        return;
    end if;
    broken := array(
        select format('%s: %s', c.object, c.invariant)
          from pgagent.check_invariants(looked_at) c
         where c.invariant <> 'an agent is gone: the next run_due cleans up');
    return query
    select f.*
      from pgagent._finding(
               'invariants', 'CRITICAL', 'broken', broken, cardinality(broken),
               format('all hold, for what goes on and for the latest %s runs', looked_at),
               'SELECT * FROM pgagent.check_invariants() shows all. What stays although run_due is called was written '
               'by hand, or is a bug: report it.') f;
end
$$;
comment on function pgagent._health_invariants() is 'health: what check_invariants finds.';

-- The tables may have grown since their statistics were made: the plans go by index, as those of the engine do.
-- The engine writes as a superuser: whoever may put a trigger on its tables is one, too.
create function pgagent._health_rights() returns table (matter text, status text, detail text, remedy text)
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    with danger as materialized (
        select format('role "%s" has %s on %s', r.rolname, a.privilege_type, c.relname) as item
          from pg_class c
         cross join aclexplode(c.relacl) a
          join pg_roles r on r.oid = a.grantee and not r.rolsuper
         where c.relnamespace = 'pgagent'::regnamespace and a.privilege_type in ('TRIGGER', 'TRUNCATE')
         union all
        select format('trigger "%s" on %s calls a function of role "%s"', t.tgname, c.relname, r.rolname)
          from pg_trigger t
          join pg_class c on c.oid = t.tgrelid and c.relnamespace = 'pgagent'::regnamespace
          join pg_proc p on p.oid = t.tgfoid
          join pg_roles r on r.oid = p.proowner and not r.rolsuper
         where not t.tgisinternal
    )
    select f.*
      from pgagent._finding(
               'rights', 'CRITICAL', 'ways to become a superuser',
               array(select d.item from danger d order by d.item limit 5),
               (select count(*) from danger),
               'only superusers may put triggers on these tables, or empty them',
               'REVOKE TRIGGER, TRUNCATE ON ALL TABLES IN SCHEMA pgagent FROM that role; pgagent.grant_use(role) gives what '
               'is needed. DROP TRIGGER what you did not make.') f
$$;
comment on function pgagent._health_rights() is 'health: rights on our tables that lead to more rights.';

create function pgagent.health() returns table (matter text, status text, detail text, remedy text)
language plpgsql volatile security definer  -- who watches need not be an administrator
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    looked constant timestamptz := clock_timestamp();
begin
    -- The sessions as they are now, even in a transaction that has looked at them before.
    perform pg_stat_clear_snapshot();
    return query select h.* from pgagent._health_agents(looked) h;
    return query select h.* from pgagent._health_overdue_jobs(looked) h;
    return query select h.* from pgagent._health_batch_steps(looked) h;
    return query select h.* from pgagent._health_long_runs(looked) h;
    return query select h.* from pgagent._health_failing_jobs() h;
    return query select h.* from pgagent._health_disabled_jobs() h;
    return query select h.* from pgagent._health_idle_jobs(looked) h;
    return query select h.* from pgagent._health_lag(looked) h;
    return query select h.* from pgagent._health_next_wakeup(looked) h;
    return query select h.* from pgagent._health_settings() h;
    return query select h.* from pgagent._health_rights() h;
    return query select h.* from pgagent._health_logs(looked) h;
    return query select h.* from pgagent._health_invariants() h;
end
$$;
comment on function pgagent.health() is
    'How things are: a row per matter, always all of them, with status OK, WARNING or CRITICAL, what was found, and '
    'what to do (null: nothing). The worst status is the state of the whole.';
