# What will run in the next day; when one job will run.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * *' --sql 'vacuum analyze'
pgagent-py next
pgagent-py next 'nightly vacuum'
