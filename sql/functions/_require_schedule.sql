create function pgagent._require_schedule(schedule int4) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._reject_null(json_build_object('schedule', schedule));
    perform from pgagent.pga_schedule s where s.jscid = schedule;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('schedule %s does not exist', schedule),
            hint = 'SELECT jscid, jscname FROM pgagent.pga_schedule lists the schedules.';
    end if;
end
$$;
comment on function pgagent._require_schedule(int4) is 'Error 42704 unless the caller sees a schedule of this id.';
