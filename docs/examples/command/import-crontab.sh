# First a look at what would become of a crontab, then the jobs of it.
pgagent-py import crontab crontab.txt --timezone Europe/Berlin
pgagent-py import crontab crontab.txt --timezone Europe/Berlin --prefix 'web: ' --apply
