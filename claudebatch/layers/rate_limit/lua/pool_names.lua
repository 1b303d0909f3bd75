-- The names of all pools that were used of late. KEYS: where they stand.
return redis.call('HKEYS', KEYS[1])
