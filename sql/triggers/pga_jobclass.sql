create function pgagent.pga_jobclass_trigger() returns trigger
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A restored dump brings the names that classes 1 to 5 had there; the rows exist from CREATE EXTENSION.
    if new.jclid between 1 and 5 then
        update pgagent.pga_jobclass
           set jclname = new.jclname
         where jclid = new.jclid
           and jclname = (array['Routine Maintenance', 'Data Import', 'Data Export', 'Data Summarisation',
                                'Miscellaneous'])[new.jclid];
        if found then
            return null;
        end if;
    end if;
    return new;
end
$$;
comment on function pgagent.pga_jobclass_trigger() is 'Lets a dump restore the names of the classes that come with the extension.';

create trigger pga_jobclass_trigger
    before insert on pgagent.pga_jobclass
    for each row execute function pgagent.pga_jobclass_trigger();
comment on trigger pga_jobclass_trigger on pgagent.pga_jobclass is 'Restores names of the classes that come with the extension.';
