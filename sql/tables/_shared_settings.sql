-- The table itself is for superusers only: conninfo may hold a password.
-- LIMIT keeps the view from being updatable: who was granted all on all tables would write settings through it.
create view pgagent._shared_settings as select t.timezone, t.agent_lease from pgagent.settings t limit 1;
comment on view pgagent._shared_settings is 'The settings that job users and tickers need.';
