# What bash needs in order to complete commands, options and the names of jobs.
pgagent-py completion bash
