-- A job of three steps: they run in the order of their names, here 01, 02 and 03.
select pgagent.create_job('load prices', schedule => '0 6 * * *');
select pgagent.add_step('load prices', batch => 'curl -fsS https://example.com/prices.csv -o /tmp/prices.csv',
    timeout => '5 min', retries => 3, retry_delay => '10 s');
select pgagent.add_step('load prices', sql => 'select 1 -- copy prices from program ...');
select pgagent.add_step('load prices', sql => 'analyze', on_error => 'ignore', description => 'Fresh statistics');
select jstid, jstname, jstkind, jstonerror
  from pgagent.pga_jobstep where jstjobid = pgagent.find_job('load prices') order by jstname;
