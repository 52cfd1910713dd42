-- Put what was heard into the lists of those who have heard it.
--   KEYS  lists
--   ARGV  as many envelopes
-- Returns how many.
for i = 1, #KEYS do redis.call('LPUSH', KEYS[i], ARGV[i]) end
return #KEYS
