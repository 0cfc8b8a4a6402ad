-- As pga_schedule: one computation per statement; an exception that moves counts for both jobs.
create function pgagent.pga_exception_trigger() returns trigger
language plpgsql volatile security definer  -- see pgagent._recompute
set search_path = pg_catalog, pg_temp
as $$
declare
    schedules int4[];
begin
    if tg_op = 'INSERT' then
        schedules := array(select distinct jexscid from new_rows);
    elsif tg_op = 'DELETE' then
        schedules := array(select distinct jexscid from old_rows);
    else
        schedules := array(select jexscid from new_rows union select jexscid from old_rows);
    end if;
    perform pgagent._recompute(
        array(select distinct jscjobid from pgagent.pga_schedule where jscid = any (schedules)), schedules);
    return null;
end
$$;
comment on function pgagent.pga_exception_trigger() is 'Computes the next run of jobs whose exceptions have changed.';

create trigger pga_exception_insert
    after insert on pgagent.pga_exception referencing new table as new_rows
    for each statement execute function pgagent.pga_exception_trigger();
comment on trigger pga_exception_insert on pgagent.pga_exception is 'Computes the jobs'' next runs.';
create trigger pga_exception_update
    after update on pgagent.pga_exception referencing old table as old_rows new table as new_rows
    for each statement execute function pgagent.pga_exception_trigger();
comment on trigger pga_exception_update on pgagent.pga_exception is 'Computes the jobs'' next runs.';
create trigger pga_exception_delete
    after delete on pgagent.pga_exception referencing old table as old_rows
    for each statement execute function pgagent.pga_exception_trigger();
comment on trigger pga_exception_delete on pgagent.pga_exception is 'Computes the jobs'' next runs.';
