# A job is changed by hand, and made again what the file says.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py export -o jobs.yaml
pgagent-py disable 'nightly vacuum'
pgagent-py apply jobs.yaml
