-- A calendar that no schedule uses any more, and its dates.
select pgagent.create_calendar('trade fair', '{2027-04-19, 2027-04-20, 2027-04-21}');
select pgagent.drop_calendar('trade fair');
