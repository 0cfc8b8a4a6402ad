"""The books: every statement that claims, logs, releases or cleans up, and the session that executes them.

The engine collects what has happened and submits it as a list of entries. The statements of one submission go out in
one pipeline and commit together: that is where the speed comes from. If one of them fails, all are executed again,
each row in a transaction of its own, so that a row that cannot be written holds up no other.

No statement waits for a row that a client has locked: it leaves the row out and says so, and the engine tries again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from psycopg import OperationalError, pq

from .encoding import UTF8
from .session import ConnectionLost, Link

Value = bytes | None
Row = tuple[Value, ...]

# While the session executes one submission, the next one is on its way to it: it need not wait for the engine.
MOST_SUBMISSIONS = 2

# What a quiet call looks at, through SPI: whether there is anything to do for an engine, before it connects.
# Nothing else, but max_wait ($2) in seconds, which saves a statement: each line is paid for at every interval of every
# idle ticker.
# The first of the jobs in order, not EXISTS: however many the planner expects, the index in this order is the cheapest.
# NOT IN, because the alarms are hashed then, however few there were when it was planned.
WORK = """
select extract(epoch from $2::interval)::float8 as wait_seconds,
       pg_is_in_recovery() as standby,
       current_setting('pgagent.step', true) = 'on' as in_step,
       (select j.jobid from pgagent._claimable_job j
         where j.jobnextrun <= now() and j.jobhostagent in ('', coalesce($1, ''))
         order by j.jobnextrun limit 1) is not null as due,
       exists (select from pgagent.pga_jobagent a where not pgagent._agent_is_alive(a))
       or exists (select from pgagent.pga_joblog l join pgagent.pga_job j on j.jobid = l.jlgjobid
                   where l.jlgstatus = 'r' and j.jobagentid is null)
       or exists (select from pgagent.pga_jobsteplog s join pgagent.pga_joblog l on l.jlgid = s.jsljlgid
                   where s.jslstatus = 'r' and l.jlgstatus <> 'r') as lost,
       exists (select from pgagent._batch_step b
                where b.outcome is not null or not b.taken and b.started + b.timeout < now())
       or exists (select from pgagent._cancel_request) as ready,
       (select j.jobid from pgagent.pga_job j
         where j.jobenabled and j.jobagentid is null
           and j.jobnextrun < now() - (select t.overdue_after from pgagent.settings t)
           and j.jobid not in (select a.jobid from pgagent._alarm a where a.kind in ('overdue', 'disabled'))
         order by j.jobnextrun limit 1) is not null
       or exists (select from pgagent._alarm a cross join pgagent.settings t
                   where a.kind is distinct from a.told
                     and coalesce(a.told_at <= now() - t.event_interval, true)) as untold,
       exists (select from pgagent._batch_step b where b.agentid = pg_backend_pid()) as parked
"""

# Runs that this session has brought to a batch step, and those among $1.
PARKED = """
select b.jlgid, b.jobid, b.jobname, b.started::text as started,
       (clock_timestamp() - b.started)::text as duration,
       b.taken or b.outcome is not null as taken, b.steps -> 0 ->> 'name' as step
  from pgagent._batch_step b
 where b.agentid = pg_backend_pid() or b.jlgid = any ($1)
"""

# The jobs among $1 that the caller may see: run_due itself works as the owner of the extension.
SEEN = """
select j.jobid
  from pgagent.pga_job j
 cross join (select coalesce(nullif(current_setting('role'), 'none'), session_user)::name as name) as caller
 where j.jobid = any ($1)
   and (has_function_privilege(caller.name, 'pgagent.is_administrator()', 'execute')
        or exists (select from pg_authid r where r.rolname = j.jobowner and pg_has_role(caller.name, r.oid, 'usage')))
"""

# How many connections all engines may still open, and how many engines there are. The first statement has the second
# look anew.
LOOK_ANEW = "select pg_stat_clear_snapshot()"
FREE_CONNECTIONS = """
select pgagent._free_connections() as free,
       (select count(*) from pgagent.pga_jobagent a where a.jagbackendstart is not null and not a.jagtakesbatch)::int4
           as engines
"""

# Who this engine is, its settings, and whether jobs may wait for the end of others or some come first.
IDENTITY = """
select pg_backend_pid() as pid,
       (extract(epoch from s.backend_start) * 1000000)::bigint as start_microseconds,
       current_setting('unix_socket_directories') as socket_directories,
       current_setting('port') as port,
       current_database() as dbname,
       current_setting('server_encoding') as encoding,
       case when exists (select from pg_authid r where r.rolname = session_user and r.rolsuper) then session_user
            else (select pg_get_userbyid(e.extowner) from pg_extension e where e.extname = 'pgagent_py')
       end as username,
       current_setting('application_name') as application_name,
       t.parallel_runs,
       t.conninfo,
       extract(epoch from t.connect_timeout)::float8 as connect_timeout_seconds,
       extract(epoch from t.session_idle_timeout)::float8 as session_idle_timeout_seconds,
       t.output_limit,
       extract(epoch from t.agent_lease)::float8 as lease_seconds,
       coalesce(extract(epoch from t.long_run)::float8, 'infinity') as long_run_seconds,
       t.total_runs is not null
       or exists (select from pgagent.pga_jobclass c where c.jclmaxruns is not null) as limited,
       exists (select from pgagent.pga_job j
                where (j.jobenabled or j.jobrunid is not null) and j.jobagentid is null
                  and j.jobpriority > 0) as prioritised
  from pgagent.settings t
 cross join pg_stat_get_activity(pg_backend_pid()) s
