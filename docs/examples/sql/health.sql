-- What is not well, for a person; and one word for monitoring.
select matter, status, detail, remedy from pgagent.health() where status <> 'OK';
select case when bool_or(status = 'CRITICAL') then 'CRITICAL'
            when bool_or(status = 'WARNING') then 'WARNING'
            else 'OK' end as state
  from pgagent.health();
