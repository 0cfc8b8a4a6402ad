create table pgagent.pga_calendar (
    calid serial not null constraint pga_calendar_pkey primary key,
    calname text not null constraint pga_calendar_calname_check check (calname <> ''),
    caldesc text not null default '',
    calowner name not null default current_user,
    constraint pga_calendar_calname_key unique (calname)
);

comment on table pgagent.pga_calendar is 'Calendars: named sets of dates on which the schedules that name them do not run.';
comment on column pgagent.pga_calendar.calid is 'Id of the calendar.';
comment on column pgagent.pga_calendar.calname is 'Name of the calendar.';
comment on column pgagent.pga_calendar.caldesc is 'Description of the calendar.';
comment on column pgagent.pga_calendar.calowner is 'Role whose members may change the calendar; everybody who has jobs may use it.';
