create function pgagent.drop_step(step int4) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._require_step(step);
    delete from pgagent.pga_jobstep s where s.jstid = step;
end
$$;
comment on function pgagent.drop_step(int4) is 'Deletes a step and its logs.';
