"""The end of a batch step, as the ticker reports it."""

from __future__ import annotations

from .output import shorten
from .run import ABORTED, FAILED, SUCCEEDED, judge_step
from .spi import Plpy

# The row is locked, so that nobody gives the run up meanwhile; a session that lost the step finds nothing.
TAKEN = """
select b.jlgid, b.jobid, b.steps -> 0 ->> 'on_error' as on_error, s.output_limit,
       coalesce((b.steps -> 0 ->> 'attempt')::int4 <= (b.steps -> 0 -> 'retry' ->> 'limit')::int4, false) as has_retry
  from pgagent._batch_step b
 cross join pgagent.settings s
 where b.jslid = $1 and b.taken and b.outcome is null and b.agentid = pg_backend_pid()
   for update of b
"""
CLOSE_STEP = """
update pgagent.pga_jobsteplog
   set jslstatus = $2, jslresult = $3, jslduration = clock_timestamp() - jslstart, jsloutput = ''
 where jslid = $1 and jslstatus = 'r'
"""
WRITE_OUTPUT = "update pgagent.pga_jobsteplog set jsloutput = $2 where jslid = $1"
HAND_ON = "update pgagent._batch_step set outcome = $2 where jslid = $1"
TELL_ENGINES = "select pg_notify('pgagent_due', '')"

# Only if no client holds the job's row.
HOLD_JOB = """
select 1 from pgagent.pga_job where jobid = $1 and jobagentid = pg_backend_pid() for no key update skip locked
"""
CLOSE_RUN = """
update pgagent.pga_joblog
   set jlgstatus = 'd', jlgduration = clock_timestamp() - jlgstart, jlgreason = 'aborted: the ticker ended the script'
 where jlgid = $1 and jlgstatus = 'r'
"""
FREE_JOB = "update pgagent.pga_job set jobagentid = null, jobnextrun = null where jobid = $1"
FORGET = "delete from pgagent._batch_step where jslid = $1"


def finish_step(plpy: Plpy, jslid: int, exit_code: int | None, output: str | None, aborted: bool | None) -> bool:
    """Writes the status, then the output, and hands the run to the engines. False: the step is not this session's.

    A script that the ticker has ended ends the run here: the ticker is about to stop, perhaps with every engine.
    """
    rows = plpy.execute(plpy.prepare(TAKEN, ["int4"]), [jslid])
    if not len(rows):
        return False
    taken = rows[0]
    ending = ABORTED if aborted else SUCCEEDED if exit_code == 0 else FAILED
    status = ending if taken["has_retry"] else judge_step(ending, taken["on_error"])
    plpy.execute(plpy.prepare(CLOSE_STEP, ["int4", "text", "int4"]), [jslid, status, exit_code])
    if output:
        text = shorten(output, taken["output_limit"])
        plpy.execute(plpy.prepare(WRITE_OUTPUT, ["int4", "text"]), [jslid, text])
    if ending == ABORTED and len(plpy.execute(plpy.prepare(HOLD_JOB, ["int4"]), [taken["jobid"]])):
        plpy.execute(plpy.prepare(CLOSE_RUN, ["int4"]), [taken["jlgid"]])
        plpy.execute(plpy.prepare(FREE_JOB, ["int4"]), [taken["jobid"]])
        plpy.execute(plpy.prepare(FORGET, ["int4"]), [jslid])
    else:
        plpy.execute(plpy.prepare(HAND_ON, ["int4", "text"]), [jslid, ending])
        plpy.execute(TELL_ENGINES)
    return True
