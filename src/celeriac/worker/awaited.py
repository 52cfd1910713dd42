"""Run bodies that are awaited, many at once in one event loop; plain functions in threads beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celeriac.app.application import Celery
from celeriac.app.context import Context
from celeriac.app.trace import Traced, Tracer, in_one_step
from celeriac.wire.protocol import TaskRequest
from celeriac.worker.execute import Executor
from celeriac.worker.interrupts import Interrupts


class AwaitingExecutor(Executor):
    """Run bodies in the running loop.

    Args:
        app: its tasks are registered.
        hostname: the node's name.
        interrupts: learns which runs there are.
        threads: run what would hold up the loop.
    """

    def __init__(self, app: Celery, hostname: str, interrupts: Interrupts, threads: ThreadPoolExecutor) -> None:
        super().__init__(app, hostname, interrupts)
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._beside = _BesideLoop(app, hostname, self._loop)

    async def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await coroutine

    async def traced(self, tracer: Tracer, context: Context, request: TaskRequest) -> Traced:
        """Have a plain task run in a thread, with all that is around its body."""
        if tracer.task.is_async:
            return await super().traced(tracer, context, request)
        return await self._loop.run_in_executor(self._threads, self._beside.trace_here, context, request)


class _BesideLoop(Executor):
    """Run plain functions in threads; what they return to be awaited is awaited in the loop."""

    def __init__(self, app: Celery, hostname: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, hostname)
        self._loop = loop

    def trace_here(self, context: Context, request: TaskRequest) -> Traced:
        return in_one_step(self.traced(self.tracer_for(request), context, request))

    async def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        # Threads wait for it, nobody awaits: from here the loop takes the coroutine on in this thread's context.
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