"""


class Kind(Enum):
    """How a statement takes its parameters."""

    ROWS = "an array per column"
    SCALAR = "one value per column"


@dataclass(frozen=True, slots=True)
class Statement:
    """One bookkeeping statement, prepared under its name."""

    name: bytes
    sql: str
    kind: Kind = Kind.ROWS


LISTEN = Statement(b"listen", "listen pgagent_due", Kind.SCALAR)

# Parameters hold what is in the steps of jobs, passwords too: they are not for the server's log. For superusers only.
HUSH = Statement(
    b"hush",
    """
select set_config(s.name, '0', false)
  from pg_settings s
 where s.name = 'log_parameter_max_length'
   and (select r.rolsuper from pg_roles r where r.rolname = current_user)
""",
    Kind.SCALAR,
)

# $1 pid, $2 backend start in microseconds, $3 station, $4 lease in seconds. No row: an agent with this pid, which is
# dead or has lost its runs, must be cleaned up first.
REGISTER = Statement(
    b"register",
    """
insert into pgagent.pga_jobagent as a (jagpid, jaglogintime, jagstation, jagbackendstart, jagleaseuntil)
select $1::int4, clock_timestamp(), $3::text, s.backend_start,
       clock_timestamp() + make_interval(secs => $4::float8)
  from pg_stat_get_activity($1::int4) s
 where (extract(epoch from s.backend_start) * 1000000)::int8 = $2::int8
on conflict (jagpid) do update
   set jagstation = excluded.jagstation, jagleaseuntil = excluded.jagleaseuntil
 where a.jagbackendstart = excluded.jagbackendstart
   and a.jagleaseuntil is distinct from '-infinity'
returning jagpid
""",
    Kind.SCALAR,
)

# $1 pid, $2 backend start in microseconds, $3 lease in seconds. Whether the lease is renewed; false: a client has
# locked the row; no row: it was given up, by another agent or by a client.
RENEW = Statement(
    b"renew",
    """
with agent as (
    select a.jagpid from pgagent.pga_jobagent a
     where a.jagpid = $1::int4
       and (extract(epoch from a.jagbackendstart) * 1000000)::int8 = $2::int8
       and a.jagleaseuntil is distinct from '-infinity'
), held as (
    select a.jagpid from pgagent.pga_jobagent a
     where a.jagpid in (select g.jagpid from agent g)
       for no key update of a skip locked
), renewed as (
    update pgagent.pga_jobagent a
       set jagleaseuntil = clock_timestamp() + make_interval(secs => $3::float8)
      from held h
     where a.jagpid = h.jagpid
)
select exists (select from held) from agent
""",
    Kind.SCALAR,
)

# $1 runs that this engine has. Those of them that are to be cancelled, and who asked for it.
CANCEL_REQUESTS = Statement(
    b"cancel_requests",
    "select c.jlgid, c.requested_by from pgagent._read_cancel_requests($1::int4[]) c",
    Kind.SCALAR,
)

# The columns of a job that is due; its refusal says why it may not start, if it is too late for that.
_DUE = """
    select j.jobid, j.jobname, j.jobowner, j.jobhostagent, j.jobnextrun, j.jobtimeout, j.jobrunid,
           case when j.jobstartdeadline is null or not isfinite(j.jobnextrun) then null
                when clock_timestamp() - j.jobnextrun > j.jobstartdeadline
                then 'not started: it was due at ' || date_trunc('second', j.jobnextrun) || ', '
                     || date_trunc('second', clock_timestamp() - j.jobnextrun) || ' ago; jobstartdeadline is '
                     || j.jobstartdeadline end as refusal
