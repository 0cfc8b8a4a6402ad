create table pgagent._prune_walk (
    singleton bool not null default true
        constraint _prune_walk_pkey primary key
        constraint _prune_walk_singleton_check check (singleton),
    passed_run int4 not null default 0,
    began timestamptz not null default '-infinity',
    keep_runs interval,
    keep_failed_runs interval,
    passed_job int4 not null default 0
);

comment on table pgagent._prune_walk is 'How far prune_runs has come: one row.';
comment on column pgagent._prune_walk.singleton is 'Always true: there is one row.';
comment on column pgagent._prune_walk.passed_run is 'The walk by age has passed the runs up to this id.';
comment on column pgagent._prune_walk.began is 'When the walk by age began at the oldest run.';
comment on column pgagent._prune_walk.keep_runs is 'That setting in this walk; another one begins a new walk.';
comment on column pgagent._prune_walk.keep_failed_runs is 'That setting in this walk; another one begins a new walk.';
comment on column pgagent._prune_walk.passed_job is 'The walk by number has passed the jobs up to this id.';

insert into pgagent._prune_walk default values;
