create function pgagent.cancel_run(run int4) returns bool
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The row of the job first, as those do who start the run.
    perform
       from pgagent.pga_job j
      where j.jobid = (select r.jobid from pgagent._run_request r where r.jlgid = run) and j.jobrunid = run
        for no key update;
    if found then
        insert into pgagent._cancel_request (jlgid, requested_by) values (run, current_user);
        return true;
    end if;
    perform from pgagent.pga_joblog l where l.jlgid = run;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('run %s does not exist', run),
            hint = 'SELECT jlgid FROM pgagent.pga_joblog WHERE jlgstatus = ''r'' lists the runs that go on.';
    end if;
    perform from pgagent.pga_joblog l where l.jlgid = run and l.jlgstatus = 'r';
    if not found then
        return false;
    end if;
    perform
       from pgagent.pga_joblog l
       join pgagent.pga_job j on j.jobid = l.jlgjobid
       join pgagent.pga_jobagent a on a.jagpid = j.jobagentid
      where l.jlgid = run and a.jagbackendstart is null;
    if found then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('run %s is executed by pgAgent''s own daemon, which cannot cancel runs', run),
            hint = 'pg_stat_activity shows the session of its step; pg_cancel_backend() cancels the statement.';
    end if;
    insert into pgagent._cancel_request (jlgid, requested_by)
    values (run, current_user)
    on conflict (jlgid) do nothing;
    perform pg_notify('pgagent_due', '');
    return true;
end
$$;
comment on function pgagent.cancel_run(int4) is
    'Asks the agent of a run (jlgid) to cancel it: its statement or script is ended, its log says d and who asked; one that has not started does '
    'not start. '
    'False: the run has ended already. It takes effect with the commit, within a second where the agent is at work.';

create function pgagent.cancelled_batch_steps() returns table (jslid int4, cancelled_by text)
language sql volatile security definer  -- a ticker's role needs no right to the tables
set search_path = pg_catalog, pg_temp
as $$
    select b.jslid, b.cancelled_by
      from pgagent._batch_step b
     where b.agentid = pg_backend_pid() and b.taken and b.outcome is null and b.cancelled_by is not null
$$;
comment on function pgagent.cancelled_batch_steps() is
    'The batch steps of the calling session, a ticker''s, whose scripts are to be ended, and who asked for it.';

-- The row of a run that has left its engine while it was asked for is found here; so is one that nobody takes in time.
create function pgagent._read_cancel_requests(known int4[]) returns table (jlgid int4, requested_by text)
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    told record;
begin
    with moved as (
        select b.jslid, b.taken, c.requested_by,
               case when c.jlgid is null then format('not started within the time limit of the run, %s', b.timeout)
                    else format('cancelled by %s before a ticker took it', c.requested_by) end as reason
          from pgagent._batch_step b
          left join pgagent._cancel_request c on c.jlgid = b.jlgid
         where b.outcome is null
           and b.cancelled_by is null
           and (c.jlgid is not null or not b.taken and b.started + b.timeout < clock_timestamp())
           for update of b skip locked
    ), told as (
        update pgagent._batch_step b
           set cancelled_by = coalesce(m.requested_by, 'the time limit of the run'),
               outcome = case when m.taken then null else 'd' end
          from moved m
         where b.jslid = m.jslid
    ), held as (
        select l.jslid
          from pgagent.pga_jobsteplog l
         where l.jslid in (select m.jslid from moved m where not m.taken) and l.jslstatus = 'r'
           for no key update of l skip locked
    ), closed as (
        update pgagent.pga_jobsteplog l
           set jslstatus = 'd', jslduration = clock_timestamp() - l.jslstart, jsloutput = m.reason
          from moved m
          join held h on h.jslid = m.jslid
         where l.jslid = m.jslid
    )
    select from moved m limit 1 into told;
    if found then
        perform pg_notify('pgagent_batch', '');
    end if;
    -- A request stays until its run has ended or is in the queue: a run may be on its way there.
    delete from pgagent._cancel_request c
     where c.jlgid in (
               select d.jlgid
                 from pgagent._cancel_request d
                where exists (select from pgagent._batch_step b where b.jlgid = d.jlgid and b.cancelled_by is not null)
                   or not exists (select from pgagent.pga_joblog l where l.jlgid = d.jlgid and l.jlgstatus = 'r')
                  for update skip locked);
    return query select c.jlgid, c.requested_by from pgagent._cancel_request c where c.jlgid = any (known);
end
$$;
comment on function pgagent._read_cancel_requests(int4[]) is
    'The cancel requests for the runs that the calling engine knows; passes those for runs in the queue on.';