"""
# An agent that others have given up claims as pid 0: that is refused as if its row were gone, and it registers again.
_CLAIMANT = """coalesce((select 0 from pgagent.pga_jobagent a
                               where a.jagpid = {pid}::int4 and a.jagleaseuntil = '-infinity'), {pid}::int4)"""
_IN_ORDER = f"""
with due as ({_DUE}
      from pgagent._claimable_job j
     where j.jobnextrun <= now()
       and j.jobhostagent in ('', coalesce($2::text, ''))
       and (j.jobnextrun, j.jobid) > ($4::timestamptz, $5::int4)
     order by j.jobnextrun, j.jobid
     limit $1::int4
       for no key update of j skip locked
"""
# More candidates than are asked for: others may hold some of them.
_BY_PRIORITY = f"""
with candidate as (
    (select j.jobid, j.jobnextrun - make_interval(mins => j.jobpriority) as turn
       from pgagent._claimable_job j
      where j.jobpriority > 0
        and j.jobnextrun <= now()
        and j.jobhostagent in ('', coalesce($2::text, ''))
      order by 2, 1
      limit 2 * $1::int4 + 100)
    union all
    (select j.jobid, j.jobnextrun
       from pgagent._claimable_job j
      where j.jobpriority = 0
        and j.jobnextrun <= now()
        and j.jobhostagent in ('', coalesce($2::text, ''))
        and (j.jobnextrun, j.jobid) > ($4::timestamptz, $5::int4)
      order by j.jobnextrun, j.jobid
      limit 2 * $1::int4 + 100)
), due as ({_DUE}
      from pgagent.pga_job j
      join candidate c on c.jobid = j.jobid
     where (j.jobenabled or j.jobrunid is not null) and j.jobagentid is null and j.jobnextrun <= now()
       and (j.jobrunid is null
            or exists (select from pgagent._run_request r where r.jobid = j.jobid and r.jlgid = j.jobrunid))
     order by c.turn, c.jobid
     limit $1::int4
       for no key update of j skip locked
"""
_CLAIMED = f"""
), claimed as (
    update pgagent.pga_job j
       set jobagentid = {_CLAIMANT.format(pid="$3")},
           joblastrun = case when due.refusal is null then clock_timestamp() else j.joblastrun end
      from due
     where j.jobid = due.jobid and (not $6::bool or pgagent._may_run(j))
    returning j.jobid, due.jobname, due.jobowner, due.jobhostagent, due.jobnextrun, due.jobtimeout, due.jobrunid,
              due.refusal
), run as (
    insert into pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgstart)
    select coalesce(c.jobrunid, nextval('pgagent.pga_joblog_jlgid_seq')), c.jobid, 'r', clock_timestamp()
      from (select * from claimed order by jobnextrun, jobid) c
    returning jlgid, jlgjobid, jlgstart
), list as (
    select r.jlgid, c.jobid, c.jobnextrun,
           coalesce(c.refusal,
                    case when c.jobrunid is not null and l.steps is null
                         then (select 'not started: the job has lost the step that was asked for, ' || q.jstid
                                 from pgagent._run_request q where q.jlgid = c.jobrunid) end) as refusal,
           json_build_object(
               'jlgid', r.jlgid, 'jobid', c.jobid, 'jobname', c.jobname, 'jobhostagent', c.jobhostagent,
               'started', r.jlgstart::text, 'timeout_seconds', extract(epoch from c.jobtimeout),
               'owner', c.jobowner, 'due', c.jobnextrun::text,
               'is_superuser', exists (select from pg_authid o where o.rolname = c.jobowner and o.rolsuper),
               'steps', coalesce(l.steps, '[]')) as run,
           case when l.first_kind = 's' or c.refusal is not null then l.first_step end as first_step
      from run r
      join claimed c on c.jobid = r.jlgjobid
     cross join lateral (
           select json_agg(json_build_object(
                      'jstid', s.jstid, 'name', s.jstname, 'kind', s.jstkind, 'code', s.jstcode, 'dbname', s.jstdbname,
                      'connstr', s.jstconnstr, 'on_error', s.jstonerror,
                      'timeout_seconds', extract(epoch from s.jsttimeout),
                      'retry', case when s.jstretries > 0
                                    then json_build_object(
                                        'limit', s.jstretries, 'delay_seconds', extract(epoch from s.jstretrydelay),
                                        'factor', s.jstretryfactor,
                                        'longest_delay_seconds', extract(epoch from s.jstretrymaxdelay),
                                        'jitter', s.jstretryjitter, 'sqlstates', s.jstretrysqlstates) end)) as steps,
                  (array_agg(s.jstid))[1] as first_step,
                  (array_agg(s.jstkind))[1] as first_kind
             from (select p.*
                     from pgagent.pga_jobstep p
                    where p.jstjobid = r.jlgjobid
                      and case when c.jobrunid is null then p.jstenabled
                               else (select coalesce(q.jstid = p.jstid, p.jstenabled)
                                       from pgagent._run_request q where q.jlgid = c.jobrunid) end
                    order by p.jstname, p.jstid) s) l
), held as (
    select k.jstid
      from pgagent.pga_jobstep k
     where k.jstid = any (array(select l.first_step from list l))
       for key share of k skip locked
), begun as (
    insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslstart)
    select l.jlgid, h.jstid, 'r', clock_timestamp()
      from list l
      join held h on h.jstid = l.first_step
     order by l.jlgid
    returning jslid, jsljlgid
)
select l.run, b.jslid, l.refusal, l.jobnextrun, l.jobid
  from list l
  left join begun b on b.jsljlgid = l.jlgid
 order by l.jlgid
"""

# $1 how many, $2 station, $3 pid, $4 and $5 the due time and id of the job claimed last, $6 whether there are limits of
# runs. A row per claimed job: the run as run.load_run reads it, one value because each value of a result costs the
# engine time; the log row of the first step, if the engine begins it; its refusal; due time and id. NO KEY UPDATE,
# because a client that adds a step or a schedule holds KEY SHARE on its job. It starts behind the job claimed last,
# because the index entries of the jobs claimed before stay as long as run_due holds its snapshot; who gets fewer than
# asked for starts from the beginning.
CLAIM = Statement(b"claim", _IN_ORDER + _CLAIMED, Kind.SCALAR)

# The same where jobs have a priority: always from the beginning.
CLAIM_BY_PRIORITY = Statement(b"claim_by_priority", _BY_PRIORITY + _CLAIMED, Kind.SCALAR)

# $1 station. How long until run_due has something to claim; nothing: no row.
NEXT_DUE = Statement(
    b"next_due",
    "select extract(epoch from pgagent.next_due($1::text) - clock_timestamp())::float8",
    Kind.SCALAR,
)

# The statements below find their rows by "= any" of an array, and what is to be closed, written or released finds its
# values where the row's id stands in $1. Joined to the entries instead, a log that was small when the statement was
# planned would be read as a whole, however large it has become meanwhile; and a join takes more time than so few rows.

# The log rows of entries' steps, whose runs are $1 and whose steps are $2. A row of another transaction that is locked
# is left out; a row that an earlier submission has made, whose answer was lost, is found again, by its run: a step's
# history may be long.
_HELD = """
), held_run as (
    select l.jlgid from pgagent.pga_joblog l
     where l.jlgid = any ($1::int4[]) and l.jlgstatus not in ('s', 'f', 'i', 'd')
       for key share of l skip locked
), held_step as (
    select s.jstid from pgagent.pga_jobstep s where s.jstid = any ($2::int4[])
       for key share of s skip locked
), existing as (
    select l.jsljlgid, l.jslid
      from pgagent.pga_jobsteplog l
      join entry e on e.jlgid = l.jsljlgid and e.jstid is not distinct from l.jsljstid
     where l.jsljlgid = any ($1::int4[]) and l.jslstatus not in ('s', 'f', 'i', 'd')
"""
_BEGIN = """
), begun as (
    insert into pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslstart)
    select e.jlgid, e.jstid, 'r', clock_timestamp()
      from entry e
      join held_run r on r.jlgid = e.jlgid
      join held_step s on s.jstid = e.jstid
     where e.jlgid not in (select x.jsljlgid from existing x)
    returning jsljlgid, jslid
