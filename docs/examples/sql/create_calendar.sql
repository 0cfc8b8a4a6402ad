-- A calendar with its first dates, and a schedule that does not run on them.
select pgagent.create_calendar('German holidays', '{2026-12-25, 2026-12-26}', 'Days on which the banks are closed');
select pgagent.create_job('settle payments', sql => 'select 1');
select pgagent.add_schedule('settle payments', '30 2 * * 1-5', calendar => 'German holidays');
select run, jscname from pgagent.upcoming('settle payments', 3, after => '2026-12-24');
