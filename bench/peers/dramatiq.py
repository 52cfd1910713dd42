"""Dramatiq on Redis, with results."""

from __future__ import annotations

import sys

import dramatiq  # type: ignore[import-not-found]  # installed in bench/.venv-peers
import redis
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]  # installed in bench/.venv-peers
from dramatiq.results import Results  # type: ignore[import-not-found]  # installed in bench/.venv-peers
from dramatiq.results.backends import RedisBackend  # type: ignore[import-not-found]  # installed in bench/.venv-peers

from bench.redis_server import MESSAGES, RESULTS, url

broker = RedisBroker(url=url(MESSAGES))
broker.add_middleware(Results(backend=RedisBackend(url=url(RESULTS)), store_results=True))
dramatiq.set_broker(broker)

WORKER = [sys.executable, "-m", "dramatiq", "bench.peers.dramatiq", "--processes", "2", "--threads", "8"]

_results = redis.Redis.from_url(url(RESULTS))


@dramatiq.actor
def noop() -> None: ...


def prepare() -> None:
    _results.flushall()


def publish(count: int) -> None:
    for _ in range(count):
        noop.send()


def finished() -> int:
    return int(_results.dbsize())


def call_and_wait() -> None:
    noop.send().get_result(block=True, timeout=10_000)
