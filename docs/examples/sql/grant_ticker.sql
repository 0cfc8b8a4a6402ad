-- A role for the ticker, which runs all jobs as their owners and may do nothing else.
create role ticker login;
select pgagent.grant_ticker('ticker');
set role ticker;
select jobname, status from pgagent.run_due(max_wait => '1 s');
reset role;
select pgagent.revoke_ticker('ticker');
drop role ticker;
