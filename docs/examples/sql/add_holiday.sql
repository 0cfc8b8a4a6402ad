-- More dates for a calendar: one with its name, and a period. The jobs that use it get their next run anew.
select pgagent.create_calendar('German holidays');
select pgagent.add_holiday('German holidays', '2027-01-01', name => 'New Year''s Day');
select pgagent.add_holiday('German holidays', '2027-12-24', until => '2027-12-31', name => 'office closed');
select holdate, holname from pgagent.pga_holiday order by holdate;
