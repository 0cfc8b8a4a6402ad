create table pgagent.pga_jobclass (
    jclid serial not null constraint pga_jobclass_pkey primary key,
    jclname text not null
);
create unique index pga_jobclass_name on pgagent.pga_jobclass (jclname);

comment on table pgagent.pga_jobclass is 'Job classes.';
comment on column pgagent.pga_jobclass.jclid is 'Id of the class; 1 to 5 come with the extension.';
comment on column pgagent.pga_jobclass.jclname is 'Name of the class.';

insert into pgagent.pga_jobclass (jclname) values
    ('Routine Maintenance'),
    ('Data Import'),
    ('Data Export'),
    ('Data Summarisation'),
    ('Miscellaneous');
