-- Bodies that are parsed now need no search_path, so that the planner puts them into the queries that call them.
create function pgagent._run_status_word(status character) returns text
language sql immutable parallel safe security invoker
begin atomic
    select case status
               when 'r' then 'running'
               when 's' then 'succeeded'
               when 'f' then 'failed'
               when 'd' then 'aborted'
               when 'i' then 'internal failure'
           end;
end;
comment on function pgagent._run_status_word(character) is 'The status of a run in words.';

create function pgagent._step_status_word(status character) returns text
language sql immutable parallel safe security invoker
begin atomic
    select case status
               when 'r' then 'running'
               when 's' then 'succeeded'
               when 'f' then 'failed'
               when 'd' then 'aborted'
               when 'i' then 'ignored'
           end;
end;
comment on function pgagent._step_status_word(character) is 'The status of a step''s run in words; ignored: it has failed, and the run goes on.';
