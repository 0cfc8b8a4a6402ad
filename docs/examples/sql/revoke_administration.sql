-- An administrator is one no longer, and keeps jobs of its own.
create role dba;
select pgagent.grant_administration('dba');
select pgagent.revoke_administration('dba');
select has_function_privilege('dba', 'pgagent.is_administrator()', 'execute');
select pgagent.revoke_use('dba');
drop role dba;
