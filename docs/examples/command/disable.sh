# A job does not run until it is enabled again.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py disable 'nightly vacuum'
