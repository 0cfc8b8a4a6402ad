-- As pga_exception: one computation per statement, for all jobs whose schedules name one of the calendars.
create function pgagent.pga_holiday_trigger() returns trigger
language plpgsql volatile security definer  -- see pgagent._recompute
set search_path = pg_catalog, pg_temp
as $$
declare
    calendars int4[];
    schedules int4[];
    jobids int4[];
begin
    if tg_op = 'INSERT' then
        calendars := array(select distinct holcalid from new_rows);
    elsif tg_op = 'DELETE' then
        calendars := array(select distinct holcalid from old_rows);
    else
        -- A change of names alone moves no run.
        calendars := array(
            select holcalid from (select holcalid, holdate from new_rows except select holcalid, holdate from old_rows) gained
             union
            select holcalid from (select holcalid, holdate from old_rows except select holcalid, holdate from new_rows) lost);
    end if;
    -- Whoever changes a calendar is not told the names of others' schedules: check tells their owners.
    select array_agg(s.jscid) filter (
               where j.jobowner = c.calowner
                  or exists (select from pg_roles r where r.rolname = session_user and r.rolsuper)),
           array_agg(distinct s.jscjobid)
      into schedules, jobids
      from pgagent.pga_schedule s
      join pgagent.pga_calendar c on c.calid = s.jsccalendar
      join pgagent.pga_job j on j.jobid = s.jscjobid
     where s.jsccalendar = any (calendars);
    if jobids is not null then
        perform pgagent._recompute(jobids, schedules);
    end if;
    return null;
end
$$;
comment on function pgagent.pga_holiday_trigger() is 'Computes the next run of jobs whose calendars have changed.';

create trigger pga_holiday_insert
    after insert on pgagent.pga_holiday referencing new table as new_rows
    for each statement execute function pgagent.pga_holiday_trigger();
comment on trigger pga_holiday_insert on pgagent.pga_holiday is 'Computes the jobs'' next runs.';
create trigger pga_holiday_update
    after update on pgagent.pga_holiday referencing old table as old_rows new table as new_rows
    for each statement execute function pgagent.pga_holiday_trigger();
comment on trigger pga_holiday_update on pgagent.pga_holiday is 'Computes the jobs'' next runs.';
create trigger pga_holiday_delete
    after delete on pgagent.pga_holiday referencing old table as old_rows
    for each statement execute function pgagent.pga_holiday_trigger();
comment on trigger pga_holiday_delete on pgagent.pga_holiday is 'Computes the jobs'' next runs.';

-- A schedule that gets this calendar holds its row FOR KEY SHARE: each of two changes made at a time sees the other.
create function pgagent.pga_holiday_lock_trigger() returns trigger
language plpgsql volatile security invoker  -- who may not change the calendar cannot lock it either
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' then
        perform from pgagent.pga_calendar c where c.calid = old.holcalid for update;
        return old;
    end if;
    if tg_op = 'UPDATE' then
        perform from pgagent.pga_calendar c where c.calid in (old.holcalid, new.holcalid) order by c.calid for update;
    else
        perform from pgagent.pga_calendar c where c.calid = new.holcalid for update;
    end if;
    return new;
end
$$;
comment on function pgagent.pga_holiday_lock_trigger() is
    'Lets changes of a calendar, and schedules that begin to use it, come one after the other.';

create trigger pga_holiday_lock
    before insert or update or delete on pgagent.pga_holiday
    for each row execute function pgagent.pga_holiday_lock_trigger();
comment on trigger pga_holiday_lock on pgagent.pga_holiday is 'One change of a calendar at a time.';