"""
_BEGUN_OR_GONE = """
union all
select jsljlgid, jslid from existing
union all
select e.jlgid, case when l.jlgstatus in ('s', 'f', 'i', 'd') then 0 end
  from entry e
  left join pgagent.pga_joblog l on l.jlgid = e.jlgid and l.jlgid = any ($1::int4[])
  left join pgagent.pga_jobstep s on s.jstid = e.jstid and s.jstid = any ($2::int4[])
 where l.jlgid is null
    or s.jstid is null and e.jlgid not in (select x.jsljlgid from existing x)
    or l.jlgstatus in ('s', 'f', 'i', 'd')
"""

# jlgid, jstid. Answers jlgid, jslid for a step begun; jlgid, null for a step whose row, or whose run's row, is gone;
# jlgid, 0 for a run that another agent has given up; no row: locked.
BEGIN_STEPS = Statement(
    b"begin_steps",
    "with entry as (select * from unnest($1::int4[], $2::int4[]) as e (jlgid, jstid)"
    + _HELD
    + _BEGIN
    + ") select jsljlgid, jslid from begun"
    + _BEGUN_OR_GONE,
)

# jslid, status, result, seconds since it ended. Answers the ids that are still open: locked. A row that is no longer
# 'r' has been given up on by another agent, and stays as that agent wrote it.
CLOSE_STEPS = Statement(
    b"close_steps",
    """
with held as (
    select l.jslid from pgagent.pga_jobsteplog l
     where l.jslid = any ($1::int4[]) and l.jslstatus not in ('s', 'f', 'i', 'd')
       for no key update of l skip locked
), closed as (
    update pgagent.pga_jobsteplog l
       set jslstatus = ($2::text[])[array_position($1::int4[], l.jslid)],
           jslresult = ($3::int4[])[array_position($1::int4[], l.jslid)],
           jslduration = greatest(clock_timestamp() - l.jslstart
                                  - make_interval(secs => ($4::float8[])[array_position($1::int4[], l.jslid)]),
                                  interval '0'),
           jsloutput = ''
     where l.jslid = any (array(select h.jslid from held h))
)
select e.jslid
  from unnest($1::int4[]) as e (jslid)
 where e.jslid <> all (array(select h.jslid from held h))
   and (select l.jslstatus not in ('s', 'f', 'i', 'd') from pgagent.pga_jobsteplog l where l.jslid = e.jslid)
""",
)

# jslid, output. After the status, because an output can be refused: by the encoding, by a full disk. What another agent
# has written stays. Answers the ids that have no output yet: locked, or their step is still open.
WRITE_OUTPUT = Statement(
    b"write_output",
    """
with held as (
    select l.jslid from pgagent.pga_jobsteplog l
     where l.jslid = any ($1::int4[]) and l.jslstatus <> 'r' and coalesce(l.jsloutput, '') = ''
       for no key update of l skip locked
), written as (
    update pgagent.pga_jobsteplog l
       set jsloutput = ($2::text[])[array_position($1::int4[], l.jslid)]
     where l.jslid = any (array(select h.jslid from held h))
)
select e.jslid
  from unnest($1::int4[]) as e (jslid)
 where e.jslid <> all (array(select h.jslid from held h))
   and (select l.jslstatus = 'r' or coalesce(l.jsloutput, '') = ''
          from pgagent.pga_jobsteplog l where l.jslid = e.jslid)
""",
)

# jslid, output. What a step has put out so far, for those who watch; a row that is locked or has an end is left alone.
WRITE_PROGRESS = Statement(
    b"write_progress",
    """
with held as (
    select l.jslid from pgagent.pga_jobsteplog l
     where l.jslid = any ($1::int4[]) and l.jslstatus not in ('s', 'f', 'i', 'd')
       for no key update of l skip locked
)
update pgagent.pga_jobsteplog l
   set jsloutput = ($2::text[])[array_position($1::int4[], l.jslid)]
 where l.jslid = any (array(select h.jslid from held h))
""",
)

# jlgid, status, seconds since it ended, reason. Answers the ids that are still open: locked, or with a step still open.
# The status is asked for so that the index of running runs, full of entries that have just ended, is not used.
CLOSE_RUNS = Statement(
    b"close_runs",
    """
