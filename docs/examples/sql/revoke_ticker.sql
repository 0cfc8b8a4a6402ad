-- The ticker gets another role.
create role ticker;
create role old_ticker;
select pgagent.grant_ticker('old_ticker');
select pgagent.grant_ticker('ticker'), pgagent.revoke_ticker('old_ticker');
select pgagent.revoke_ticker('ticker');
drop role ticker, old_ticker;
