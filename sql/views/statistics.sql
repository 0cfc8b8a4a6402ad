create function pgagent._statistics()
returns table (
    job int4, name text, runs int8, succeeded int8, failed int8, aborted int8, median_duration interval,
    p95_duration interval, longest_duration interval, last_failure timestamptz, last_failure_reason text
)
language sql stable security invoker
begin atomic
    select j.jobid, j.jobname, s.runs, s.succeeded, s.failed, s.aborted, s.durations[1], s.durations[2],
           s.longest_duration, f.jlgstart, f.jlgreason
      from pgagent.pga_job j
     cross join lateral (
         select count(*) as runs,
                count(*) filter (where l.jlgstatus = 's') as succeeded,
                count(*) filter (where l.jlgstatus in ('f', 'i')) as failed,
                count(*) filter (where l.jlgstatus = 'd') as aborted,
                percentile_cont(array[0.5, 0.95]) within group (order by l.jlgduration)
                    filter (where l.jlgstatus = 's') as durations,
                max(l.jlgduration) filter (where l.jlgstatus = 's') as longest_duration,
                max(l.jlgid) filter (where l.jlgstatus <> 's') as last_failure
           from pgagent.pga_joblog l
          where l.jlgjobid = j.jobid and l.jlgstatus <> 'r') s
      left join pgagent.pga_joblog f on f.jlgid = s.last_failure;
end;
comment on function pgagent._statistics() is 'The rows of view statistics, as the caller may see them.';

create view pgagent.statistics as select * from pgagent._statistics();
comment on view pgagent.statistics is
    'How the runs of each job have gone, of those that have ended and whose logs are kept.';
comment on column pgagent.statistics.job is 'Id of the job.';
comment on column pgagent.statistics.name is 'Name of the job.';
comment on column pgagent.statistics.runs is 'How many runs have ended.';
comment on column pgagent.statistics.succeeded is 'How many of them succeeded.';
comment on column pgagent.statistics.failed is 'How many failed, internal failures included.';
comment on column pgagent.statistics.aborted is 'How many were aborted.';
comment on column pgagent.statistics.median_duration is 'Half of the runs that succeeded took no longer; null: none succeeded.';
comment on column pgagent.statistics.p95_duration is '95 in 100 of the runs that succeeded took no longer.';
comment on column pgagent.statistics.longest_duration is 'How long the longest of them took.';
comment on column pgagent.statistics.last_failure is 'When the last run that did not succeed had started; null: all did.';
comment on column pgagent.statistics.last_failure_reason is 'Why it did not succeed.';
