create table pgagent.pga_jobclass (
    jclid serial not null constraint pga_jobclass_pkey primary key,
    jclname text not null,
    jclmaxruns int4 constraint pga_jobclass_jclmaxruns_check check (jclmaxruns >= 0)
);
create unique index pga_jobclass_name on pgagent.pga_jobclass (jclname);

comment on table pgagent.pga_jobclass is 'Job classes.';
comment on column pgagent.pga_jobclass.jclid is 'Id of the class; 1 to 5 come with the extension.';
comment on column pgagent.pga_jobclass.jclname is 'Name of the class.';
comment on column pgagent.pga_jobclass.jclmaxruns is 'How many jobs of the class run at once, whoever runs them; null: any number.';

insert into pgagent.pga_jobclass (jclname) values
    ('Routine Maintenance'),
    ('Data Import'),
    ('Data Export'),
    ('Data Summarisation'),
    ('Miscellaneous');
