create function pgagent._upcoming(jobids int4[], after float8, until float8, count int4)
returns table (epoch float8, jobid int4, jscid int4)
language plpython3u stable security invoker
set search_path = pg_catalog, pg_temp
as $$
import sys, importlib
if "@python_package@" not in sys.modules: plpy.execute("select pgagent._python_load()")
return importlib.import_module("@python_package@.schedules").upcoming_runs(plpy, SD, jobids, after, until, count)
$$;
comment on function pgagent._upcoming(int4[], float8, float8, int4) is
    'The coming runs of jobs, in seconds since 1970; after: null for what is really to come, an instant for what the schedules say.';

create function pgagent.upcoming(job int4, count int4 default 10, after timestamptz default null)
returns table (run timestamptz, jscid int4, jscname text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select to_timestamp(u.epoch), u.jscid, s.jscname
      from pgagent._upcoming(array_remove(array[job], null), pgagent._epoch(after), 'infinity', coalesce(count, 10)) u
      left join pgagent.pga_schedule s on s.jscid = u.jscid
     order by u.epoch
$$;
comment on function pgagent.upcoming(int4, int4, timestamptz) is
    'The coming runs of a job, at most count, and the schedule of each (null: asked for by jobnextrun). '
    'after null: from now on, beginning with jobnextrun; an instant: what the enabled schedules say, even of a disabled job.';

create function pgagent.upcoming(job text, count int4 default 10, after timestamptz default null)
returns table (run timestamptz, jscid int4, jscname text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select u.run, u.jscid, u.jscname
      from pgagent.upcoming(case when job is not null then pgagent.find_job(job) end, count, after) u
$$;
comment on function pgagent.upcoming(text, int4, timestamptz) is 'As upcoming of a job''s id, for the job of a name.';

create function pgagent.calendar(
    after timestamptz default null, until timestamptz default now() + interval '1 day', count int4 default 1000
)
returns table (run timestamptz, jobid int4, jobname text, jscid int4, jscname text)
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    select to_timestamp(u.epoch), j.jobid, j.jobname, u.jscid, s.jscname
      from pgagent._upcoming(
               array(select e.jobid from pgagent.pga_job e where e.jobenabled),
               pgagent._epoch(after), pgagent._epoch(coalesce(until, 'infinity')), coalesce(count, 1000)) u
      join pgagent.pga_job j on j.jobid = u.jobid
      left join pgagent.pga_schedule s on s.jscid = u.jscid
     order by u.epoch, j.jobname, j.jobid
$$;
comment on function pgagent.calendar(timestamptz, timestamptz, int4) is
    'The runs of all enabled jobs in a period, at most count of each job; after: as in upcoming; until: the last instant that counts.';
