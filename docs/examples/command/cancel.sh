# A run that has been asked for, and that nobody shall start.
pgagent-py create report --sql 'select count(*) from pg_class'
pgagent-py run report --no-wait
pgagent-py cancel 1
