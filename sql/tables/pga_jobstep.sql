create table pgagent.pga_jobstep (
    jstid serial not null constraint pga_jobstep_pkey primary key,
    jstjobid int4 not null
        constraint pga_jobstep_jstjobid_fkey references pgagent.pga_job (jobid) on delete cascade on update restrict,
    jstname text not null,
    jstdesc text not null default '',
    jstenabled bool not null default true,
    jstkind character(1) not null constraint pga_jobstep_jstkind_check check (jstkind in ('b', 's')),
    jstcode text not null,
    jstconnstr text not null default ''
        constraint pga_jobstep_check check (
            (jstconnstr <> '' and jstkind = 's')
            or (jstconnstr = '' and (jstkind = 'b' or jstdbname <> ''))),
    jstdbname name not null default ''
        constraint pga_jobstep_check1 check (
            (jstdbname <> '' and jstkind = 's')
            or (jstdbname = '' and (jstkind = 'b' or jstconnstr <> ''))),
    jstonerror character(1) not null default 'f'
        constraint pga_jobstep_jstonerror_check check (jstonerror in ('f', 's', 'i')),
    jscnextrun timestamptz,
    jsttimeout interval constraint pga_jobstep_jsttimeout_check check (jsttimeout between '1 ms' and '3660 days'),
    jstretries int4 not null default 0 constraint pga_jobstep_jstretries_check check (jstretries between 0 and 1000),
    jstretrydelay interval not null default '1 s'
        constraint pga_jobstep_jstretrydelay_check check (jstretrydelay between '0 s' and '30 days'),
    jstretryfactor float8 not null default 2
        constraint pga_jobstep_jstretryfactor_check check (jstretryfactor between 1 and 100),
    jstretrymaxdelay interval not null default '5 min'
        constraint pga_jobstep_jstretrymaxdelay_check check (jstretrymaxdelay between '0 s' and '30 days'),
    jstretryjitter float8 not null default 0.1
        constraint pga_jobstep_jstretryjitter_check check (jstretryjitter between 0 and 1),
    jstretrysqlstates text[]
        constraint pga_jobstep_jstretrysqlstates_check check (
            jstretrysqlstates is null
            or coalesce(array_ndims(jstretrysqlstates), 0) = 1
               and cardinality(jstretrysqlstates)
                   = cardinality(string_to_array(array_to_string(jstretrysqlstates, ',', '?'), ','))
               and array_to_string(jstretrysqlstates, ',', '?') ~ '^([0-9A-Z]{2}([0-9A-Z]{3}|\*)(,|$))+$'
               and cardinality(jstretrysqlstates) > 0)
);
create index pga_jobstep_jobid on pgagent.pga_jobstep (jstjobid);

comment on table pgagent.pga_jobstep is 'Steps of jobs, run in the order of jstname, jstid.';
comment on column pgagent.pga_jobstep.jstid is 'Id of the step.';
comment on column pgagent.pga_jobstep.jstjobid is 'The job.';
comment on column pgagent.pga_jobstep.jstname is 'Name of the step.';
comment on column pgagent.pga_jobstep.jstdesc is 'Description of the step.';
comment on column pgagent.pga_jobstep.jstenabled is 'Whether the step runs.';
comment on column pgagent.pga_jobstep.jstkind is 's: SQL, b: batch (a script that the ticker executes).';
comment on column pgagent.pga_jobstep.jstcode is 'SQL text or script.';
comment on column pgagent.pga_jobstep.jstconnstr is 'libpq connection string for a SQL step; empty: jstdbname on this server.';
comment on column pgagent.pga_jobstep.jstdbname is 'Database of this server for a SQL step; empty: jstconnstr says where.';
comment on column pgagent.pga_jobstep.jstonerror is
    'If the step fails: f: the job fails and stops, s: the step counts as successful, i: the failure is ignored.';
comment on column pgagent.pga_jobstep.jscnextrun is 'Unused; clients of pgAgent read it.';
comment on column pgagent.pga_jobstep.jsttimeout is
    'Time limit of one attempt (1 ms to 10 years): then it is cancelled and counts as failed; null: none.';
comment on column pgagent.pga_jobstep.jstretries is 'How often a failed step is tried again (0 to 1000), each time with a log row of its own.';
comment on column pgagent.pga_jobstep.jstretrydelay is 'Wait before the first retry (0 s to 30 days).';
comment on column pgagent.pga_jobstep.jstretryfactor is 'By how much the wait grows from one retry to the next (1 to 100).';
comment on column pgagent.pga_jobstep.jstretrymaxdelay is 'Longest wait before a retry (0 s to 30 days).';
comment on column pgagent.pga_jobstep.jstretryjitter is
    'By how much of itself a wait may be shorter, at random (0 to 1), so that what failed together is not tried again together.';
comment on column pgagent.pga_jobstep.jstretrysqlstates is
    'SQLSTATEs (40001) and classes (08*) after which an SQL step is tried again; null: after every failure.';
