create table pgagent.pga_holiday (
    holid serial not null constraint pga_holiday_pkey primary key,
    holcalid int4 not null
        constraint pga_holiday_holcalid_fkey references pgagent.pga_calendar (calid) on delete cascade on update restrict,
    holdate date not null
        constraint pga_holiday_holdate_check check (holdate between '0001-01-01' and '9999-12-31'),
    holname text not null default '',
    constraint pga_holiday_holcalid_holdate_key unique (holcalid, holdate)
);

comment on table pgagent.pga_holiday is 'Dates of calendars.';
comment on column pgagent.pga_holiday.holid is 'Id of the holiday.';
comment on column pgagent.pga_holiday.holcalid is 'The calendar.';
comment on column pgagent.pga_holiday.holdate is 'Date (of the years 1 to 9999): the whole day, in the time zone of each schedule.';
comment on column pgagent.pga_holiday.holname is 'What the date is called.';
