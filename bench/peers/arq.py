"""arq on Redis."""

from __future__ import annotations

import asyncio
import sys

import redis
import uvloop
from arq import create_pool  # type: ignore[import-not-found]  # installed in bench/.venv-peers-arq
from arq.connections import ArqRedis, RedisSettings  # type: ignore[import-not-found]  # installed in bench/.venv-peers-arq
from arq.constants import default_queue_name  # type: ignore[import-not-found]  # installed in bench/.venv-peers-arq

from bench.redis_server import MESSAGES, url

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

WORKER = [
    *(sys.executable, "-m", "bench.peers.twice"),  # its command runs one process
    *(sys.executable, "-m", "arq", "bench.peers.arq.WorkerSettings"),
]

_settings = RedisSettings.from_dsn(url(MESSAGES))
_server = redis.Redis.from_url(url(MESSAGES))
_loop = uvloop.new_event_loop()
_pool: ArqRedis | None = None
_queued: int | None = None


async def noop(ctx: object) -> None: ...


class WorkerSettings:
    functions = (noop,)
    redis_settings = _settings
    max_jobs = 50
    poll_delay = 0.001
    log_results = False


def prepare() -> None:
    _server.flushall()


def publish(count: int) -> None:
    _loop.run_until_complete(_publish(count))


def finished() -> int:
    # Results are not counted anywhere; a job leaves the queue when its result is stored.
    global _queued
    waiting = int(_server.zcard(default_queue_name))
    if _queued is None:
        _queued = waiting
    return _queued - waiting


def call_and_wait() -> None:
    _loop.run_until_complete(_call_and_wait())


async def _publish(count: int) -> None:
    pool = await _connected()
    for _ in range(count):
        await pool.enqueue_job("noop")


async def _call_and_wait() -> None:
    job = await (await _connected()).enqueue_job("noop")
    # It only polls; every 0.5 s would be its default.
    await job.result(timeout=10, poll_delay=0.0005)


async def _connected() -> ArqRedis:
    global _pool
    if _pool is None:
        _pool = await create_pool(_settings)
    return _pool
