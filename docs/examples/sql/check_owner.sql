-- Can the jobs of a new role run? If not: why, and what would help.
create role app login;
select allowed, detail, remedy from pgagent.check_owner('app');
drop role app;
