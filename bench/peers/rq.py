"""RQ on Redis, in workers that do not fork for every job."""

from __future__ import annotations

import sys

import redis
import rq  # type: ignore[import-not-found]  # installed in bench/.venv-peers

from bench.redis_server import MESSAGES, url

WORKER = [
    *(sys.executable, "-m", "rq.cli", "worker-pool", "--url", url(MESSAGES)),
    *("--num-workers", "2", "--worker-class", "rq.worker.SimpleWorker", "--quiet", "bench"),
]

_server = redis.Redis.from_url(url(MESSAGES))
queue = rq.Queue("bench", connection=_server)


def noop() -> None: ...


def prepare() -> None:
    _server.flushall()


def publish(count: int) -> None:
    for _ in range(count):
        queue.enqueue(noop)


def finished() -> int:
    return int(_server.zcard(queue.finished_job_registry.key))


def call_and_wait() -> None:
    queue.enqueue(noop).latest_result(timeout=10)
