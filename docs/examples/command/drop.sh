# A job goes, with its steps, its schedules and its logs.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py drop 'nightly vacuum' --yes
