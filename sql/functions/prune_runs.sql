create function pgagent._delete_runs(runs int4[]) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted int4;
    held int4[];
    in_use int4[];
    of_held_steps int4[];
begin
    held := array(
        select l.jlgid
          from pgagent.pga_joblog l
         where l.jlgid = any (runs) and l.jlgstatus <> 'r'
           for update skip locked);
    of_held_steps := array(
        select s.jsljlgid
          from pgagent.pga_jobsteplog s
         where s.jsljlgid = any (held) and s.jslstatus <> 'r'
           for update skip locked);
    in_use := array(
        select s.jsljlgid from pgagent.pga_jobsteplog s where s.jsljlgid = any (held)
        except all
        select h.jsljlgid from unnest(of_held_steps) h (jsljlgid));
    delete from pgagent.pga_joblog l where l.jlgid = any (held) and l.jlgid <> all (in_use);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
comment on function pgagent._delete_runs(int4[]) is
    'Deletes runs with their step logs, except those that are open or have a row locked by another session; how many.';

-- Ids grow with time: the walk ends at the first run that is young enough for any status. The next call goes on there,
-- so that old runs that stay (failures, the last ones of jobs) are not read each time. Once an hour, or with other
-- settings, it begins anew: what was locked, or has come from elsewhere, goes then.
create function pgagent._prune_by_age(most int4) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    is_at_the_end bool := true;
    old timestamptz;
    old_failed timestamptz;
    over int4[] := '{}';
    over_rows int8 := 0;
    run record;
    walk record;
begin
    select w.* into walk from pgagent._prune_walk w;
    -- Null is for ever; so is what leaves the calendar.
    select now() - least(t.keep_runs, '4000 years'), now() - least(t.keep_failed_runs, '4000 years'),
           case when t.keep_runs is not distinct from walk.keep_runs
                 and t.keep_failed_runs is not distinct from walk.keep_failed_runs
                then coalesce(walk.passed_run, 0) else 0 end,
           t.keep_runs, t.keep_failed_runs
      into old, old_failed, walk.passed_run, walk.keep_runs, walk.keep_failed_runs
      from pgagent.settings t;
    if walk.passed_run = 0 then
        walk.began := now();
    end if;
    for run in
        select l.jlgid,
               -- A run of the future, by a clock that was wrong, says nothing about the runs after it.
               l.jlgstart between greatest(old, old_failed) and now() as is_young,
               case when l.jlgstatus <> 'r'
                     and l.jlgstart < case l.jlgstatus when 's' then old else old_failed end
                     and exists (select from pgagent.pga_joblog n
                                  where n.jlgjobid = l.jlgjobid and n.jlgid > l.jlgid and n.jlgstatus <> 'r')
                    then (select 1 + count(*) from pgagent.pga_jobsteplog s where s.jsljlgid = l.jlgid)
               end as over_rows
          from pgagent.pga_joblog l
         where l.jlgid > walk.passed_run
         order by l.jlgid
         limit 10 * most::int8
    loop
        is_at_the_end := run.is_young;
        exit when run.is_young;
        walk.passed_run := run.jlgid;
        if run.over_rows is not null then
            over := over || run.jlgid;
            over_rows := over_rows + run.over_rows;
            exit when cardinality(over) >= most or over_rows >= 10 * most::int8;
        end if;
    end loop;
    if is_at_the_end and walk.began < now() - interval '1 hour' then
        walk.passed_run := 0;
    end if;
    update pgagent._prune_walk w
       set passed_run = walk.passed_run, began = walk.began,
           keep_runs = walk.keep_runs, keep_failed_runs = walk.keep_failed_runs
     where w.singleton in (
               select h.singleton
                 from pgagent._prune_walk h
                where (h.passed_run, h.keep_runs, h.keep_failed_runs)
                      is distinct from (walk.passed_run, walk.keep_runs, walk.keep_failed_runs)
                  for update skip locked);
    return case when over = '{}' then 0 else pgagent._delete_runs(over) end;
end
$$;
comment on function pgagent._prune_by_age(int4) is
    'Deletes at most so many runs that are older than the settings say; how many.';

-- Job after job, a few in each call. One that has too many runs keeps its turn until they are deleted.
create function pgagent._prune_by_number(most int4) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted int4 := 0;
    is_full bool := false;
    job record;
    keep int8;
    over int4[] := '{}';
    over_rows int8 := 0;
    passed int4;
    previous int4;
    rows_read int8 := 0;
    run record;
begin
    select t.keep_runs_per_job into keep from pgagent.settings t;
    if keep is null then
        return 0;
    end if;
    select w.passed_job into passed from pgagent._prune_walk w;
    passed := coalesce(passed, 0);
    while rows_read < 20 * most::int8 and not is_full loop
        select n.jlgjobid as id, c.runs, c.oldest
          into job
          from (select l.jlgjobid
                  from pgagent.pga_joblog l
                 where l.jlgjobid > passed
                 order by l.jlgjobid
                 limit 1) n
         cross join lateral (
                select count(*) as runs, min(k.jlgid) as oldest
                  from (select l.jlgid
                          from pgagent.pga_joblog l
                         where l.jlgjobid = n.jlgjobid
                         order by l.jlgid desc
                         limit keep + 1) k) c;
        previous := passed;
        passed := coalesce(job.id, 0);
        exit when passed = 0;
        -- To find a job costs as much as to read some twenty of its runs.
        rows_read := rows_read + 20 + job.runs;
        continue when job.runs <= keep;
        for run in
            select l.jlgid, (select 1 + count(*) from pgagent.pga_jobsteplog s where s.jsljlgid = l.jlgid) as over_rows
              from pgagent.pga_joblog l
             where l.jlgjobid = job.id
               and l.jlgid <= job.oldest
               and l.jlgstatus <> 'r'
               and exists (select from pgagent.pga_joblog n
                            where n.jlgjobid = l.jlgjobid and n.jlgid > l.jlgid and n.jlgstatus <> 'r')
             order by l.jlgid
             limit most
        loop
            over := over || run.jlgid;
            over_rows := over_rows + run.over_rows;
            is_full := cardinality(over) >= most or over_rows >= 10 * most::int8;
            exit when is_full;
        end loop;
    end loop;
    if over <> '{}' then
        deleted := pgagent._delete_runs(over);
    end if;
    if is_full and deleted > 0 then
        passed := previous;
    end if;
    update pgagent._prune_walk w
       set passed_job = passed
     where w.singleton in (
               select h.singleton from pgagent._prune_walk h where h.passed_job <> passed for update skip locked);
    return deleted;
end
$$;
comment on function pgagent._prune_by_number(int4) is
    'Deletes at most so many runs that are more than a job may keep; how many.';

create function pgagent.prune_runs(most int4 default 1000) returns int4
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '500 ms'  -- 55P03: whoever has locked a whole table is not waited for
set plan_cache_mode = force_generic_plan  -- the logs change too fast for their statistics: an index is right
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    deleted int4;
begin
    if most is null or most < 1 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "most" of function "prune_runs" must be at least 1';
    elsif pg_is_in_recovery() then
        return 0;
    end if;
    deleted := pgagent._prune_by_age(most);
    if deleted < most then
        deleted := deleted + pgagent._prune_by_number(most - deleted);
    end if;
    return deleted;
end
$$;
comment on function pgagent.prune_runs(int4) is
    'Deletes runs, with their step logs, that settings keep_runs, keep_failed_runs and keep_runs_per_job do not keep: '
    'at most so many; how many. Open runs, those that a session has locked and the latest ended run of each job stay.';
