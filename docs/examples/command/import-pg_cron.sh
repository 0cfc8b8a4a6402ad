# First a look at what would become of the jobs of pg_cron, then the jobs of them, those of alice owned by another role.
pgagent-py import pg_cron
pgagent-py import pg_cron --owner alice=postgres --apply
