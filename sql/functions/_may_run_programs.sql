create function pgagent._may_run_programs(role name) returns bool
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_roles r where r.rolname = role and pg_has_role(r.oid, 'pg_execute_server_program', 'usage'))
$$;
comment on function pgagent._may_run_programs(name) is
    'Whether a role may own a job with batch steps: a member of pg_execute_server_program, or a superuser.';
