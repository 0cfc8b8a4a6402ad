# The doctor: what keeps jobs from running, and what to do; exit code 6 if there is something.
pgagent-py create 'nightly vacuum' --sql 'vacuum analyze'
pgagent-py check
