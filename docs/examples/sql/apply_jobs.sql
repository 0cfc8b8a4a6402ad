-- Make a job as a document says: first only look, then do it. A second time there is nothing to do.
select * from pgagent.apply_jobs(
    '{"jobs": [{"name": "nightly vacuum", "class": "Routine Maintenance", "timeout": "1 hour",
                "steps": [{"name": "01", "sql": "vacuum analyze"}],
                "schedules": [{"name": "weekdays", "cron": "30 2 * * 1-5", "timezone": "Europe/Berlin"}]}]}',
    dry_run => true);
select * from pgagent.apply_jobs(
    '{"jobs": [{"name": "nightly vacuum", "steps": [{"name": "01", "sql": "vacuum analyze"}]}]}');
select * from pgagent.apply_jobs(pgagent.export_jobs(), prune => true);
