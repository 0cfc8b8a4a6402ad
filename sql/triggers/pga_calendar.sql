create function pgagent.pga_calendar_owner_trigger() returns trigger
language plpgsql volatile security invoker  -- the writer's rights count
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_roles r where r.rolname = new.calowner) then
        raise exception using
            errcode = 'undefined_object',
            message = format('role "%s" does not exist', new.calowner),
            hint = 'The owner of a calendar is a role: CREATE ROLE makes one.';
    elsif not (select r.rolsuper from pg_roles r where r.rolname = current_user)
          and 2 > (select count(*) from pg_roles r
                    where r.rolname in (old.calowner, new.calowner) and pg_has_role(r.oid, 'usage')) then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('the owner of calendar "%s" cannot be changed from "%s" to "%s"',
                             old.calname, old.calowner, new.calowner),
            detail = format('Role "%s" must be a member of both.', current_user),
            hint = 'A superuser can change it.';
    end if;
    return new;
end
$$;
comment on function pgagent.pga_calendar_owner_trigger() is
    'Lets only superusers and members of both roles give a calendar to another owner.';

create trigger pga_calendar_owner
    before update of calowner on pgagent.pga_calendar
    for each row when (new.calowner is distinct from old.calowner)
    execute function pgagent.pga_calendar_owner_trigger();
comment on trigger pga_calendar_owner on pgagent.pga_calendar is 'Guards the owner.';
