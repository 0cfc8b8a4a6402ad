-- A role may have jobs: it makes one, and sees no others.
create role app login;
select pgagent.grant_use('app');
set role app;
select pgagent.create_job('nightly vacuum', schedule => '30 2 * * 1-5', sql => 'vacuum analyze');
select jobname, jobowner from pgagent.pga_job;
reset role;
select pgagent.drop_job('nightly vacuum'), pgagent.revoke_use('app');
drop role app;
