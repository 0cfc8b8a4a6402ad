-- Dates taken from a calendar: one, and what is left of a year.
select pgagent.create_calendar('closing days', '{2027-08-02, 2027-08-03, 2027-12-24}');
select pgagent.drop_holiday('closing days', '2027-08-03');
select pgagent.drop_holiday('closing days', '2027-08-04', until => '2027-12-31');
