create function pgagent._class_id(class text) returns int4
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    id int4;
begin
    select c.jclid into id from pgagent.pga_jobclass c where c.jclname = class;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('class "%s" does not exist', class),
            hint = format('Classes: %s.', (select string_agg(format('"%s"', c.jclname), ', ' order by c.jclid)
                                             from pgagent.pga_jobclass c));
    end if;
    return id;
end
$$;
comment on function pgagent._class_id(text) is 'The id of the class of this name; error 42704: there is none.';

create function pgagent._check_job_owner(owner name) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_roles r where r.rolname = owner) then
        raise exception using
            errcode = 'undefined_object',
            message = format('role "%s" does not exist', owner),
            hint = 'The owner of a job is a role: CREATE ROLE makes one.';
    elsif row_security_active('pgagent.pga_job')
          and not exists (select from pg_roles r where r.rolname = owner and pg_has_role(r.oid, 'usage')) then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('permission denied to create a job of role "%s"', owner),
            hint = 'A job belongs to whoever creates it, or to a role that the creator is a member of.';
    end if;
end
$$;
comment on function pgagent._check_job_owner(name) is
    'Error 42704 unless there is such a role, 42501 unless the caller may create jobs of it.';

-- The tables allow two jobs of one name, and pgAgent's clients make them; whoever calls jobs by their name does not want to.
create function pgagent._check_job_name(name text, owner name) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    other int4;
begin
    if name !~ '\S' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'the name of a job must not be empty';
    end if;
    select min(j.jobid) into other
      from pgagent.pga_job j
     where j.jobname = _check_job_name.name and j.jobowner = _check_job_name.owner;
    if other is not null then
        raise exception using
            errcode = 'duplicate_object',
            message = format('job "%s" already exists', name),
            detail = format('Job %s of role "%s" has this name.', other, owner),
            hint = 'pgagent.alter_job changes it, pgagent.drop_job deletes it.';
    end if;
end
$$;
comment on function pgagent._check_job_name(text, name) is
    'Error 42710 if the owner has a job of this name already, 22023 if the name is empty.';

create function pgagent.create_job(
    name text, schedule text default null, sql text default null, batch text default null, database name default null,
    connection text default null, every interval default null, at timestamptz default null, timezone text default null,
    description text default '', class text default 'Miscellaneous', host text default '', enabled bool default true,
    owner name default current_user, timeout interval default null, start_deadline interval default null,
    max_failures int4 default null, locks text[] default null, priority int4 default 0
) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    has_step constant bool := num_nonnulls(sql, batch) > 0;
    has_schedule constant bool := num_nonnulls(schedule, every, at) > 0;
    job int4;
    violated text;
begin
    perform pgagent._reject_null(json_build_object(
        'name', name, 'description', description, 'class', class, 'host', host, 'enabled', enabled, 'owner', owner,
        'priority', priority));
    if num_nonnulls(sql, batch) = 2 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('job "%s" cannot have sql and batch in one step', name),
            hint = 'Create the job with one of them, and add the other by pgagent.add_step.';
    elsif num_nonnulls(database, connection) > 0 and not has_step then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('job "%s" has no step that could run in a database', name),
            hint = 'Give sql too, or give database and connection to pgagent.add_step.';
    elsif timezone is not null and not has_schedule then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('job "%s" has no schedule that could be read in a time zone', name),
            hint = 'Give schedule, every or at too, or give timezone to pgagent.add_schedule.';
    end if;
    perform pgagent._check_job_owner(owner);
    perform pgagent._check_job_name(name, owner);
    insert into pgagent.pga_job as j (
        jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobowner, jobtimeout, jobstartdeadline, jobmaxfailures,
        joblocks, jobpriority)
    values (
        pgagent._class_id(class), name, description, host, enabled, owner, timeout, start_deadline, max_failures,
        nullif(locks, '{}'), priority)
    returning j.jobid into job;
    if has_step then
        perform pgagent.add_step(job, sql => sql, batch => batch, database => database, connection => connection);
    end if;
    if has_schedule then
        perform pgagent.add_schedule(job, schedule, every => every, at => at, timezone => timezone);
    end if;
    return job;
exception
    when check_violation then
        get stacked diagnostics violated = constraint_name;
        perform pgagent._reject_value(sqlerrm, violated);
end
$$;
comment on function pgagent.create_job(
    text, text, text, text, name, text, interval, timestamptz, text, text, text, text, bool, name, interval, interval, int4,
    text[], int4
) is
    'Creates a job and returns its id. sql or batch is its first step: SQL in a database of this server (default: this one) or '
    'where connection points, or a script for the ticker''s shell. schedule is crontab syntax, every a time between runs (with '
    'schedule: in the minutes that it allows), at an instant at which the job runs once. More steps: add_step; more schedules: '
    'add_schedule. Error 42710: the owner has a job of this name.';
