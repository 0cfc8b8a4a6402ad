-- A role shall have no jobs any more; those that it has go to another one.
create role app;
create role batch;
select pgagent.grant_use('app'), pgagent.grant_use('batch');
update pgagent.pga_job set jobowner = 'batch' where jobowner = 'app';
select pgagent.revoke_use('app'), pgagent.revoke_use('batch');
drop role app, batch;
