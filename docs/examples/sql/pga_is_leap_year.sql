-- As in pgAgent.
select pgagent.pga_is_leap_year(2028::int2) as "2028", pgagent.pga_is_leap_year(2100::int2) as "2100";
