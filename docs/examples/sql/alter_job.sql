-- Another name, a time limit and an end after three failures in a row; then no time limit any more.
select pgagent.create_job('import', schedule => '*/10 * * * *', sql => 'select 1');
select pgagent.alter_job('import', new_name => 'import orders', timeout => '8 min', max_failures => 3,
    class => 'Data Import');
select pgagent.alter_job('import orders', reset => '{timeout}');
