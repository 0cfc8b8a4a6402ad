# A job runs now, in this session: where a ticker is at work, without --here.
pgagent-py create report --sql 'select count(*) from pg_class'
pgagent-py run report --here
