create schema drill;

-- What steps leave: of the run that was the job's newest when they were at work.
create table drill.evidence (label text, step int, jlgid int, phase text, at timestamptz default clock_timestamp());
create function drill.note(label text, step int, phase text) returns void language sql as $$
    insert into drill.evidence (label, step, jlgid, phase)
    select $1, $2, (select max(l.jlgid) from pgagent.pga_joblog l where l.jlgjobid = j.jobid), $3
      from pgagent.pga_job j where j.jobname = $1
$$;

-- Jobs that clients do not touch are judged by their schedules.
create table drill.planned (jobid int primary key, first timestamptz, every interval);

create table drill.claim (jobid int, due timestamptz, at timestamptz default clock_timestamp(), xid xid8 default pg_current_xact_id());
create table drill.release (jobid int, next timestamptz, at timestamptz default clock_timestamp());
create table drill.change (jobid int, was timestamptz, becomes timestamptz, application text, at timestamptz default clock_timestamp());
create table drill.run (jlgid int, jobid int, xid xid8 default pg_current_xact_id());
create table drill.rewrite (
    row_of text, id int, was text, becomes text, application text default current_setting('application_name'),
    pid int default pg_backend_pid(), at timestamptz default clock_timestamp());
create index on drill.claim (jobid, due);
create index on drill.release (jobid, at);

create function drill.record_job() returns trigger language plpgsql as $$
begin
    if old.jobagentid is null and new.jobagentid is not null then
        insert into drill.claim (jobid, due) values (new.jobid, old.jobnextrun);
    elsif old.jobagentid is not null and new.jobagentid is null then
        insert into drill.release (jobid, next) values (new.jobid, new.jobnextrun);
    elsif old.jobagentid is null and new.jobnextrun is distinct from old.jobnextrun then
        insert into drill.change (jobid, was, becomes, application)
        values (new.jobid, old.jobnextrun, new.jobnextrun, current_setting('application_name'));
    end if;
    return null;
end
$$;
create trigger zz_drill after update on pgagent.pga_job for each row execute function drill.record_job();

create function drill.record_run() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into drill.run (jlgid, jobid) values (new.jlgid, new.jlgjobid);
    elsif old.jlgstatus <> 'r' and (old.jlgstatus, old.jlgduration) is distinct from (new.jlgstatus, new.jlgduration) then
        insert into drill.rewrite (row_of, id, was, becomes) values ('pga_joblog', new.jlgid, old::text, new::text);
    end if;
    return null;
end
$$;
create trigger zz_drill after insert or update on pgagent.pga_joblog for each row execute function drill.record_run();

create function drill.record_step() returns trigger language plpgsql as $$
begin
    if old.jslstatus <> 'r' and (old.jslstatus, old.jslduration) is distinct from (new.jslstatus, new.jslduration) then
        insert into drill.rewrite (row_of, id, was, becomes)
        values ('pga_jobsteplog', new.jslid, left(old::text, 500), left(new::text, 500));
    end if;
    return null;
end
$$;
create trigger zz_drill after update on pgagent.pga_jobsteplog for each row execute function drill.record_step();

-- Tables on a disk that is full.
create table drill.full_disk (relation name);
create function drill.refuse() returns trigger language plpgsql as $$
begin
    if exists (select from drill.full_disk d where d.relation = tg_table_name) then
        raise exception using errcode = 'disk_full', message = 'drill: no space left';
    end if;
    return new;
end
$$;
create trigger drill_refuse before insert or update on pgagent.pga_joblog for each row execute function drill.refuse();
create trigger drill_refuse before insert or update on pgagent.pga_jobsteplog for each row execute function drill.refuse();
create trigger drill_refuse before insert or update on pgagent._batch_step for each row execute function drill.refuse();
