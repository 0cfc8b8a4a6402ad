# What the latest run of a job has put out.
pgagent-py create report --sql 'select count(*) from pg_class'
pgagent-py run report --here --quiet
pgagent-py log report
