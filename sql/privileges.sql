-- Functions are granted to PUBLIC unless one says otherwise; tables and schemas are not.
revoke all on all functions in schema pgagent from public;
revoke all on all procedures in schema pgagent from public;
