"""Start and stop the steps that an app has added to its nodes, in threads beside the loop; make some for bodies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from celeriac.app.steps import Step, in_order, step_name
from celeriac.worker.daemons import in_daemon
from celeriac.worker.instance import Worker

logger: Final = logging.getLogger("celeriac.worker")

_STOP_WITHIN: Final = 10.0
"""Seconds that one step may take to stop; then the node goes on without it."""


def steps_for_bodies(worker: Worker, kinds: Iterable[Iterable[type[Step]]]) -> list[Any]:
    """Make the steps that have nothing to start, in a process that runs bodies, or forks those that do.

    Whatever such a step does, it does by being made: it sets and connects things, in Celery for the bodies as well. One
    that cannot be made is logged; the supervisor is where that ends the node.

    Args:
        worker: the node, as steps see it.
        kinds: classes of steps.
    """
    made = []
    for step in (step for kind in kinds for step in in_order(tuple(kind)) if not hasattr(step, "start")):
        try:
            one = step(worker, **worker.options())
            if one.include(worker):
                made.append(one)
        except Exception:
            logger.exception("the step %s could not be made where tasks run, which begin without it", step_name(step))
    return made


class Stepping:
    """Own the steps of one node.

    Args:
        worker: the node, as steps see it.
        kinds: classes of steps that start with the node, and those that start with its claiming.
    """

    def __init__(self, worker: Worker, kinds: Iterable[Iterable[type[Step]]]) -> None:
        self._worker = worker
        self._kinds = [one for kind in kinds for one in in_order(tuple(kind))]
        self._started: list[Any] = []

    async def start(self) -> None:
        """Make and start the steps, one after another.

        Raises:
            Exception: what a step has raised; those that were started by then are stopped by `stop`.
        """
        steps = []
        for kind in self._kinds:
            step = await in_daemon(partial(kind, self._worker, **self._worker.options()))
            if await in_daemon(partial(step.include, self._worker)):
                steps.append(step)
        for step in steps:
            self._started.append(step)
            start = getattr(step, "start", None)
            if start is not None:
                logger.debug("starting the step %s", step_name(type(step)))
                await in_daemon(partial(start, self._worker))

    async def stop(self, *, at_once: bool) -> None:
        """Stop what was started, in reverse. May be called twice.

        Args:
            at_once: the node does not wait for what runs.
        """
        steps, self._started = self._started[::-1], []
        for step in steps:
            await self._call(step, "close")
        for step in steps:
            await self._call(step, "terminate" if at_once and hasattr(step, "terminate") else "stop")

    async def _call(self, step: Any, method: str) -> None:
        call = getattr(step, method, None)
        if call is None:
            return
        try:
            async with asyncio.timeout(_STOP_WITHIN):
                await in_daemon(partial(call, self._worker))
        except TimeoutError:
            logger.error("the step %s did not %s within %.0f s", step_name(type(step)), method, _STOP_WITHIN)
        except Exception:
            logger.exception("the step %s could not %s; the node goes on stopping", step_name(type(step)), method)
