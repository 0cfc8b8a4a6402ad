-- The engine deletes old logs by itself; here the settings have become stricter, and it shall happen at once.
update pgagent.settings set keep_runs = '30 days', keep_runs_per_job = 1000;
select pgagent.prune_runs(most => 10000) as deleted;
