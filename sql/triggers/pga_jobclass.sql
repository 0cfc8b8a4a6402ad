create function pgagent.pga_jobclass_trigger() returns trigger
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A restored dump brings all classes, perhaps renamed. Those that CREATE EXTENSION made give way, in a new database
    -- only, where no job refers to them.
    if not exists (select from pgagent.pga_job) then
        delete from pgagent.pga_jobclass c
         where (c.jclid = new.jclid or c.jclname = new.jclname)
           and c.jclid between 1 and 5
           and c.jclname = (array['Routine Maintenance', 'Data Import', 'Data Export', 'Data Summarisation',
                                  'Miscellaneous'])[c.jclid];
    end if;
    return new;
end
$$;
comment on function pgagent.pga_jobclass_trigger() is 'Lets a dump restore the classes that come with the extension.';

create trigger pga_jobclass_trigger
    before insert on pgagent.pga_jobclass
    for each row execute function pgagent.pga_jobclass_trigger();
comment on trigger pga_jobclass_trigger on pgagent.pga_jobclass is 'Lets restored classes replace those that come with the extension.';
