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
    jscnextrun timestamptz
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
