-- Ids come from sequences, in the order of the rows: the copies of schedules are found by their place.
create function pgagent._copy_schedules(original int4, copy int4) returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    originals constant int4[] := array(
        select s.jscid from pgagent.pga_schedule s where s.jscjobid = original order by s.jscid);
    copies int4[];
begin
    with made as (
        insert into pgagent.pga_schedule as c (
            jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays,
            jscmonths, jsctimezone, jscinterval, jsccalendar)
        select copy, s.jscname, s.jscdesc, s.jscenabled, s.jscstart, s.jscend, s.jscminutes, s.jschours, s.jscweekdays,
               s.jscmonthdays, s.jscmonths, s.jsctimezone, s.jscinterval, s.jsccalendar
          from pgagent.pga_schedule s
         where s.jscid = any (originals)
         order by s.jscid
        returning c.jscid
    )
    select array_agg(m.jscid order by m.jscid) into copies from made m;
    insert into pgagent.pga_exception (jexscid, jexdate, jextime)
    select p.made, e.jexdate, e.jextime
      from pgagent.pga_exception e
      join unnest(originals, copies) p (original, made) on p.original = e.jexscid;
end
$$;
comment on function pgagent._copy_schedules(int4, int4) is 'Copies the schedules of a job, with their exceptions, to another one.';

create function pgagent.copy_job(job int4, new_name text) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    copy int4;
begin
    perform pgagent._require_own_job(job);
    perform pgagent._reject_null(json_build_object('new_name', new_name));
    perform pgagent._check_job_name(new_name, j.jobowner) from pgagent.pga_job j where j.jobid = job;
    insert into pgagent.pga_job as c (
        jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobstartdeadline, jobtimeout, jobmaxfailures, joblocks,
        jobpriority, jobowner)
    select j.jobjclid, new_name, j.jobdesc, j.jobhostagent, false, j.jobstartdeadline, j.jobtimeout, j.jobmaxfailures,
           j.joblocks, j.jobpriority, j.jobowner
      from pgagent.pga_job j
     where j.jobid = job
    returning c.jobid into copy;
    insert into pgagent.pga_jobstep (
        jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstconnstr, jstdbname, jstonerror, jsttimeout,
        jstretries, jstretrydelay, jstretryfactor, jstretrymaxdelay, jstretryjitter, jstretrysqlstates)
    select copy, s.jstname, s.jstdesc, s.jstenabled, s.jstkind, s.jstcode, s.jstconnstr, s.jstdbname, s.jstonerror,
           s.jsttimeout, s.jstretries, s.jstretrydelay, s.jstretryfactor, s.jstretrymaxdelay, s.jstretryjitter,
           s.jstretrysqlstates
      from pgagent.pga_jobstep s
     where s.jstjobid = job
     order by s.jstid;
    perform pgagent._copy_schedules(job, copy);
    return copy;
end
$$;
comment on function pgagent.copy_job(int4, text) is
    'Copies a job with its steps, schedules and exceptions, for the same owner, and returns the id of the copy. The copy is '
    'disabled, because both would run: enable_job enables it.';

create function pgagent.copy_job(job text, new_name text) returns int4
language sql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$ select pgagent.copy_job(pgagent.find_job(job), new_name) $$;
comment on function pgagent.copy_job(text, text) is 'As copy_job of a job''s id, for the job of a name.';
