-- While a job runs, its row has the time that this run was due: the next one is computed.
create function pgagent._jobs()
returns table (
    job int4, name text, owner name, class text, enabled bool, schedule text, next_run timestamptz,
    running_since timestamptz, last_run timestamptz, last_status text, last_duration interval, streak int4,
    description text, host text
)
language sql stable security invoker
begin atomic
    select j.jobid, j.jobname, j.jobowner, c.jclname, j.jobenabled,
           (select string_agg(
                       pgagent._describe_schedule(s.jscid, date_part('epoch', date_trunc('second', now()))),
                       '; ' order by s.jscid)
              from pgagent.pga_schedule s
             where s.jscjobid = j.jobid and s.jscenabled),
           case when j.jobagentid is null then j.jobnextrun
                else (select to_timestamp(u.epoch) from pgagent._upcoming(array[j.jobid], null, 'infinity', 1) u) end,
           case when j.jobagentid is not null
                then (select max(r.jlgstart) from pgagent.pga_joblog r where r.jlgjobid = j.jobid and r.jlgstatus = 'r')
           end,
           l.jlgstart, pgagent._run_status_word(l.jlgstatus), l.jlgduration,
           (select coalesce(array_position(e.successes, not e.successes[1]) - 1, cardinality(e.successes))
                   * case when e.successes[1] then 1 else -1 end
              from (select array_agg(o.jlgstatus = 's' order by o.jlgid desc) as successes
                      from (select r.jlgid, r.jlgstatus
                              from pgagent.pga_joblog r
                             where r.jlgjobid = j.jobid and r.jlgstatus <> 'r'
                             order by r.jlgid desc
                             limit 100) o) e),
           j.jobdesc, j.jobhostagent
      from pgagent.pga_job j
      join pgagent.pga_jobclass c on c.jclid = j.jobjclid
      left join lateral (
          select r.jlgstart, r.jlgstatus, r.jlgduration
            from pgagent.pga_joblog r
           where r.jlgjobid = j.jobid and r.jlgstatus <> 'r'
           order by r.jlgid desc
           limit 1) l on true;
end;
comment on function pgagent._jobs() is 'The rows of view jobs, as the caller may see them.';

create view pgagent.jobs as select * from pgagent._jobs();
comment on view pgagent.jobs is 'Jobs: what they are, when they run next, how they have fared.';
comment on column pgagent.jobs.job is 'Id of the job.';
comment on column pgagent.jobs.name is 'Name of the job.';
comment on column pgagent.jobs.owner is 'Role as which the job runs.';
comment on column pgagent.jobs.class is 'Class of the job.';
comment on column pgagent.jobs.enabled is 'Whether the job runs by its schedules.';
comment on column pgagent.jobs.schedule is 'Its enabled schedules in words; null: it has none.';
comment on column pgagent.jobs.next_run is 'When it runs next; in the past: it is due, and waits; null: it is not scheduled.';
comment on column pgagent.jobs.running_since is 'When the run that goes on has started; null: the job does not run.';
comment on column pgagent.jobs.last_run is 'When the last run that has ended had started; null: none has.';
comment on column pgagent.jobs.last_status is 'How it ended: succeeded, failed, aborted or internal failure.';
comment on column pgagent.jobs.last_duration is 'How long it took.';
comment on column pgagent.jobs.streak is
    '3: the last three runs that have ended succeeded, the one before did not; -2: the last two did not; not counted beyond 100.';
comment on column pgagent.jobs.description is 'Description of the job.';
comment on column pgagent.jobs.host is 'Host on which alone the job may run; empty: any.';
