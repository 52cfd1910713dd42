from __future__ import annotations

import pytest
import redis

from celeriac.backends.redis import RedisBackend
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.testing.backends import ResultBackendConformance, ResultWorld

AGE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
    local left = redis.call('PTTL', key)
    if left > 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
"""


class RedisResults(ResultWorld):
    """Hold results in one database; time passes for its keys."""

    def __init__(self, url, **said):
        place = read_place(url, "result_backend")
        reading = read_options(place, said, setting="result_backend_transport_options")
        assert reading.without_effect == ()
        self.place, self.options = reading.place, reading.options
        self.client = redis.Redis.from_url(url.partition("?")[0], protocol=2)

    def backend(self, *, expires=3600.0, failure_expires=None):
        return RedisBackend(self.place, self.options, expires=expires, failure_expires=failure_expires)

    def advance(self, seconds):
        self.client.eval(AGE, 0, int(seconds * 1000))

    def end(self):
        self.client.close()


class OnRedis(ResultBackendConformance):
    """Be the suite on a database of the session's server."""

    database = "0"
    prefix = ""

    @pytest.fixture
    def world(self, redis_db):
        world = RedisResults(f"{redis_db.rpartition('/')[0]}/{self.database}", global_keyprefix=self.prefix)
        yield world
        world.end()


class TestOnRedis(OnRedis):
    pass


class TestWithProtocol2(OnRedis):
    database = "0?protocol=2"


class TestWithProtocol3(OnRedis):
    database = "0?protocol=3"


class TestWithPrefixInAnotherDatabase(OnRedis):
    database = "2"
    prefix = "shop"
