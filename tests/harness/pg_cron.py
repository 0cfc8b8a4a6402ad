"""The table of pg_cron, for tests of what is made of it: the extension itself is not needed."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

# As pg_cron 1.6 defines it.
_TABLE = """
    drop schema if exists cron cascade;
    create schema cron;
    create sequence cron.jobid_seq;
    create table cron.job (
        jobid bigint primary key default nextval('cron.jobid_seq'),
        schedule text not null,
        command text not null,
        nodename text not null default 'localhost',
        nodeport int not null default current_setting('port')::int,
        database text not null default current_database(),
        username text not null default current_user,
        active boolean not null default true,
        jobname text,
        constraint jobname_username_uniq unique (jobname, username)
    );
    grant usage on schema cron to public;
    grant select on cron.job to public;
    alter table cron.job enable row level security;
    create policy cron_job_policy on cron.job using (username = current_user)
"""


def create_cron_job(conn: Connection[Any]) -> None:
    """Make the table, empty."""
    conn.execute(_TABLE)
