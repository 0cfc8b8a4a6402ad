# What in the database is no longer as the file says: exit code 6.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py export -o jobs.yaml
pgagent-py disable 'nightly vacuum'
pgagent-py diff jobs.yaml
