create table pgagent._cancel_request (
    jlgid int4 not null constraint _cancel_request_pkey primary key,
    requested_by text not null default current_user,
    requested timestamptz not null default current_timestamp
);
-- Not a column of pga_joblog: a client's open transaction must not lock the row that the engine has to close.

comment on table pgagent._cancel_request is 'Runs that are to be cancelled; the engine that has a run takes its request away.';
comment on column pgagent._cancel_request.jlgid is 'The run.';
comment on column pgagent._cancel_request.requested_by is 'Role that asked for it.';
comment on column pgagent._cancel_request.requested is 'When it was asked for.';
