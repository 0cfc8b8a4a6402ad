-- A job that was created disabled runs when its schedule says so.
select pgagent.create_job('new import', schedule => '@daily', sql => 'select 1', enabled => false);
select pgagent.enable_job('new import');
select jobenabled, jobnextrun from pgagent.pga_job where jobname = 'new import';
