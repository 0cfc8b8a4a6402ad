-- What pg_dump keeps. Not: pga_jobagent, _batch_step, _cancel_request and _run_request, which are about sessions of this server, and
-- _prune_walk, _alarm and _claim_turn, which are about what happens here.
select pg_catalog.pg_extension_config_dump('pgagent.pga_jobclass', '');
select pg_catalog.pg_extension_config_dump('pgagent.settings', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_job', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_jobstep', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_calendar', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_holiday', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_schedule', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_exception', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_joblog', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_jobsteplog', '');
select pg_catalog.pg_extension_config_dump('pgagent.event', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_jobclass_jclid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_job_jobid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_jobstep_jstid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_calendar_calid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_holiday_holid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_schedule_jscid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_exception_jexid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_joblog_jlgid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.pga_jobsteplog_jslid_seq', '');
select pg_catalog.pg_extension_config_dump('pgagent.event_evtid_seq', '');
