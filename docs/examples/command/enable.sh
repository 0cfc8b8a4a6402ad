# A job that was created disabled runs when its schedule says so.
pgagent-py create 'nightly vacuum' --schedule '30 2 * * 1-5' --sql 'vacuum analyze' --disabled
pgagent-py enable 'nightly vacuum'
