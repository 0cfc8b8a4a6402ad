-- A job as pgAdmin 4 defines it: one transaction with one DO block that writes the tables, then the search
-- for the new row by its xmin. Takes the psql variable name, prints the id.
select set_config('demo.name', :'name', false) \g /dev/null

begin;

do $$
declare
    jid integer;
begin
    insert into pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled)
    values (1, current_setting('demo.name'), 'Made by make demo', '', true)
    returning jobid into jid;

    insert into pgagent.pga_jobstep
        (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror, jstcode, jstdesc)
    values (jid, '1 insert', true, 's', '', 'postgres', 'f',
        'create table if not exists demo_numbers (n integer, at timestamptz default now());
insert into demo_numbers (n) select generate_series(1, 1000);', '');

    insert into pgagent.pga_jobstep
        (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror, jstcode, jstdesc)
    values (jid, '2 vacuum', true, 's', '', 'postgres', 'f', 'vacuum (analyze) demo_numbers;', '');

    insert into pgagent.pga_jobstep
        (jstjobid, jstname, jstenabled, jstkind, jstconnstr, jstdbname, jstonerror, jstcode, jstdesc)
    values (jid, '3 shell', true, 'b', '', '', 'f',
        'echo "run $PGAGENT_RUNID of $PGAGENT_JOBNAME, as $(id -un) in $(pwd)"', '');

    insert into pgagent.pga_schedule
        (jscjobid, jscname, jscdesc, jscenabled, jscstart,
         jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
    values (jid, 'every minute', '', true, now(),
        ('{t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,'
         't,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t,t}')::bool[],
        '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'::bool[],
        '{f,f,f,f,f,f,f}'::bool[],
        '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f}'::bool[],
        '{f,f,f,f,f,f,f,f,f,f,f,f}'::bool[]);
end
$$;

select jobid from pgagent.pga_job where xmin::text = (txid_current() % (2^32)::bigint)::text \gset

commit;

\echo :jobid
