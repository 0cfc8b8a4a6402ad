# The runs of one job; what has failed since yesterday.
pgagent-py create report --sql 'select count(*) from pg_class'
pgagent-py run report --here
pgagent-py runs report
pgagent-py runs --failed --since yesterday
