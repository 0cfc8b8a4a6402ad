-- One job, three schedules: weekdays in the night, Saturdays in the morning, and once more in two hours.
select pgagent.create_job('backup', schedule => '30 2 * * 1-5', sql => 'checkpoint');
select pgagent.add_schedule('backup', '0 9 * * sat', name => 'Saturdays', timezone => 'Europe/Berlin');
select pgagent.add_schedule('backup', at => now() + interval '2 hours');
select jscname, pgagent.explain_schedule(jscid) from pgagent.pga_schedule where jscjobid = pgagent.find_job('backup');
