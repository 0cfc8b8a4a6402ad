-- A role sees all jobs and says when they run: here it disables one that is not its own.
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze');
create role dba;
select pgagent.grant_administration('dba');
set role dba;
update pgagent.pga_job set jobenabled = false where jobname = 'nightly vacuum';
reset role;
select pgagent.revoke_administration('dba'), pgagent.revoke_use('dba');
drop role dba;
