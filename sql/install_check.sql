-- Refuses to install over somebody else's schema "pgagent"; takes over an empty one.
do $do$
declare
    other_extension text;
    resident text;
begin
    -- What lies in the schema depends on it, whatever its kind.
    select e.extname
      into other_extension
      from pg_catalog.pg_depend d
      join pg_catalog.pg_depend member
        on member.classid operator(pg_catalog.=) d.classid
       and member.objid operator(pg_catalog.=) d.objid
       and member.refclassid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
       and member.deptype operator(pg_catalog.=) 'e'
      join pg_catalog.pg_extension e on e.oid operator(pg_catalog.=) member.refobjid
     where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
       and d.refobjid operator(pg_catalog.=) pg_catalog.to_regnamespace('pgagent')
     limit 1;
    if not found then
        select e.extname
          into other_extension
          from pg_catalog.pg_depend d
          join pg_catalog.pg_extension e on e.oid operator(pg_catalog.=) d.refobjid
         where d.classid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
           and d.objid operator(pg_catalog.=) pg_catalog.to_regnamespace('pgagent')
           and d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
           and d.deptype operator(pg_catalog.=) 'e';
    end if;
    if other_extension is not null then
        raise exception using
            errcode = 'duplicate_schema',
            message = pg_catalog.format('schema "pgagent" belongs to extension "%s"', other_extension),
            detail = 'pgagent_py keeps its tables in the schema "pgagent", as pgAgent does.',
            hint = pg_catalog.format(
                'To move its jobs: pg_dump --data-only --schema=pgagent, DROP EXTENSION %I, CREATE EXTENSION pgagent_py, '
                'restore, then set the sequences, which pgAgent does not dump: see "Coming from pgAgent" in the README.',
                other_extension);
    end if;

    select pg_catalog.pg_describe_object(d.classid, d.objid, 0)
      into resident
      from pg_catalog.pg_depend d
     where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
       and d.refobjid operator(pg_catalog.=) pg_catalog.to_regnamespace('pgagent')
     order by 1
     limit 1;
    if found then
        raise exception using
            errcode = 'duplicate_schema',
            message = pg_catalog.format('schema "pgagent" exists already and holds %s', resident),
            detail = 'No extension owns it: perhaps it comes from pgAgent''s script pgagent.sql.',
            hint = 'Rename the schema (ALTER SCHEMA pgagent RENAME TO ...) or drop it, '
                   'then run CREATE EXTENSION pgagent_py again.';
    end if;

    -- Who may create objects in the schema could add functions that calls of ours resolve to.
    select case when may.roleid operator(pg_catalog.=) 0 then 'PUBLIC'
                else pg_catalog.format('role "%s"', r.rolname) end
      into resident
      from pg_catalog.pg_namespace n
     cross join lateral (
           select n.nspowner
            union all
           select a.grantee from pg_catalog.aclexplode(n.nspacl) a where a.privilege_type operator(pg_catalog.=) 'CREATE') may (roleid)
      left join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) may.roleid
     where n.oid operator(pg_catalog.=) pg_catalog.to_regnamespace('pgagent')
       and not coalesce(r.rolsuper, false)
     order by 1
     limit 1;
    if found then
        raise exception using
            errcode = 'duplicate_schema',
            message = pg_catalog.format('schema "pgagent" exists already, and %s may create objects in it', resident),
            detail = 'Whoever may do that could have the engine call functions of his own.',
            hint = 'DROP SCHEMA pgagent, which is empty, then run CREATE EXTENSION pgagent_py again.';
    end if;

    if pg_catalog.to_regnamespace('pgagent') is null then
        create schema pgagent;
    else
        -- DROP EXTENSION pgagent leaves its schema behind, empty.
        alter extension pgagent_py add schema pgagent;
    end if;
end
$do$;

comment on schema pgagent is 'Jobs, schedules, logs and engine of pgagent_py; tables as in pgAgent 4.';
