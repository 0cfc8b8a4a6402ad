-- What clients of pgAgent ask before they use the tables.
select pgagent.pgagent_schema_version();
