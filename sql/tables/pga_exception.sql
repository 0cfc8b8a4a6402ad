create table pgagent.pga_exception (
    jexid serial not null constraint pga_exception_pkey primary key,
    jexscid int4 not null
        constraint pga_exception_jexscid_fkey references pgagent.pga_schedule (jscid) on delete cascade on update restrict,
    jexdate date,
    jextime time
);
create index pga_exception_jexscid on pgagent.pga_exception (jexscid);
-- Unique within a schedule, nulls included, without NULLS NOT DISTINCT, which PostgreSQL 14 lacks.
create unique index pga_exception_datetime on pgagent.pga_exception (
    jexscid, (jexdate is null), coalesce(jexdate, '2000-01-01'::date), (jextime is null), coalesce(jextime, '00:00'::time));

comment on table pgagent.pga_exception is 'Exceptions of schedules: times at which a job does not run.';
comment on column pgagent.pga_exception.jexid is 'Id of the exception.';
comment on column pgagent.pga_exception.jexscid is 'The schedule.';
comment on column pgagent.pga_exception.jexdate is 'Date; null: every day.';
comment on column pgagent.pga_exception.jextime is 'Time of day; null: the whole day.';
