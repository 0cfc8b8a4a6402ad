-- pgAgent's own daemon registers with a pid only; its backend started before it registered. An agent of ours that has
-- runs and has said nothing for its lease is stuck: its session is there, but nobody should wait for it. Runs that wait
-- for a ticker need nothing of it.
create function pgagent._agent_is_alive(agent pgagent.pga_jobagent) returns bool
language plpgsql volatile security definer  -- backend_start of other roles' sessions is hidden from an unprivileged engine
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select
          from pg_stat_get_activity(agent.jagpid) s
         where case when agent.jagbackendstart is null
                    then s.backend_start <= agent.jaglogintime
                    else s.backend_start = agent.jagbackendstart
               end)
       and agent.jagleaseuntil is distinct from '-infinity'
       and (coalesce(agent.jagleaseuntil > clock_timestamp(), true)
            or not exists (
                select
                  from pgagent.pga_job j
                 where j.jobagentid = agent.jagpid
                   and not exists (select from pgagent._batch_step b where b.jobid = j.jobid and not b.taken)));
end
$$;
comment on function pgagent._agent_is_alive(pgagent.pga_jobagent) is
    'Whether the session that registered this agent still exists, same pid and same backend start, and was not given up: it has not '
    'let its lease run out while it had runs.';
