-- The function reads the tables with the rights of who reads the view.
create view pgagent.calendar as
    select c.run, c.jobid as job, c.jobname as name, c.jscname as schedule
      from pgagent.calendar() c;
comment on view pgagent.calendar is
    'What will run within a day, at most 1000 runs of each job; pgagent.calendar(after, until, count) tells of other times.';
comment on column pgagent.calendar.run is 'When the job runs.';
comment on column pgagent.calendar.job is 'Id of the job.';
comment on column pgagent.calendar.name is 'Name of the job.';
comment on column pgagent.calendar.schedule is 'Name of the schedule; null: the job was asked to run then.';
