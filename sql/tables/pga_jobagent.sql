create table pgagent.pga_jobagent (
    jagpid int4 not null constraint pga_jobagent_pkey primary key,
    jaglogintime timestamptz not null default current_timestamp,
    jagstation text not null,
    jagbackendstart timestamptz,
    jagtakesbatch bool not null default false,
    jagleaseuntil timestamptz
);

comment on table pgagent.pga_jobagent is
    'Agents: the sessions that run jobs. Pid and backend start together are an agent''s identity.';
comment on column pgagent.pga_jobagent.jagpid is 'Process id of the agent''s backend.';
comment on column pgagent.pga_jobagent.jaglogintime is 'When the agent registered itself.';
comment on column pgagent.pga_jobagent.jagstation is 'Host on which the agent runs, or the name of its application.';
comment on column pgagent.pga_jobagent.jagbackendstart is
    'backend_start of the agent''s backend, so that a reused pid is another agent; null: an agent of pgAgent.';
comment on column pgagent.pga_jobagent.jagtakesbatch is 'Whether this session executes batch steps, that is, belongs to a ticker.';
comment on column pgagent.pga_jobagent.jagleaseuntil is
    'Until when the agent is in command of its runs, if it does not renew that; -infinity: it has lost them; null: an agent of pgAgent.';
