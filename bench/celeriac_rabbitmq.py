"""celeriac on RabbitMQ, its results in Redis. The worker imports this module as its app."""

from __future__ import annotations

import os

import redis

import celeriac
from bench import rabbitmq_queue, rabbitmq_server
from bench.ours import Ours
from bench.redis_server import RESULTS, url
from celeriac import Celery

backend = "rpc://" if "BENCH_RPC" in os.environ else url(RESULTS)
app = Celery("bench", broker=rabbitmq_server.url(), backend=backend)

ours = Ours(app, "bench.celeriac_rabbitmq")
canvas, inc, count, noop = celeriac, ours.inc, ours.count, ours.noop
WORKER, publish, call_and_wait = ours.worker, ours.publish, ours.call_and_wait

_results = redis.Redis.from_url(url(RESULTS))


def prepare() -> None:
    rabbitmq_queue.empty()
    _results.flushall()


def finished() -> int:
    return int(_results.dbsize())
