# All jobs into a file; one of them to the standard output.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py export -o jobs.yaml
pgagent-py export 'nightly vacuum'
