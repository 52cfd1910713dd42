"""Celery on Redis."""

from __future__ import annotations

import sys

import celery  # type: ignore[import-not-found]  # installed in bench/.venv-peers
import redis

from bench import counting
from bench.redis_server import MESSAGES, RESULTS, url

app = celery.Celery("bench", broker=url(MESSAGES), backend=url(RESULTS))
# Ack late: what a killed worker was doing is done again. celeriac, dramatiq and taskiq do so anyway.
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=64)

WORKER = [
    *(sys.executable, "-m", "celery", "-A", "bench.peers.celery", "worker", "-c", "2", "-l", "warning"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]

_results = redis.Redis.from_url(url(RESULTS))


@app.task
def noop() -> None: ...


canvas = celery
inc, count = app.task(name="inc")(counting.inc), app.task(name="count")(counting.count)


def prepare() -> None:
    _results.flushall()


def publish(count: int) -> None:
    for _ in range(count):
        noop.delay()


def finished() -> int:
    return int(_results.dbsize())


def call_and_wait() -> None:
    noop.delay().get(timeout=10)
