-- The table itself is for superusers only: conninfo may hold a password.
create view pgagent._shared_settings as select t.timezone, t.agent_lease from pgagent.settings t;
comment on view pgagent._shared_settings is 'The settings that job users and tickers need.';
