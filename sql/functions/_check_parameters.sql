create function pgagent._reject_null(parameters json) returns void
language plpgsql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
begin
    select p.key into missing from json_each_text(parameters) p where p.value is null limit 1;
    if found then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('parameter "%s" must not be null', missing);
    end if;
end
$$;
comment on function pgagent._reject_null(json) is 'Error 22004 that names the first of these parameters that is null.';

create function pgagent._check_reset(reset text[], parameters json) returns void
language plpgsql immutable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong text;
begin
    select r.name into wrong
      from unnest(reset) r (name)
     where r.name is null or not exists (select from json_object_keys(parameters) k where k = r.name)
     limit 1;
    if found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" is nothing that can be reset', coalesce(wrong, 'NULL')),
            hint = format('What can: %s.', (select string_agg(k, ', ') from json_object_keys(parameters) k));
    end if;
    select p.key into wrong from json_each_text(parameters) p where p.key = any (reset) and p.value is not null limit 1;
    if found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" cannot be set and reset at once', wrong),
            hint = 'Name it in "reset", or give it a value.';
    end if;
end
$$;
comment on function pgagent._check_reset(text[], json) is
    'Error 22023 unless each name in reset is one of these parameters, and one that is null.';

-- What may stand in a column, its comment says.
create function pgagent._reject_value(violation text, "constraint" text) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'check_violation',
        message = violation,
        constraint = "constraint",
        hint = (select string_agg(col_description(c.conrelid, c.conkey[1]), ' ')
                  from pg_constraint c
                 where c.connamespace = 'pgagent'::regnamespace and c.conname = "constraint");
end
$$;
comment on function pgagent._reject_value(text, text) is
    'Error 23514 again, with what may stand in the column, and without the row, in which there may be a password.';