with held as (
    select l.jlgid from pgagent.pga_joblog l
     where l.jlgid = any ($1::int4[]) and l.jlgstatus not in ('s', 'f', 'i', 'd')
       and l.jlgid not in (select s.jsljlgid from pgagent.pga_jobsteplog s
                            where s.jsljlgid = any ($1::int4[]) and s.jslstatus not in ('s', 'f', 'i', 'd'))
       for no key update of l skip locked
), closed as (
    update pgagent.pga_joblog l
       set jlgstatus = ($2::text[])[array_position($1::int4[], l.jlgid)],
           jlgduration = greatest(clock_timestamp() - l.jlgstart
                                  - make_interval(secs => ($3::float8[])[array_position($1::int4[], l.jlgid)]),
                                  interval '0'),
           jlgreason = ($4::text[])[array_position($1::int4[], l.jlgid)]
     where l.jlgid = any (array(select h.jlgid from held h))
)
select e.jlgid
  from unnest($1::int4[]) as e (jlgid)
 where e.jlgid <> all (array(select h.jlgid from held h))
   and (select l.jlgstatus not in ('s', 'f', 'i', 'd') from pgagent.pga_joblog l where l.jlgid = e.jlgid)
""",
)

# jobid, jlgid, pid. The next runs of all these jobs are computed in one go; where none has a schedule, Python is not
# asked at all. 'infinity' tells the trigger that there is none. Answers the ids of jobs that are still claimed: locked,
# or their run's row is still open. A job whose next run is open was released before, by a submission whose answer was
# lost.
RELEASE = Statement(
    b"release",
    """
with held as (
    select j.jobid from pgagent.pga_job j
     where j.jobid = any ($1::int4[])
       and j.jobagentid is not distinct from ($3::int4[])[array_position($1::int4[], j.jobid)]
       and (select l.jlgid from pgagent.pga_joblog l
             where l.jlgjobid = j.jobid and l.jlgid >= ($2::int4[])[array_position($1::int4[], j.jobid)]
               and l.jlgstatus not in ('s', 'f', 'i', 'd')
             limit 1) is null
       for no key update of j skip locked
), scheduled as (
    select array_agg(distinct s.jscjobid) as jobids
      from pgagent.pga_schedule s
     where s.jscjobid = any ($1::int4[]) and s.jscenabled
    having count(*) > 0
), next as materialized (
    select s.jobids,
           pgagent._next_run_epochs(s.jobids, date_part('epoch', date_trunc('second', clock_timestamp()))) as epochs
      from scheduled s
), released as (
    update pgagent.pga_job j
       set jobagentid = null,
           jobnextrun = coalesce((select to_timestamp(n.epochs[array_position(n.jobids, j.jobid)]) from next n),
                                 'infinity')
     where j.jobid = any (array(select h.jobid from held h))
)
select e.jobid
  from unnest($1::int4[], $2::int4[], $3::int4[]) as e (jobid, jlgid, pid)
 where e.jobid <> all (array(select h.jobid from held h))
   and (select j.jobagentid is not distinct from e.pid from pgagent.pga_job j where j.jobid = e.jobid)
   and (select l.jlgid from pgagent.pga_joblog l
         where l.jlgjobid = e.jobid and l.jlgid > e.jlgid and l.jlgstatus not in ('s', 'f', 'i', 'd')
         limit 1) is null
""",
)

# jlgid, jstid, jobid, jobname, jobhostagent, started, owner, agent's pid, steps, timeout in seconds, due time. The run
# leaves the engine: a ticker takes it on. Answers like BEGIN_STEPS. A run that an earlier submission has parked, whose
# answer was lost, may have gone far meanwhile: it is in the queue, or with another agent.
PARK = Statement(
    b"park",
    """
