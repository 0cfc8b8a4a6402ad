# How things are just now; exit code 6 if something is not well.
pgagent-py health
