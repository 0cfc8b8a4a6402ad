-- All jobs of this database, or one of them, as a document.
insert into pgagent.pga_job (jobjclid, jobname) values (1, 'nightly vacuum');
select pgagent.export_jobs();
select jsonb_pretty(pgagent.export_jobs('{nightly vacuum}'));
