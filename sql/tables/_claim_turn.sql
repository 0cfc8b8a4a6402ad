create table pgagent._claim_turn (
    singleton bool not null default true
        constraint _claim_turn_pkey primary key
        constraint _claim_turn_singleton_check check (singleton)
);
-- Not an advisory lock: anybody may take one of these.

comment on table pgagent._claim_turn is 'One row: who has locked it claims jobs with limits, one session after the other.';
comment on column pgagent._claim_turn.singleton is 'Always true: there is one row.';

insert into pgagent._claim_turn default values;
