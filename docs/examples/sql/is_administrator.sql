-- Who are the administrators? Those who may call this function.
select rolname from pg_roles
 where has_function_privilege(oid, 'pgagent.is_administrator()', 'execute') and not rolsuper;
select pgagent.is_administrator();
