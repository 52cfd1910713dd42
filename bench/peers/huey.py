"""huey on Redis."""

from __future__ import annotations

import sys

import redis
from huey import RedisHuey  # type: ignore[import-not-found]  # installed in bench/.venv-peers

from bench.redis_server import MESSAGES, url

huey = RedisHuey("bench", url=url(MESSAGES), store_none=True)

WORKER = [
    *(sys.executable, "-m", "huey.bin.huey_consumer", "bench.peers.huey.huey"),
    *("--workers", "2", "--worker-type", "process", "--no-periodic", "--quiet"),
]

_server = redis.Redis.from_url(url(MESSAGES))


@huey.task()
def noop() -> None: ...


def prepare() -> None:
    _server.flushall()


def publish(count: int) -> None:
    for _ in range(count):
        noop()


def finished() -> int:
    return int(huey.storage.result_store_size())


def call_and_wait() -> None:
    # Waits of 0.5 ms instead of 50 ms and more: the notifying way costs two commands more for every task.
    noop().get(blocking=True, timeout=10, backoff=1, max_delay=0.0005)
