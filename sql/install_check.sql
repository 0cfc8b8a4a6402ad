-- Refuses to install over somebody else's schema "pgagent"; takes over an empty one.
do $do$
declare
    other_extension text;
    resident text;
begin
    select e.extname
      into other_extension
      from pg_catalog.pg_depend d
      join pg_catalog.pg_extension e on e.oid operator(pg_catalog.=) d.refobjid
      left join pg_catalog.pg_class c
        on d.classid operator(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
       and c.oid operator(pg_catalog.=) d.objid
      left join pg_catalog.pg_proc p
        on d.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
       and p.oid operator(pg_catalog.=) d.objid
     where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
       and d.deptype operator(pg_catalog.=) 'e'
       and (coalesce(c.relnamespace, p.pronamespace) operator(pg_catalog.=) pg_catalog.to_regnamespace('pgagent')
            or (d.classid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
                and d.objid operator(pg_catalog.=) pg_catalog.to_regnamespace('pgagent')))
     limit 1;
    if found then
        raise exception using
            errcode = 'duplicate_schema',
            message = pg_catalog.format('schema "pgagent" belongs to extension "%s"', other_extension),
            detail = 'pgagent_py keeps its tables in the schema "pgagent", as pgAgent does.',
            hint = pg_catalog.format(
                'Save its jobs with pg_dump --data-only --schema=pgagent, then DROP EXTENSION %I, '
                'CREATE EXTENSION pgagent_py and restore them.', other_extension);
    end if;

    select pg_catalog.format('%s', c.relname)
      into resident
      from pg_catalog.pg_class c
     where c.relnamespace operator(pg_catalog.=) pg_catalog.to_regnamespace('pgagent')
     order by c.relname
     limit 1;
    if found then
        raise exception using
            errcode = 'duplicate_schema',
            message = pg_catalog.format('schema "pgagent" exists already and holds relation "%s"', resident),
            detail = 'No extension owns it: perhaps it comes from pgAgent''s script pgagent.sql.',
            hint = 'Rename the schema (ALTER SCHEMA pgagent RENAME TO ...) or drop it, '
                   'then run CREATE EXTENSION pgagent_py again.';
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
