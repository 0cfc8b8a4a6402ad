-- Which of the scripts that this session runs are to be ended, and who has asked for it.
select jslid, cancelled_by from pgagent.cancelled_batch_steps();
