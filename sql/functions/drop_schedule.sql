create function pgagent.drop_schedule(schedule int4) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._require_schedule(schedule);
    delete from pgagent.pga_schedule s where s.jscid = schedule;
end
$$;
comment on function pgagent.drop_schedule(int4) is 'Deletes a schedule and its exceptions.';
