# A job with a schedule, one that runs every ten seconds, one for the shell, which waits until somebody runs it.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze'
pgagent-py create heartbeat --every '10 seconds' --sql 'select 1' --timeout '5 s'
pgagent-py create 'disk usage' --batch 'df -h'
