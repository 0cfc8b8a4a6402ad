-- As in pgAgent: the next run by arrays, at 02:30, in the time zone of the session; -1: no schedule, so no exceptions.
select pgagent.pga_next_schedule(-1, now(), null, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
  from pgagent.cron('30 2 * * *');
