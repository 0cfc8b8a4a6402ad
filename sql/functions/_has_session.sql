-- Weaker than _agent_is_alive, and for everybody: the start of other roles' sessions is hidden, and a lease may have run out.
create function pgagent._has_session(agent pgagent.pga_jobagent) returns bool
language sql stable security invoker
begin atomic
    select exists (
        select
          from pg_stat_get_activity((agent).jagpid) s
         where case when (agent).jagbackendstart is null then coalesce(s.backend_start <= (agent).jaglogintime, true)
                    else coalesce(s.backend_start = (agent).jagbackendstart, true)
               end);
end;
comment on function pgagent._has_session(pgagent.pga_jobagent) is
    'Whether the session of an agent seems to be there, as far as the calling role can see.';
