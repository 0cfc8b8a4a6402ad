-- Functions are granted to PUBLIC unless one says otherwise; the rest only where the installing role's default privileges say so.
revoke all on schema pgagent from public;
revoke all on all tables in schema pgagent from public;
revoke all on all sequences in schema pgagent from public;
revoke all on all functions in schema pgagent from public;
revoke all on all procedures in schema pgagent from public;
