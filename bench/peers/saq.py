"""saq on Redis."""

from __future__ import annotations

import asyncio
import sys

import redis
import uvloop
from saq import Queue  # type: ignore[import-not-found]  # installed in bench/.venv-peers-saq

from bench.redis_server import MESSAGES, url

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

WORKER = [sys.executable, "-m", "saq", "bench.peers.saq.settings", "--workers", "2"]

queue = Queue.from_url(url(MESSAGES))
_server = redis.Redis.from_url(url(MESSAGES))
_loop = uvloop.new_event_loop()
_queued: int | None = None


async def noop(ctx: object) -> None: ...


settings = {"queue": queue, "functions": [noop], "concurrency": 50}


def prepare() -> None:
    _server.flushall()


def publish(count: int) -> None:
    _loop.run_until_complete(_publish(count))


def finished() -> int:
    # The record of a job becomes its result, so keys tell nothing; a job is incomplete until its result is stored.
    global _queued
    waiting = int(_server.zcard("saq:default:incomplete"))
    if _queued is None:
        _queued = waiting
    return _queued - waiting


def call_and_wait() -> None:
    _loop.run_until_complete(queue.apply("noop", timeout=10, poll_interval=0.0005))


async def _publish(count: int) -> None:
    for _ in range(count):
        await queue.enqueue("noop")
