-- Give unique keys back of runs whose messages are settled, or deleted.
--   KEYS  replaced, then unique keys
--   ARGV  for each of those the id of the run
-- include clock
-- include unique
for i, task_id in ipairs(ARGV) do free_unique(KEYS[i + 1], KEYS[1], task_id) end
return 1
