create table pgagent.settings (
    singleton bool not null default true
        constraint settings_pkey primary key
        constraint settings_singleton_check check (singleton),
    timezone text not null default 'UTC',
    parallel_runs int4 not null default 16
        constraint settings_parallel_runs_check check (parallel_runs between 1 and 1000),
    conninfo text not null default '',
    connect_timeout interval not null default '10 s'
        constraint settings_connect_timeout_check check (connect_timeout between '1 s' and '1 h'),
    session_idle_timeout interval not null default '30 s'
        constraint settings_session_idle_timeout_check check (session_idle_timeout between '1 s' and '1 h'),
    output_limit int4 not null default 1048576
        constraint settings_output_limit_check check (output_limit between 1024 and 104857600),
    agent_lease interval not null default '1 min'
        constraint settings_agent_lease_check check (agent_lease between '5 s' and '1 day'),
    reserved_connections int4 not null default 3
        constraint settings_reserved_connections_check check (reserved_connections between 0 and 10000),
    total_runs int4 constraint settings_total_runs_check check (total_runs >= 0),
    long_run interval default '1 min' constraint settings_long_run_check check (long_run >= '0 s'),
    keep_runs interval default '90 days' constraint settings_keep_runs_check check (keep_runs >= '0 s'),
    keep_failed_runs interval default '1 year' constraint settings_keep_failed_runs_check check (keep_failed_runs >= '0 s'),
    keep_runs_per_job int4 default 10000
        constraint settings_keep_runs_per_job_check check (keep_runs_per_job between 1 and 1000000),
    overdue_after interval default '5 min'
        constraint settings_overdue_after_check check (overdue_after between '1 s' and '3660 days'),
    event_interval interval not null default '1 min'
        constraint settings_event_interval_check check (event_interval between '0 s' and '30 days'),
    keep_events interval default '90 days' constraint settings_keep_events_check check (keep_events >= '0 s')
);

comment on table pgagent.settings is 'Settings of pgagent_py: one row, changed by UPDATE; kept by pg_dump.';
comment on column pgagent.settings.singleton is 'Always true: there is one row.';
comment on column pgagent.settings.timezone is
    'Time zone in which schedules and exceptions are read, unless a schedule names its own; at first the TimeZone of the session that created the extension.';
comment on column pgagent.settings.parallel_runs is 'How many jobs one engine runs at once (1 to 1000); each needs a connection.';
comment on column pgagent.settings.conninfo is
    'libpq settings for the connections back to this server, over the defaults: its first unix socket directory, its port, '
    'and for the books the superuser who calls run_due, or else the role that owns the extension. Steps connect as the owner of '
    'their job.';
comment on column pgagent.settings.connect_timeout is 'How long a connection for a step may take to be made (1 s to 1 h).';
comment on column pgagent.settings.session_idle_timeout is
    'How long an unused step session is kept (1 s to 1 h); an open one blocks DROP DATABASE.';
comment on column pgagent.settings.output_limit is
    'Bytes of output kept of one step (1 KiB to 100 MiB); of more, the beginning and the end are kept.';
comment on column pgagent.settings.agent_lease is
    'An agent that has said nothing for so long is taken for lost, even if its session exists: another one aborts its runs (5 s to 1 day).';
comment on column pgagent.settings.reserved_connections is
    'Connections of the server, besides those reserved for superusers, that the engine leaves to others (0 to 10000).';
comment on column pgagent.settings.total_runs is 'How many jobs run at once, whoever runs them; null: any number.';
comment on column pgagent.settings.long_run is
    'A run that has lasted so long counts no more among parallel_runs, so that long jobs do not keep short ones waiting; null: it always counts.';
comment on column pgagent.settings.keep_runs is 'How long the logs of runs are kept; null: for ever.';
comment on column pgagent.settings.keep_failed_runs is 'How long the logs of runs that did not succeed are kept; null: for ever.';
comment on column pgagent.settings.keep_runs_per_job is 'How many runs of a job are kept, the latest ones (1 to 1000000); null: all.';
comment on column pgagent.settings.overdue_after is
    'A job that has been due for so long and does not start is overdue: an event says so (1 s to 10 years); null: never.';
comment on column pgagent.settings.event_interval is
    'A job whose state goes to and fro is told of at most once in this time (0 s to 30 days).';
comment on column pgagent.settings.keep_events is 'How long events are kept; null: for ever.';

insert into pgagent.settings (timezone) values (pg_catalog.current_setting('TimeZone'));
