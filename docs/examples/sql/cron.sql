-- The arrays of a schedule, for a statement that writes the tables itself.
select pgagent.create_job('backup', batch => 'pg_dumpall > /var/backups/all.sql');
insert into pgagent.pga_schedule (jscjobid, jscname, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
select pgagent.find_job('backup'), 'weekdays', c.* from pgagent.cron('30 2 * * mon-fri') c;
