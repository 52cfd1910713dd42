"""celeriac on Redis: messages and results in two databases of one server. The worker imports this module as its app."""

from __future__ import annotations

import redis

import celeriac
from bench.ours import Ours
from bench.redis_server import MESSAGES, RESULTS, url
from celeriac import Celery

app = Celery("bench", broker=url(MESSAGES), backend=url(RESULTS))

ours = Ours(app, "bench.celeriac_redis")
canvas, inc, count = celeriac, ours.inc, ours.count
WORKER, publish, call_and_wait = ours.worker, ours.publish, ours.call_and_wait

_results = redis.Redis.from_url(url(RESULTS))


def prepare() -> None:
    _results.flushall()


def finished() -> int:
    return int(_results.dbsize())
