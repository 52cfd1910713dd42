"""taskiq on Redis streams, whose messages are acknowledged when the result is stored."""

from __future__ import annotations

import sys

import redis
import uvloop
from taskiq_redis import (  # type: ignore[import-not-found]  # installed in bench/.venv-peers
    RedisAsyncResultBackend,
    RedisStreamBroker,
)

from bench.redis_server import MESSAGES, RESULTS, url

broker = RedisStreamBroker(url=url(MESSAGES)).with_result_backend(
    RedisAsyncResultBackend(url(RESULTS), result_ex_time=86_400)
)

WORKER = [
    *(sys.executable, "-m", "taskiq", "worker", "bench.peers.taskiq:broker"),
    *("--workers", "2", "--log-level", "WARNING"),
]

_results = redis.Redis.from_url(url(RESULTS))
_loop = uvloop.new_event_loop()


@broker.task
async def noop() -> None: ...


def prepare() -> None:
    _results.flushall()
    _loop.run_until_complete(broker.startup())  # makes the consumer group, which must be there before the messages


def publish(count: int) -> None:
    _loop.run_until_complete(_publish(count))


def finished() -> int:
    return int(_results.dbsize())


def call_and_wait() -> None:
    _loop.run_until_complete(_call_and_wait())


async def _publish(count: int) -> None:
    for _ in range(count):
        await noop.kiq()


async def _call_and_wait() -> None:
    # It only polls; every 0.2 s would be its default.
    await (await noop.kiq()).wait_result(check_interval=0.0005, timeout=10)
