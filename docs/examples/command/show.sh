# Everything about one job: its steps, its schedules, its latest runs.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py show 'nightly vacuum'
