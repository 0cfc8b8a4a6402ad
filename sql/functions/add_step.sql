create function pgagent._on_error_letter(on_error text) returns text
language plpgsql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    letter constant text := case
        when on_error in ('fail', 'f') then 'f'
        when on_error in ('succeed', 's') then 's'
        when on_error in ('ignore', 'i') then 'i'
    end;
begin
    if letter is null and on_error is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('on_error "%s" is unknown', on_error),
            hint = 'fail: the job fails and stops; succeed: the step counts as successful; ignore: the job goes on.';
    end if;
    return letter;
end
$$;
comment on function pgagent._on_error_letter(text) is 'The letter of jstonerror for a word, or for the letter itself; error 22023 for others.';

-- Steps run in the order of their names, as the database collates them.
create function pgagent._next_step_name(job int4) returns text
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    latest constant text := (select max(s.jstname) from pgagent.pga_jobstep s where s.jstjobid = job);
    number constant numeric := (select coalesce(max(substring(s.jstname from '^\d+')::numeric), 0) + 1
                                  from pgagent.pga_jobstep s where s.jstjobid = job);
    name constant text := repeat('0', 2 - length(number::text)) || number;
begin
    if name <= latest then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the new step of job %s needs a name', job),
            detail = format('Steps run in the order of their names, and "%s" would come before "%s".', name, latest),
            hint = format('Give a name that sorts after "%s", or where the step belongs.', latest);
    end if;
    return name;
end
$$;
comment on function pgagent._next_step_name(int4) is
    'The number that a step behind all others of the job gets as its name; error 22023 if it would not sort behind them.';

create function pgagent._check_step_name(job int4, name text) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    other int4;
begin
    select min(s.jstid) into other
      from pgagent.pga_jobstep s
     where s.jstjobid = job and s.jstname = _check_step_name.name;
    if other is not null then
        raise exception using
            errcode = 'duplicate_object',
            message = format('step "%s" of job %s already exists', name, job),
            detail = format('Step %s has this name.', other),
            hint = 'pgagent.alter_step changes it, pgagent.drop_step deletes it.';
    end if;
end
$$;
comment on function pgagent._check_step_name(int4, text) is 'Error 42710 if the job has a step of this name already.';

create function pgagent._check_step_target(sql text, batch text, database name, connection text) returns void
language plpgsql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if num_nonnulls(sql, batch) = 2 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a step cannot have sql and batch at once',
            hint = 'Make two steps of it.';
    elsif batch is not null and num_nonnulls(database, connection) > 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a batch step has no database',
            hint = 'Its script runs on the host of a ticker; what it needs to know belongs into the script.';
    elsif num_nonnulls(database, connection) = 2 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a step cannot have database and connection at once',
            hint = 'A connection string names its database itself: connection => ''host=... dbname=...''.';
    end if;
end
$$;
comment on function pgagent._check_step_target(text, text, name, text) is
    'Error 22023 unless a step can have these together: sql or batch, and for sql a database or a connection.';

create function pgagent.add_step(
    job int4, name text default null, sql text default null, batch text default null, database name default null,
    connection text default null, description text default '', enabled bool default true, on_error text default 'fail',
    timeout interval default null, retries int4 default 0, retry_delay interval default '1 s',
    retry_factor float8 default 2, retry_max_delay interval default '5 min', retry_jitter float8 default 0.1,
    retry_sqlstates text[] default null
) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    step int4;
    violated text;
begin
    perform pgagent._require_own_job(job);
    perform pgagent._reject_null(json_build_object(
        'description', description, 'enabled', enabled, 'on_error', on_error, 'retries', retries,
        'retry_delay', retry_delay, 'retry_factor', retry_factor, 'retry_max_delay', retry_max_delay,
        'retry_jitter', retry_jitter));
    if num_nonnulls(sql, batch) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the new step of job %s has nothing to execute', job),
            hint = 'Give sql or batch.';
    end if;
    perform pgagent._check_step_target(sql, batch, database, connection);
    perform pgagent._check_step_name(job, name);
    insert into pgagent.pga_jobstep as s (
        jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstconnstr, jstdbname, jstonerror, jsttimeout,
        jstretries, jstretrydelay, jstretryfactor, jstretrymaxdelay, jstretryjitter, jstretrysqlstates)
    values (
        job, coalesce(name, pgagent._next_step_name(job)), description, enabled,
        case when batch is null then 's' else 'b' end, coalesce(sql, batch), coalesce(connection, ''),
        case when sql is null or connection <> '' then '' else coalesce(nullif(database, ''), current_database()) end,
        pgagent._on_error_letter(on_error), timeout, retries, retry_delay, retry_factor, retry_max_delay, retry_jitter,
        nullif(retry_sqlstates, '{}'))
    returning s.jstid into step;
    return step;
exception
    when check_violation then
        get stacked diagnostics violated = constraint_name;
        perform pgagent._reject_value(sqlerrm, violated);
end
$$;
comment on function pgagent.add_step(
    int4, text, text, text, name, text, text, bool, text, interval, int4, interval, float8, interval, float8, text[]
) is
    'Adds a step to a job and returns its id: sql in a database of this server (default: this one) or where connection points, '
    'or batch, a script for the ticker''s shell. Steps run in the order of their names; without a name it is the last one, and '
    'its name a number. on_error: fail, succeed or ignore. Error 42710: the job has a step of this name.';

create function pgagent.add_step(
    job text, name text default null, sql text default null, batch text default null, database name default null,
    connection text default null, description text default '', enabled bool default true, on_error text default 'fail',
    timeout interval default null, retries int4 default 0, retry_delay interval default '1 s',
    retry_factor float8 default 2, retry_max_delay interval default '5 min', retry_jitter float8 default 0.1,
    retry_sqlstates text[] default null
) returns int4
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
    select pgagent.add_step(
        pgagent.find_job(job), name, sql, batch, database, connection, description, enabled, on_error, timeout, retries,
        retry_delay, retry_factor, retry_max_delay, retry_jitter, retry_sqlstates)
$$;
comment on function pgagent.add_step(
    text, text, text, text, name, text, text, bool, text, interval, int4, interval, float8, interval, float8, text[]
) is 'As add_step of a job''s id, for the job of a name.';
