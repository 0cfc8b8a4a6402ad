# Who ran when in the last day, and for how long.
pgagent-py create report --sql 'select count(*) from pg_class'
pgagent-py run report --here --quiet
pgagent-py history
