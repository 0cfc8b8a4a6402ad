create function pgagent.settings_trigger() returns trigger
language plpgsql volatile security definer  -- see pgagent._recompute
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op in ('DELETE', 'TRUNCATE') then
        raise exception using
            errcode = 'restrict_violation',
            message = 'the row of table "settings" cannot be deleted',
            hint = 'Set a column to its default instead: UPDATE pgagent.settings SET parallel_runs = DEFAULT.';
    elsif tg_when = 'BEFORE' then
        if tg_op = 'INSERT' or new.timezone is distinct from old.timezone then
            new.timezone := pgagent._zone_name(new.timezone);
        end if;
        if tg_op = 'INSERT' then
            -- A restored dump brings its own row; the one that CREATE EXTENSION made gives way.
            update pgagent.settings
               set timezone = new.timezone, parallel_runs = new.parallel_runs, conninfo = new.conninfo,
                   connect_timeout = new.connect_timeout, session_idle_timeout = new.session_idle_timeout,
                   output_limit = new.output_limit, agent_lease = new.agent_lease,
                   reserved_connections = new.reserved_connections, total_runs = new.total_runs,
                   long_run = new.long_run, keep_runs = new.keep_runs, keep_failed_runs = new.keep_failed_runs,
                   keep_runs_per_job = new.keep_runs_per_job, overdue_after = new.overdue_after,
                   event_interval = new.event_interval, keep_events = new.keep_events;
            return case when found then null else new end;
        end if;
        return new;
    end if;
    if new.timezone is distinct from old.timezone then
        -- Not what is due already, nor what was asked for without a schedule.
        perform pgagent._recompute(array(
            select j.jobid
              from pgagent.pga_job j
             where j.jobenabled
               and (j.jobnextrun is null or j.jobnextrun > now())
               and exists (select from pgagent.pga_schedule s where s.jscjobid = j.jobid and s.jscenabled)), '{}');
    end if;
    return null;
end
$$;
comment on function pgagent.settings_trigger() is
    'Keeps one row in settings, refuses unknown time zones, recomputes all jobs when the time zone changes.';

-- An INSERT becomes an UPDATE above, with the rights of the owner, before the policies would refuse its row.
create function pgagent.settings_access_trigger() returns trigger
language plpgsql volatile security invoker  -- the writer's rights count
set search_path = pg_catalog, pg_temp
as $$
begin
    if row_security_active('pgagent.settings') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'permission denied for table "settings"',
            hint = 'The settings are for superusers, whatever was granted.';
    end if;
    return new;
end
$$;
comment on function pgagent.settings_access_trigger() is 'Refuses rows of those whom the policies do not let write the settings.';

-- The first one, by its name.
create trigger settings_access
    before insert on pgagent.settings
    for each row execute function pgagent.settings_access_trigger();
comment on trigger settings_access on pgagent.settings is 'Superusers only.';
create trigger settings_check
    before insert or update or delete on pgagent.settings
    for each row execute function pgagent.settings_trigger();
comment on trigger settings_check on pgagent.settings is 'One row; known time zones only.';
create trigger settings_keep
    before truncate on pgagent.settings
    for each statement execute function pgagent.settings_trigger();
comment on trigger settings_keep on pgagent.settings is 'The row stays.';
create trigger settings_recompute
    after update on pgagent.settings
    for each row execute function pgagent.settings_trigger();
comment on trigger settings_recompute on pgagent.settings is 'Computes all next runs when the time zone changes.';
