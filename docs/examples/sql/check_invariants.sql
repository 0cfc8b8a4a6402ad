-- No row: all is as it must be, in the last thousand runs too.
select invariant, object, detail from pgagent.check_invariants(latest_runs => 1000);
