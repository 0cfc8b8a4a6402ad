-- What is due runs to its end, with commits in between, so that no step has to wait for this session.
create table orders (id int);
select pgagent.create_job('index', sql => 'create index concurrently on orders (id)');
update pgagent.pga_job set jobnextrun = now();
call pgagent.run_until_idle();
select jlgstatus, jlgduration from pgagent.pga_joblog where jlgjobid = pgagent.find_job('index');
