-- By pairs of letters in common: enough for a slip of the pen, and without another extension.
create function pgagent._similar_jobs(name text) returns text[]
language sql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
    with asked as (
        select distinct substr(lower(name), i, 2) as pair from generate_series(1, greatest(length(name) - 1, 1)) i
    )
    select array(
        select j.jobname
          from pgagent.pga_job j
          join asked a on strpos(lower(j.jobname), a.pair) > 0
         group by j.jobname
        having 4 * count(distinct a.pair) >= length(name) + length(j.jobname) - 2
         order by count(distinct a.pair) / (length(name) + length(j.jobname))::float8 desc, j.jobname
         limit 3)
$$;
comment on function pgagent._similar_jobs(text) is 'Up to three names of visible jobs that resemble a name, the most similar first.';

create function pgagent.find_job(name text) returns int4
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    ids constant int4[] := array(select j.jobid from pgagent.pga_job j where j.jobname = find_job.name order by j.jobid);
begin
    perform pgagent._reject_null(json_build_object('name', name));
    if cardinality(ids) > 1 then
        raise exception using
            errcode = 'too_many_rows',
            message = format('%s jobs have the name "%s"', cardinality(ids), name),
            detail = format('Their ids are %s.', array_to_string(ids, ', ')),
            hint = 'Give the id of the one that is meant.';
    elsif cardinality(ids) = 0 then
        raise exception using
            errcode = 'undefined_object',
            message = format('job "%s" does not exist', name),
            hint = coalesce(
                'Similar names: "' || nullif(array_to_string(pgagent._similar_jobs(name), '", "'), '') || '".',
                'SELECT jobid, jobname FROM pgagent.pga_job lists the jobs.');
    end if;
    return ids[1];
end
$$;
comment on function pgagent.find_job(text) is
    'The id of the job of this name, among those that the caller sees. '
    'Error 42704: there is none; P0003: there are several.';

create function pgagent._require_job(job int4) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pgagent._reject_null(json_build_object('job', job));
    perform from pgagent.pga_job j where j.jobid = job;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('job %s does not exist', job),
            hint = 'SELECT jobid, jobname FROM pgagent.pga_job lists the jobs.';
    end if;
end
$$;
comment on function pgagent._require_job(int4) is 'Error 42704 unless the caller sees a job of this id.';

-- What the policies would refuse, or pass over without a word.
create function pgagent._require_own_job(job int4) returns void
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    owner name;
begin
    perform pgagent._require_job(job);
    select j.jobowner into owner from pgagent.pga_job j where j.jobid = job;
    if row_security_active('pgagent.pga_jobstep')
       and not exists (select from pg_roles r where r.rolname = owner and pg_has_role(r.oid, 'usage')) then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('permission denied for the steps of job %s', job),
            detail = format('It belongs to role "%s", as which its steps run.', owner),
            hint = 'Only its owner and members of the owning role change what a job executes.';
    end if;
end
$$;
comment on function pgagent._require_own_job(int4) is
    'Error 42704 unless the caller sees the job, 42501 unless the caller may change its steps.';
