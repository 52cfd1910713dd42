-- Look at the owners.
--   KEYS  beats (hash), dying (set)
-- Returns {{owner, its counter, …}, {owners declared dead whose messages have not all come back}}.
return {redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', KEYS[2])}
