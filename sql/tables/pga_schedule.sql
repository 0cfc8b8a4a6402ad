create table pgagent.pga_schedule (
    jscid serial not null constraint pga_schedule_pkey primary key,
    jscjobid int4 not null
        constraint pga_schedule_jscjobid_fkey references pgagent.pga_job (jobid) on delete cascade on update restrict,
    jscname text not null,
    jscdesc text not null default '',
    jscenabled bool not null default true,
    jscstart timestamptz not null default current_timestamp,
    jscend timestamptz,
    jscminutes bool[60] not null default '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}',
    jschours bool[24] not null default '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}',
    jscweekdays bool[7] not null default '{f,f,f,f,f,f,f}',
    jscmonthdays bool[32] not null default '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}',
    jscmonths bool[12] not null default '{f,f,f,f,f,f,f,f,f,f,f,f}',
    jsctimezone text,
    jscinterval interval
        constraint pga_schedule_jscinterval_check check (
            extract(year from jscinterval) = 0 and extract(month from jscinterval) = 0
            and extract(epoch from jscinterval) = trunc(extract(epoch from jscinterval))
            and jscinterval between '1 second' and '36500 days'),
    jsccalendar int4
        constraint pga_schedule_jsccalendar_fkey references pgagent.pga_calendar (calid) on delete restrict on update restrict,
    constraint pga_schedule_jscminutes_size check (array_upper(jscminutes, 1) = 60),
    constraint pga_schedule_jschours_size check (array_upper(jschours, 1) = 24),
    constraint pga_schedule_jscweekdays_size check (array_upper(jscweekdays, 1) = 7),
    constraint pga_schedule_jscmonthdays_size check (array_upper(jscmonthdays, 1) = 32),
    constraint pga_schedule_jscmonths_size check (array_upper(jscmonths, 1) = 12)
);
create index pga_jobschedule_jobid on pgagent.pga_schedule (jscjobid);
create index pga_schedule_jsccalendar on pgagent.pga_schedule (jsccalendar) where jsccalendar is not null;

comment on table pgagent.pga_schedule is 'Schedules of jobs; docs/schedule.md says what they mean.';
comment on column pgagent.pga_schedule.jscid is 'Id of the schedule.';
comment on column pgagent.pga_schedule.jscjobid is 'The job.';
comment on column pgagent.pga_schedule.jscname is 'Name of the schedule.';
comment on column pgagent.pga_schedule.jscdesc is 'Description of the schedule.';
comment on column pgagent.pga_schedule.jscenabled is 'Whether the schedule counts.';
comment on column pgagent.pga_schedule.jscstart is 'No run before the minute of this instant.';
comment on column pgagent.pga_schedule.jscend is 'No run after this instant; null: no end.';
comment on column pgagent.pga_schedule.jscminutes is 'Minutes 0 to 59; none true: all.';
comment on column pgagent.pga_schedule.jschours is 'Hours 0 to 23; none true: all.';
comment on column pgagent.pga_schedule.jscweekdays is 'Weekdays, Sunday first; none true: all.';
comment on column pgagent.pga_schedule.jscmonthdays is 'Days of the month 1 to 31, then the last day; none true: all.';
comment on column pgagent.pga_schedule.jscmonths is 'Months, January first; none true: all.';
comment on column pgagent.pga_schedule.jsctimezone is
    'Time zone in which the arrays and the exceptions are read, as in SET TimeZone; null: the one in settings.';
comment on column pgagent.pga_schedule.jscinterval is
    'Time between runs, counted from jscstart, in the minutes that the arrays allow (whole seconds from 1 s, no months); null: every minute that they allow.';
comment on column pgagent.pga_schedule.jsccalendar is
    'Calendar on whose dates the schedule does not run, in addition to its exceptions; null: none.';
