-- The doctor looks at definitions: what will go wrong, or not at all, when its time comes. How things go, health tells. All is
-- read with the rights of the caller. Agents' clocks are no matter: nothing asks them; that of the server is.

create function pgagent._first_five(items text[]) returns text
language sql immutable parallel safe security invoker
set search_path = pg_catalog, pg_temp
as $$
    select array_to_string(items[1:5], '; ')
           || case when cardinality(items) > 5 then format('; and %s more', cardinality(items) - 5) else '' end
$$;
comment on function pgagent._first_five(text[]) is 'The first five of some things, and how many more there are.';

-- Hosts are named by job users, and commands copied by administrators.
create function pgagent._ticker_command(station text) returns text
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(case when w.word ~ '^[A-Za-z0-9_./=-]+$' then w.word
                           else '''' || replace(w.word, '''', '''\''''') || '''' end,
                      ' ' order by w.position)
      from (select current_database()::text as name) d
     cross join lateral (
         select case when d.name ~ '^\w+$' then d.name
                     else '''' || regexp_replace(d.name, '([\\''])', '\\\1', 'g') || '''' end as value) c
     cross join unnest(array['pgagent-ticker']
                       || case when station = '' then '{}' else array['--station', station] end
                       || ('dbname=' || c.value)) with ordinality w (word, position)
$$;
comment on function pgagent._ticker_command(text) is 'The command line that starts a ticker for this database; on no host in particular: empty.';

create function pgagent._check_jobs()
returns table (matter text, severity text, object text, detail text, remedy text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'no steps', 'WARNING', 'job ' || pgagent._job_label(j.jobid, j.jobname),
           'it is enabled and has no enabled step: its runs succeed and do nothing',
           format('select pgagent.add_step(%s, sql => ''...''), or select pgagent.disable_job(%1$s)', j.jobid)
      from pgagent.pga_job j
     where j.jobenabled
       and not exists (select from pgagent.pga_jobstep s where s.jstjobid = j.jobid and s.jstenabled)

    union all
    select 'no schedule', 'INFO', 'job ' || pgagent._job_label(j.jobid, j.jobname),
           'it is enabled, has no enabled schedule and was never run',
           format('select pgagent.add_schedule(%s, ''30 2 * * *''), or select pgagent.run_now(%1$s)', j.jobid)
      from pgagent.pga_job j
     where j.jobenabled
       and j.jobnextrun is null
       and j.jobagentid is null
       and j.joblastrun is null
       and not exists (select from pgagent.pga_schedule s where s.jscjobid = j.jobid and s.jscenabled)
       and not exists (select from pgagent.pga_joblog l where l.jlgjobid = j.jobid)

    union all
    select 'disabled', 'WARNING', 'job ' || pgagent._job_label(j.jobid, j.jobname),
           'the engine has disabled it: ' || j.jobdisabledreason,
           format('mend it, then select pgagent.enable_job(%s)', j.jobid)
      from pgagent.pga_job j
     where not j.jobenabled
       and j.jobdisabledreason is not null

    union all
    -- Jobs of different owners bother only who sees both.
    select 'same name', case when count(*) > count(distinct j.jobowner) then 'WARNING' else 'INFO' end,
           format('job "%s"', left(j.jobname, 80)),
           format('%s jobs have this name: %s', count(*), pgagent._first_five(array_agg(
               format('%s of role "%s"', j.jobid, j.jobowner) order by j.jobid))),
           format('select pgagent.alter_job(%s, new_name => ''...'')', max(j.jobid))
      from pgagent.pga_job j
     group by j.jobname
    having count(*) > 1

    union all
    select 'class limit', 'WARNING', format('class "%s"', c.jclname),
           format('its limit is 0, so that its jobs do not run: %s', j.jobs),
           format('update pgagent.pga_jobclass set jclmaxruns = null where jclid = %s', c.jclid)
      from pgagent.pga_jobclass c
     cross join lateral (
         select pgagent._first_five(array_agg(pgagent._job_label(o.jobid, o.jobname) order by o.jobid)) as jobs
           from pgagent.pga_job o
          where o.jobjclid = c.jclid and o.jobenabled
         having count(*) > 0) j
     where c.jclmaxruns = 0
$$;
comment on function pgagent._check_jobs() is 'check: jobs that do nothing, or cannot be told apart.';

create function pgagent._check_schedules(looked timestamptz)
returns table (matter text, severity text, object text, detail text, remedy text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'never runs', 'WARNING',
           format('schedule "%s" (%s) of job %s', left(s.jscname, 80), s.jscid, pgagent._job_label(j.jobid, j.jobname)),
           w.reason,
           format('select pgagent.alter_schedule(%s, schedule => ''30 2 * * *''), or select pgagent.drop_schedule(%1$s)', s.jscid)
      from pgagent.pga_schedule s
      join pgagent.pga_job j on j.jobid = s.jscjobid
     cross join lateral (select pgagent._why_never(s.jscid, pgagent._epoch(looked)) as reason) w
     where s.jscenabled
       and j.jobenabled
       and coalesce(s.jscend > looked, true)  -- one that has ended has done what it should
       and w.reason is not null
$$;
comment on function pgagent._check_schedules(timestamptz) is 'check: enabled schedules of enabled jobs that have no run to come.';

create function pgagent._check_steps()
returns table (matter text, severity text, object text, detail text, remedy text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    with step as materialized (
        select s.*, j.jobowner, pgagent._job_label(j.jobid, j.jobname) as job,
               format('step %s of job %s', pgagent._job_label(s.jstid, s.jstname),
                      pgagent._job_label(j.jobid, j.jobname)) as label
          from pgagent.pga_jobstep s
          join pgagent.pga_job j on j.jobid = s.jstjobid
         where s.jstenabled and j.jobenabled
    ), numbered as (
        select s.jstjobid, s.job, s.jstid, s.jstname, n.number,
               lag(s.jstname) over its_order as name_before, lag(n.number) over its_order as number_before
          from step s
         cross join lateral (select substring(s.jstname from '^\D*(\d{1,18})')::int8 as number) n
         where n.number is not null
        window its_order as (
            partition by s.jstjobid, lower(substring(s.jstname from '^\D*')) order by s.jstname, s.jstid)
    )
    select 'missing database', 'ERROR', s.label,
           case when d.datname is null then format('there is no database "%s" in this server', s.jstdbname)
                else format('database "%s" takes no connections', s.jstdbname) end,
           format('select pgagent.alter_step(%s, database => %L), or ', s.jstid, current_database())
           || case when d.datname is null then format('create database %I', s.jstdbname)
                   else format('alter database %I allow_connections true', s.jstdbname) end
      from step s
      left join pg_database d on d.datname = s.jstdbname
     where s.jstkind = 's'
       and s.jstdbname <> ''
       and coalesce(not d.datallowconn, true)

    union all
    select 'batch step', 'ERROR', s.label,
           format('role "%s", which owns the job, may not run programs', s.jobowner),
           format('grant pg_execute_server_program to %I', s.jobowner)
      from step s
      join pg_roles r on r.rolname = s.jobowner
     where s.jstkind = 'b'
       and not pg_has_role(r.oid, 'pg_execute_server_program', 'usage')

    union all
    -- Each job once: what is renamed first may put the others right.
    select 'order of steps', 'WARNING', 'job ' || n.job,
           format('steps run in the order of their names as texts: "%s" comes before "%s"', left(n.name_before, 80),
                  left(n.jstname, 80)),
           format('select pgagent.alter_step(%s, name => %L)', n.jstid,
                  regexp_replace(n.jstname, '\d+', lpad(n.number::text, length(n.number_before::text), '0')))
      from (select distinct on (m.jstjobid) m.*
              from numbered m
             where m.number < m.number_before
             order by m.jstjobid, m.number, m.jstid) n
$$;
comment on function pgagent._check_steps() is 'check: enabled steps that cannot be executed, or not in the order that their names suggest.';

create function pgagent._check_owners()
returns table (matter text, severity text, object text, detail text, remedy text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    with job as materialized (
        select j.jobid, j.jobowner, r.oid as role, r.rolcanlogin, pgagent._job_label(j.jobid, j.jobname) as label
          from pgagent.pga_job j
          left join pg_roles r on r.rolname = j.jobowner
         where j.jobenabled
    )
    select 'missing role', 'ERROR', format('role "%s"', j.jobowner),
           'it does not exist, and owns ' || pgagent._first_five(array_agg('job ' || j.label order by j.jobid)),
           format('select pgagent.alter_job(%s, owner => %L), or create role %I login', min(j.jobid), current_user, j.jobowner)
      from job j
     where j.role is null
     group by j.jobowner

    union all
    select 'login', 'ERROR', format('role "%s"', j.jobowner),
           'it is not permitted to log in, as steps do of '
           || pgagent._first_five(array_agg('job ' || j.label order by j.jobid)),
           format('alter role %I login', j.jobowner)
      from job j
     where not j.rolcanlogin
       and exists (select from pgagent.pga_jobstep s where s.jstjobid = j.jobid and s.jstenabled and s.jstdbname <> '')
     group by j.jobowner

    union all
    select 'right to connect', 'ERROR', format('role "%s"', d.jobowner),
           format('it may not connect to database "%s", as steps do of ', d.datname)
           || pgagent._first_five(array_agg('job ' || d.label order by d.jobid)),
           format('grant connect on database %I to %I', d.datname, d.jobowner)
      from (select distinct j.jobid, j.jobowner, j.label, b.datname
              from job j
              join pgagent.pga_jobstep s on s.jstjobid = j.jobid and s.jstenabled
              join pg_database b on b.datname = s.jstdbname and b.datallowconn
             where not has_database_privilege(j.role, b.oid, 'connect')) d
     group by d.jobowner, d.datname
$$;
comment on function pgagent._check_owners() is 'check: owners of enabled jobs as whom steps cannot log in, by what the catalog says.';

create function pgagent._check_agents()
returns table (matter text, severity text, object text, detail text, remedy text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    with living as materialized (
        select a.* from pgagent.pga_jobagent a where pg_is_in_recovery() or pgagent._has_session(a)
    ), connected as (
        -- A ticker that takes no batch steps registers itself only when it has something to run.
        select exists (select
                         from pg_stat_get_activity(null) s
                        where s.application_name = 'pgagent-ticker'
                          and s.datid = (select d.oid from pg_database d where d.datname = current_database())) as ticker
    ), job as materialized (
        select j.jobid, j.jobhostagent as host, pgagent._job_label(j.jobid, j.jobname) as label,
               exists (select
                         from pgagent.pga_jobstep s
                        where s.jstjobid = j.jobid and s.jstenabled and s.jstkind = 'b') as has_batch
          from pgagent.pga_job j
         where j.jobenabled
    )
    select 'no agent', 'WARNING', 'agents', 'jobs are scheduled, and no ticker is connected to this database',
           pgagent._ticker_command('')
      from connected c
     where not c.ticker
       and not exists (select from living)
       and exists (select from pgagent.pga_job j where j.jobenabled and j.jobnextrun < 'infinity')

    union all
    select 'no ticker', 'WARNING', case when j.host = '' then 'any host' else format('host "%s"', j.host) end,
           'no ticker takes batch steps there, which are steps of '
           || pgagent._first_five(array_agg('job ' || j.label order by j.jobid)),
           pgagent._ticker_command(j.host) || ', without --no-batch'
      from job j
     where j.has_batch
       and not exists (select from living l where l.jagtakesbatch and j.host in ('', l.jagstation))
       -- The daemon executes them, too.
       and not exists (select from living l where l.jagbackendstart is null and j.host in ('', l.jagstation))
     group by j.host

    union all
    select 'no agent', case when c.ticker then 'INFO' else 'WARNING' end, format('host "%s"', j.host),
           'no agent has registered itself there; it alone may run '
           || pgagent._first_five(array_agg('job ' || j.label order by j.jobid)),
           pgagent._ticker_command(j.host)
      from job j
     cross join connected c
     where j.host <> ''
       and not j.has_batch
       and not exists (select from living l where l.jagstation = j.host)
     group by j.host, c.ticker

    union all
    select 'pgAgent', 'WARNING', format('session with pid %s', l.jagpid),
           format('pgAgent''s own daemon runs jobs here, from %s: it runs them with its own rights, starts late jobs late and '
                  'knows no limits', l.jagstation),
           'systemctl disable --now pgagent, on its host'
      from living l
     where l.jagbackendstart is null
$$;
comment on function pgagent._check_agents() is 'check: jobs that nobody will run, and agents that should not.';

create function pgagent._check_clock(looked timestamptz)
returns table (matter text, severity text, object text, detail text, remedy text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select 'clock', 'WARNING', 'clock of the server',
           format('it shows %s; %s jobs have run later than that: it was put back', date_trunc('second', looked), count(*)),
           'timedatectl: is it synchronized? Jobs that ran up to 3 hours ahead wait for that time to come again; '
           'select pgagent.run_now(job) does not'
      from pgagent.pga_job j
     where j.joblastrun > looked + interval '1 min'
    having count(*) > 0
$$;
comment on function pgagent._check_clock(timestamptz) is 'check: whether the clock of the server was put back.';

-- Plain PL/pgSQL, which asks for the rights to what it calls only when it gets there.
create function pgagent._check_installation()
returns table (matter text, severity text, object text, detail text, remedy text)
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not has_table_privilege('pgagent.settings', 'select') or row_security_active('pgagent.settings') then
        return;
    end if;
    return query
    select 'settings', case when f.severity = 'CRITICAL' then 'ERROR' else f.severity end, 'pgagent.settings', f.fault, f.cure
      from pgagent._setting_faults() f;
    return query
    select h.matter, 'ERROR', 'schema pgagent', h.detail, h.remedy
      from pgagent._health_rights() h
     where h.status <> 'OK';
    if exists (select from pgagent.settings t where pgagent._conninfo_fault(t.conninfo) is not null) then
        return;
    end if;
    return query
    select 'login', 'ERROR', format('role "%s"', o.owner),
           format('it cannot log in to database "%s": %s', o.dbname, c.detail),
           coalesce(c.remedy, format('select * from pgagent.check_owner(%L, %L) tries again', o.owner, o.dbname))
      from (select j.jobowner as owner, min(s.jstdbname::text) as dbname
              from pgagent.pga_job j
              join pgagent.pga_jobstep s on s.jstjobid = j.jobid and s.jstenabled
              join pg_roles r on r.rolname = j.jobowner and r.rolcanlogin
              join pg_database d on d.datname = s.jstdbname and d.datallowconn
             where j.jobenabled
               and has_database_privilege(r.oid, d.oid, 'connect')
             group by j.jobowner) o
     cross join lateral pgagent.check_owner(o.owner, o.dbname::name) c
     where not c.allowed;
end
$$;
comment on function pgagent._check_installation() is
    'check: what only a superuser can see: settings, libraries, rights, and whether owners can log in, tried once each.';

create function pgagent.check()
returns table (matter text, severity text, object text, detail text, remedy text)
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    looked constant timestamptz := clock_timestamp();
begin
    -- The sessions as they are now, even in a transaction that has looked at them before.
    perform pg_stat_clear_snapshot();
    return query
    select c.*
      from (select o.* from pgagent._check_jobs() o
            union all
            select o.* from pgagent._check_schedules(looked) o
            union all
            select o.* from pgagent._check_steps() o
            union all
            select o.* from pgagent._check_owners() o
            union all
            select o.* from pgagent._check_agents() o
            union all
            select o.* from pgagent._check_clock(looked) o
            union all
            select o.* from pgagent._check_installation() o) c
     order by array_position('{ERROR, WARNING, INFO}', c.severity), c.matter, c.object;
end
$$;
comment on function pgagent.check() is
    'What is wrong with jobs, or will be when their time comes, a row each, with a command that mends it; no rows: nothing was found. '
    'Job users are told of the jobs that they see; superusers also of settings, and whether the owners of jobs can log in, which is tried. '
    'severity: ERROR: it does not work; WARNING: hardly as it was meant; INFO: worth knowing.';