with entry as (
    select e.jlgid, e.jstid, e.jobid, e.jobname, e.jobhostagent, e.started, e.owner, e.pid, e.due,
           e.steps::jsonb as steps, make_interval(secs => e.timeout) as timeout
      from unnest($1::int4[], $2::int4[], $3::int4[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::int4[],
                  $9::text[], $10::float8[], $11::timestamptz[])
               as e (jlgid, jstid, jobid, jobname, jobhostagent, started, owner, pid, steps, timeout, due)
"""
    + _HELD
    + """
    union all
    select b.jlgid, b.jslid from pgagent._batch_step b join entry e on e.jlgid = b.jlgid
    union all
    select e.jlgid, -1
      from pgagent.pga_job j
      join entry e on e.jobid = j.jobid
     where j.jobid = any ($3::int4[]) and j.jobagentid <> e.pid
"""
    + _BEGIN
    + """
), queued as (
    insert into pgagent._batch_step
           (jslid, jlgid, jobid, jobname, jobhostagent, started, due, owner, agentid, steps, timeout)
    select b.jslid, e.jlgid, e.jobid, e.jobname, e.jobhostagent, e.started, e.due, e.owner, e.pid, e.steps,
           e.timeout
      from begun b
      join entry e on e.jlgid = b.jsljlgid
), told as (
    select pg_notify('pgagent_batch', '') from begun limit 1
)
select b.jsljlgid, b.jslid from begun b left join told on true
"""
    + _BEGUN_OR_GONE,
)

# $1 how many, $2 pid. Runs whose batch step has ended, with the steps from that one on: this engine goes on with them.
# Answers the run as run.load_run reads it, how its step ended, and the age of the run in seconds.
# A run whose log is no longer 'r' has been given up on: its row is only removed.
ADOPT = Statement(
    b"adopt",
    f"""
with ready as (
    select b.jslid, b.jlgid, b.jobid
      from pgagent._batch_step b
     where b.outcome is not null
     order by b.jslid
     limit $1::int4
       for update of b skip locked
), held as (
    select j.jobid from pgagent.pga_job j where j.jobid in (select r.jobid from ready r)
       for no key update of j skip locked
), taken as (
    delete from pgagent._batch_step b
     using ready r
     where b.jslid = r.jslid
       and (b.jobid in (select h.jobid from held h)
            or not exists (select from pgagent.pga_job j where j.jobid = b.jobid))
    returning b.*
), ours as (
    select t.*
      from taken t
     where coalesce((select l.jlgstatus = 'r' from pgagent.pga_joblog l where l.jlgid = t.jlgid), true)
), moved as (
    update pgagent.pga_job j
       set jobagentid = {_CLAIMANT.format(pid="$2")}
      from ours o
     where j.jobid = o.jobid
       and j.jobagentid is not null
)
select json_build_object(
           'jlgid', o.jlgid, 'jobid', o.jobid, 'jobname', o.jobname, 'jobhostagent', o.jobhostagent,
           'started', o.started::text, 'steps', o.steps, 'timeout_seconds', extract(epoch from o.timeout),
           'due', o.due::text, 'owner', o.owner,
           'is_superuser', exists (select from pg_authid r where r.rolname = o.owner and r.rolsuper)),
       o.outcome, extract(epoch from clock_timestamp() - o.started)::float8, o.cancelled_by
  from ours o
""",
    Kind.SCALAR,
)

# Ends what dead agents' steps still execute. Their sessions carry the agent's identity as application name. An agent
# that only stood still gets its lease back no more; one that cannot be marked, because a client has locked its row, may
# still get it.
END_ORPHANS = Statement(
    b"end_orphans",
    """
with stale as (
    select a.jagpid from pgagent.pga_jobagent a
     where a.jagleaseuntil > '-infinity' and not pgagent._agent_is_alive(a)
       for no key update of a skip locked
), marked as (
    update pgagent.pga_jobagent a
       set jagleaseuntil = '-infinity'
      from stale s
     where a.jagpid = s.jagpid
)
select count(pg_terminate_backend(s.pid))
  from pgagent.pga_jobagent a
  join pg_stat_activity s
    on s.application_name = 'pgagent_py step ' || a.jagpid || '/'
       || (extract(epoch from a.jagbackendstart) * 1000000)::int8
 where not pgagent._agent_is_alive(a)
   and (a.jagleaseuntil = '-infinity'
        or a.jagpid in (select t.jagpid from stale t)
        or not exists (select from pg_stat_get_activity(a.jagpid)))
""",
    Kind.SCALAR,
)

# Runs of dead agents, and runs and steps that nobody answers for, become 'd'; their jobs are free. An agent whose step
# sessions still exist is left for the next time; so is a run with a row that a client has locked, and its job with it,
# and an agent whose session is there but could not be marked.
# Answers how many agents are dead and still there.
REAP = Statement(
    b"reap",
    """
with dead as (
    select a.jagpid
      from pgagent.pga_jobagent a
     where not pgagent._agent_is_alive(a)
       and (coalesce(a.jagleaseuntil = '-infinity', true) or not exists (select from pg_stat_get_activity(a.jagpid)))
       and not exists (
           select from pg_stat_activity s
            where s.application_name = 'pgagent_py step ' || a.jagpid || '/'
                  || (extract(epoch from a.jagbackendstart) * 1000000)::int8)
), held as (
    select j.jobid
      from pgagent.pga_job j
     where j.jobagentid in (select d.jagpid from dead d)
       and not exists (select from pgagent._batch_step b where b.jobid = j.jobid and b.outcome is not null)
       for no key update of j skip locked
), lost as (
    select l.jlgid
      from pgagent.pga_joblog l
      join pgagent.pga_job j on j.jobid = l.jlgjobid
     where l.jlgstatus = 'r'
       and (j.jobid in (select h.jobid from held h)
            or j.jobagentid is null
            or exists (select from pgagent.pga_joblog n
                        where n.jlgjobid = l.jlgjobid and n.jlgid > l.jlgid and n.jlgstatus = 'r'))
       and not exists (select from pgagent._batch_step b where b.jlgid = l.jlgid and b.outcome is not null)
       for no key update of l skip locked
), lost_step as (
    select s.jslid
      from pgagent.pga_jobsteplog s
      join pgagent.pga_joblog l on l.jlgid = s.jsljlgid
     where s.jslstatus = 'r'
       and (l.jlgstatus <> 'r' or l.jlgid in (select r.jlgid from lost r))
       for no key update of s skip locked
), steps as (
    update pgagent.pga_jobsteplog s
       set jslstatus = 'd',
           jslduration = clock_timestamp() - s.jslstart,
           jsloutput = concat_ws(e'\n', nullif(s.jsloutput, ''), 'aborted: the agent that ran this step is gone')
      from lost_step o
     where s.jslid = o.jslid
), closed as (
    update pgagent.pga_joblog l
       set jlgstatus = 'd', jlgduration = clock_timestamp() - l.jlgstart,
           jlgreason = 'aborted: the agent of this run is gone'
      from lost
     where l.jlgid = lost.jlgid
       and not exists (select from pgagent.pga_jobsteplog s
                        where s.jsljlgid = l.jlgid
                          and s.jslstatus = 'r'
                          and s.jslid not in (select o.jslid from lost_step o))
    returning l.jlgid
), queue as (
    delete from pgagent._batch_step b
     where b.jslid in (
               select q.jslid
                 from pgagent._batch_step q
                where q.outcome is null
                  and (q.agentid in (select d.jagpid from dead d)
                       or not exists (select from pgagent.pga_jobagent a where a.jagpid = q.agentid))
                  for update of q skip locked)
    returning b.jslid
), freed as (
    update pgagent.pga_job j
       set jobagentid = null, jobnextrun = null
      from held h
     where j.jobid = h.jobid
       and not exists (select from pgagent.pga_joblog l
                        where l.jlgjobid = j.jobid
                          and l.jlgstatus = 'r'
                          and l.jlgid not in (select c.jlgid from closed c))
    returning j.jobid
), agents as (
    delete from pgagent.pga_jobagent a
     where a.jagpid in (
               select g.jagpid
                 from pgagent.pga_jobagent g
                where g.jagpid in (select d.jagpid from dead d)
                  for update of g skip locked)
       and not exists (select from pgagent.pga_job j
                        where j.jobagentid = a.jagpid and j.jobid not in (select f.jobid from freed f))
       and not exists (select from pgagent._batch_step b
                        where b.agentid = a.jagpid
                          and b.outcome is null
                          and b.jslid not in (select q.jslid from queue q))
    returning a.jagpid
)
select count(*)
  from pgagent.pga_jobagent a
 where not pgagent._agent_is_alive(a)
   and a.jagpid not in (select g.jagpid from agents g)
""",
    Kind.SCALAR,
)

# $1 pid, $2 runs that the engine knows. What else is claimed in its name was claimed in a submission whose answer was
# lost: no step of it has been sent. Answers how many of these runs are left, because a client has locked a row.
DISOWN = Statement(
    b"disown",
    """
with mine as (
    select j.jobid, l.jlgid
      from pgagent.pga_job j
      join pgagent.pga_joblog l on l.jlgjobid = j.jobid and l.jlgstatus = 'r'
     where j.jobagentid = $1::int4
       and l.jlgid <> all ($2::int4[])
       and not exists (select from pgagent._batch_step b where b.jlgid = l.jlgid)
       for no key update of j, l skip locked
), runs as (
    update pgagent.pga_joblog l
       set jlgstatus = 'd', jlgduration = clock_timestamp() - l.jlgstart,
           jlgreason = 'aborted before it was sent: the engine lost its connection'
      from mine m
     where l.jlgid = m.jlgid
), steps as (
    update pgagent.pga_jobsteplog s
       set jslstatus = 'd', jslduration = clock_timestamp() - s.jslstart,
           jsloutput = 'aborted before it was sent: the engine lost its connection'
      from mine m
     where s.jsljlgid = m.jlgid and s.jslstatus = 'r'
), freed as (
    update pgagent.pga_job j
       set jobagentid = null, jobnextrun = null
      from mine m
     where j.jobid = m.jobid
)
select count(*)
  from pgagent.pga_job j
  join pgagent.pga_joblog l on l.jlgjobid = j.jobid and l.jlgstatus = 'r'
 where j.jobagentid = $1::int4
   and l.jlgid <> all ($2::int4[])
   and l.jlgid not in (select m.jlgid from mine m)
   and not exists (select from pgagent._batch_step b where b.jlgid = l.jlgid)
""",
    Kind.SCALAR,
)

# $1 runs that the engine knows. Those that have an end already: another agent has given them up.
LOST_RUNS = Statement(
    b"lost_runs",
    """
select l.jlgid from pgagent.pga_joblog l where l.jlgid = any ($1::int4[]) and l.jlgstatus in ('s', 'f', 'i', 'd')
""",
    Kind.SCALAR,
)

# Tells of jobs that are overdue, and what else had to wait.
WATCH = Statement(b"watch", "select pgagent._watch_jobs()", Kind.SCALAR)

# $1 how many. Deletes logs that the settings do not keep: how many it were.
PRUNE = Statement(b"prune", "select pgagent.prune_runs($1::int4)", Kind.SCALAR)

# pid. Ends the statements of this engine's own step sessions.
CANCEL = Statement(b"cancel", "select pg_cancel_backend(e.pid) from unnest($1::int4[]) as e (pid)")

# pid. Ends the sessions of steps that do not heed a cancel.
TERMINATE = Statement(b"terminate", "select pg_terminate_backend(e.pid) from unnest($1::int4[]) as e (pid)")

STATEMENTS = (
    REGISTER, RENEW, CANCEL_REQUESTS, CLAIM, CLAIM_BY_PRIORITY, NEXT_DUE, BEGIN_STEPS, CLOSE_STEPS, WRITE_OUTPUT,
    WRITE_PROGRESS, CLOSE_RUNS, RELEASE, PARK, ADOPT, END_ORPHANS, REAP, DISOWN, LOST_RUNS, PRUNE, WATCH, CANCEL,
    TERMINATE,
)  # fmt: skip


@dataclass(slots=True)
class Entry:
    """A statement and the rows to execute it for; then what it answered and what it refused.

    ``failures`` pairs a row with the error that it raised: (SQLSTATE, message).
    """

    statement: Statement
    rows: list[Row]
    answers: list[Row] = field(default_factory=list)
    failures: list[tuple[Row, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    """One execution in the pipeline: an entry, or one row of it."""

    entry: Entry
    rows: list[Row]
    answers: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class _Submission:
    """Entries on their way: the calls that execute them, and how far their results have been read.

    ``carefully``: each call commits by itself. ``syncs``: sync points still to come.
    """

    entries: list[Entry]
    calls: list[_Call]
    carefully: bool = False
    position: int = 0
    answered: bool = False
    failed: bool = False
    syncs: int = 0


class Ledger:
    """The control session. Submit entries when ``ready``, or to follow others when not ``full``; ``advance`` answers
    with them when they are executed.
    """

    def __init__(self, conninfo: bytes, deadline_seconds: float) -> None:
        self.notified = False
        self._link = Link(conninfo, deadline_seconds)
        self._prepared = False
        self._submissions: deque[_Submission] = deque()

    @property
    def ready(self) -> bool:
        """Whether entries can be submitted, and none are on their way."""
        return self._prepared and not self._submissions

    @property
    def full(self) -> bool:
        """Whether as many submissions are on their way as may be."""
        return not self._prepared or len(self._submissions) >= MOST_SUBMISSIONS

    @property
    def descriptor(self) -> int:
        """The socket to wait for."""
        return self._link.descriptor

    @property
    def wait_events(self) -> int:
        """What to wait for, as select.POLLIN and select.POLLOUT."""
        return self._link.wait_events

    @property
    def connect_deadline_seconds(self) -> float | None:
        """Until when it may connect, on the monotonic clock; None when connected."""
        return None if self._link.connected else self._link.deadline_seconds

    def submit(self, entries: Sequence[Entry]) -> None:
        """Sends the entries, in this order, to be committed together. Raises ConnectionLost."""
        self._send(_Submission(list(entries), [_Call(entry, entry.rows) for entry in entries]))

    def advance(self) -> list[list[Entry]]:
        """Goes on without waiting: the entries of each submission that is executed. Raises ConnectionLost."""
        if not self._link.connected:
            if self._link.connect():
                self._prepare()
            return []
        self._link.flush(sent=False)
        self._link.receive()
        executed = []
        while self._submissions and self._read(self._submissions[0]):
            done = self._submissions.popleft()
            if not self._prepared:
                self._prepared = True
            elif done.failed and not done.carefully:
                rows = [_Call(entry, [row]) for entry in done.entries for row in entry.rows]
                self._send(_Submission(done.entries, rows, carefully=True))
            else:
                for call in done.calls:
                    call.entry.answers.extend(call.answers)
                executed.append(done.entries)
        self.notified = self._link.take_notifications() or self.notified
        return executed

    def close(self) -> None:
        """Ends the session."""
        self._link.close()

    def _prepare(self) -> None:
        pgconn = self._link.pgconn
        pgconn.enter_pipeline_mode()
        for statement in STATEMENTS:
            pgconn.send_prepare(statement.name, statement.sql.encode())
        for statement in (HUSH, LISTEN):
            pgconn.send_query_params(statement.sql.encode(), None)
        preparation = _Submission([], [])
        self._sync(preparation)
        self._submissions.append(preparation)
        self._link.flush()

    def _send(self, submission: _Submission) -> None:
        self._submissions.append(submission)
        try:
            for call in submission.calls:
                self._link.pgconn.send_query_prepared(call.entry.statement.name, _parameters(call))
                if submission.carefully:
                    self._sync(submission)
            if not submission.carefully:
                self._sync(submission)
        except OperationalError:
            raise self._link.loss() from None
        self._link.flush()

    def _sync(self, submission: _Submission) -> None:
        self._link.pgconn.pipeline_sync()
        submission.syncs += 1

    def _read(self, submission: _Submission) -> bool:
        """Reads results as far as they are there: true when the submission's last sync point is reached."""
        pgconn = self._link.pgconn
        while submission.syncs:
            try:
                if pgconn.is_busy():
                    return False
                result = pgconn.get_result()
            except OperationalError:
                raise self._link.loss() from None
            if result is None:
                if pgconn.status == pq.ConnStatus.BAD:
                    raise self._link.loss()
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                submission.syncs -= 1
                submission.answered = False
            else:
                self._take_result(submission, result)
        return True

    def _take_result(self, submission: _Submission, result: pq.abc.PGresult) -> None:
        """A result of the next call; or, when all calls before a sync point have theirs, the failure to commit them."""
        every_call = submission.carefully or submission.position == len(submission.calls)
        if self._prepared and not (submission.answered and every_call):
            submission.position += 1
            submission.answered = True
        call = submission.calls[submission.position - 1] if self._prepared else None
        if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            if call is not None:
                call.answers = _rows(result)
            return
        submission.failed = True
        if result.status != pq.ExecStatus.FATAL_ERROR:
            return
        sqlstate = UTF8.read_output(result.error_field(pq.DiagnosticField.SQLSTATE) or b"")
        message = UTF8.read_output(result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message)
        if call is None:
            raise ConnectionLost(message, sqlstate)
        call.answers = []
        if submission.carefully:
            call.entry.failures.extend((row, sqlstate, message) for row in call.rows)


def _parameters(call: _Call) -> list[Value]:
    if call.entry.statement.kind is Kind.SCALAR:
        return list(call.rows[0])
    return [array_literal(column) for column in zip(*call.rows, strict=True)]


def _rows(result: pq.abc.PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]


def array_literal(values: Sequence[Value]) -> bytes:
    """An array in the server's text form."""
    return b"{" + b",".join(map(_element, values)) + b"}"


def _element(value: Value) -> bytes:
    if value is None:
        return b"NULL"
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
