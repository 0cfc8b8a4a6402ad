-- Statement triggers: one computation for all jobs that a statement touches. A schedule that moves counts for both jobs.
create function pgagent.pga_schedule_trigger() returns trigger
language plpgsql volatile security definer  -- see pgagent._recompute
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        perform pgagent._recompute(
            array(select distinct jscjobid from new_rows), array(select jscid from new_rows));
    elsif tg_op = 'DELETE' then
        perform pgagent._recompute(array(select distinct jscjobid from old_rows), '{}');
    else
        perform pgagent._recompute(
            array(select jscjobid from new_rows union select jscjobid from old_rows), array(select jscid from new_rows));
    end if;
    return null;
end
$$;
comment on function pgagent.pga_schedule_trigger() is 'Computes the next run of jobs whose schedules have changed.';

create trigger pga_schedule_insert
    after insert on pgagent.pga_schedule referencing new table as new_rows
    for each statement execute function pgagent.pga_schedule_trigger();
comment on trigger pga_schedule_insert on pgagent.pga_schedule is 'Computes the jobs'' next runs.';
create trigger pga_schedule_update
    after update on pgagent.pga_schedule referencing old table as old_rows new table as new_rows
    for each statement execute function pgagent.pga_schedule_trigger();
comment on trigger pga_schedule_update on pgagent.pga_schedule is 'Computes the jobs'' next runs.';
create trigger pga_schedule_delete
    after delete on pgagent.pga_schedule referencing old table as old_rows
    for each statement execute function pgagent.pga_schedule_trigger();
comment on trigger pga_schedule_delete on pgagent.pga_schedule is 'Computes the jobs'' next runs.';

create function pgagent.pga_schedule_zone_trigger() returns trigger
language plpgsql volatile security definer  -- asks a function that a job's owner may not call
set search_path = pg_catalog, pg_temp
as $$
begin
    new.jsctimezone := pgagent._zone_name(new.jsctimezone);
    return new;
end
$$;
comment on function pgagent.pga_schedule_zone_trigger() is 'Refuses unknown time zones, and spells known ones as the server does.';

create trigger pga_schedule_zone
    before insert or update of jsctimezone on pgagent.pga_schedule
    for each row when (new.jsctimezone is not null) execute function pgagent.pga_schedule_zone_trigger();
comment on trigger pga_schedule_zone on pgagent.pga_schedule is 'Known time zones only.';
