# All jobs; the same for a program.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py jobs
pgagent-py jobs --json
