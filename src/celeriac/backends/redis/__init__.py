"""Results in Redis, in Celery's keys.

records.py     keys, and what is read under them; pure
joins.py       what scripts are given and answer about chords; pure
interests.py   who waits for which results; pure
line.py        one connection that is subscribed
subscriber.py  one subscription for all who wait in this process
backend.py     the port; `brokers/redis/lua/results.lua` says which record stands
"""

from __future__ import annotations

from celeriac.backends.redis.backend import RedisBackend

__all__ = ["RedisBackend"]
