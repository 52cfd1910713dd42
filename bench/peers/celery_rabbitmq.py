"""Celery on RabbitMQ, its results in Redis."""

from __future__ import annotations

import os
import sys

import celery  # type: ignore[import-not-found]  # installed in bench/.venv-peers
import redis

from bench import rabbitmq_queue, rabbitmq_server
from bench.redis_server import RESULTS, url

_rpc = "BENCH_RPC" in os.environ
app = celery.Celery("bench", broker=rabbitmq_server.url(), backend="rpc://" if _rpc else url(RESULTS))
app.conf.worker_prefetch_multiplier = 64
if not _rpc:  # there it is measured as it is by default, which is what celeriac is to beat
    app.conf.task_acks_late = True

WORKER = [
    *(sys.executable, "-m", "celery", "-A", "bench.peers.celery_rabbitmq", "worker", "-c", "2", "-l", "warning"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]

_results = redis.Redis.from_url(url(RESULTS))


@app.task
def noop() -> None: ...


def prepare() -> None:
    rabbitmq_queue.empty()
    _results.flushall()


def publish(count: int) -> None:
    for _ in range(count):
        noop.delay()


def finished() -> int:
    return int(_results.dbsize())


def call_and_wait() -> None:
    noop.delay().get(timeout=10)
