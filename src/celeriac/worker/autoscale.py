"""Have a node run more bodies at once while messages wait, and fewer when there is little to do (`--autoscale`).

`scaling.py` decides; this is the shell around it, which looks, and has `resizing.py` do it. Its names are those of
Celery's autoscaler, so that classes which extend that one (`worker_autoscaler`) find here what they call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from celeriac.app.imports import imported
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.background import Background
from celeriac.worker.commands.state import Pool
from celeriac.worker.daemons import in_daemon
from celeriac.worker.instance import Worker
from celeriac.worker.scaling import Bounds, Needs, bodies_for, bounds_of, keepalive_in

logger: Final = logging.getLogger("celeriac.worker")

LOOK_EVERY: Final = 1.0
"""Seconds between two looks while nothing waits."""

WAITS_AFTER: Final = 0.05
"""Seconds that all bodies must be busy, and more must wait: what is short has ended by then."""

CELERYS: Final = "celery.worker.autoscale:Autoscaler"
"""What `worker_autoscaler` is where nobody says anything."""


class Load(Protocol):
    """Say what a node has to do, and how many bodies it has for that."""

    @property
    def capacities(self) -> Sequence[int]:
        """Bodies at once in each of its children, those that are coming up included."""
        ...

    @property
    def unanswered(self) -> int:
        """Messages that run, or wait in it for a body."""
        ...

    @property
    def behind(self) -> int:
        """Messages that wait because no body is free for them."""
        ...


class Autoscaler:
    """Choose how many bodies a node runs at once.

    Extend it to decide otherwise: `_maybe_scale` is called once a second, and when messages wait, and calls
    `scale_up` and `scale_down`. That of a class of yours runs in a thread beside the node's loop.

    Args:
        pool: changes how many bodies there are.
        max_concurrency: never more than so many.
        min_concurrency: never fewer; 0 is as good as 1.
        worker: the node, as receivers of its signals see it.
        keepalive: seconds for which bodies are kept that nobody needs; None: as the environment says
            (AUTOSCALE_KEEPALIVE), or 30.
        mutex: of no effect; taken because Celery has it.
    """

    def __init__(
        self,
        pool: Pool,
        max_concurrency: int,
        min_concurrency: int = 0,
        worker: Worker | None = None,
        keepalive: float | None = None,
        mutex: Any = None,
    ) -> None:
        self.pool = pool
        self.max_concurrency = max_concurrency
        self.min_concurrency = min_concurrency
        self.worker = worker
        self.keepalive = keepalive or keepalive_in(os.environ)
        self._needs = Needs(self.keepalive)
        self._last_scale_up: float | None = None
        self._load: Load | None = None
        self._call: Callable[[Callable[[], object]], object] = lambda call: call()

    def attach(self, load: Load, call: Callable[[Callable[[], object]], object]) -> None:
        """Learn what the node has to do, and by what functions are called in its loop."""
        self._load, self._call = load, call

    # -- what it sees -------------------------------------------------------------------------------------------

    @property
    def processes(self) -> int:
        """Bodies that the node has at once, those that are coming up included; Celery's name."""
        return 0 if self._load is None else sum(self._load.capacities)

    @property
    def qty(self) -> int:
        """Messages that run, or wait in the node for a body."""
        return 0 if self._load is None else self._load.unanswered

    @property
    def spare(self) -> int:
        """Bodies by which the node may still grow: for so many messages more it is worth asking."""
        return max(0, self.max_concurrency - self.processes)

    def info(self) -> dict[str, int]:
        """Return what people may see of it, in Celery's words."""
        return {
            "max": self.max_concurrency,
            "min": self.min_concurrency,
            "current": self.processes,
            "qty": self.qty,
        }

    # -- what it does -------------------------------------------------------------------------------------------

    def maybe_scale(self, req: Any = None) -> None:
        """Look whether the node should run more or fewer bodies, and have it do so."""
        self._maybe_scale(req)

    def _maybe_scale(self, req: Any = None) -> bool:
        now, bodies, needed = time.monotonic(), self.processes, self.qty
        self._needs.note(needed, now)
        bounds = Bounds(self.max_concurrency, self.min_concurrency)
        wanted = bodies_for(bounds, bodies=bodies, needed=needed, needed_lately=self._needs.most(now))
        if wanted > bodies:
            self.scale_up(wanted - bodies)
        elif wanted < bodies:
            self.scale_down(bodies - wanted)
        return wanted != bodies

    def scale_up(self, n: int) -> None:
        """Run `n` more bodies at once."""
        self._last_scale_up = time.monotonic()
        self._needs.note(self.processes + n, self._last_scale_up)
        self._grow(n)

    def scale_down(self, n: int) -> None:
        """Run `n` fewer bodies at once, unless there were more just now. What runs in those that go ends first."""
        if self._last_scale_up is None or time.monotonic() - self._last_scale_up > self.keepalive:
            self._shrink(n)

    def _grow(self, n: int) -> None:
        self._call(lambda: self._change(self.pool.grow, n, "more"))

    def _shrink(self, n: int) -> None:
        self._call(lambda: self._change(self.pool.shrink, n, "fewer"))

    def _change(self, change: Callable[[int], None], count: int, how: str) -> None:
        try:
            change(count)
        except ValueError as error:
            logger.error("the autoscaler cannot have %d tasks %s at once: %s", count, how, error)

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:
        """Change the bounds, and obey them at once; None leaves one as it is.

        Returns:
            The largest and the smallest number of bodies from now on.

        Raises:
            ValueError: they cannot be bounds.
        """
        most = self.max_concurrency if max is None else max
        bounds = bounds_of(most, self.min_concurrency if min is None else min)
        self.max_concurrency, self.min_concurrency = bounds.most, bounds.least
        bodies = self.processes
        wanted = bounds.within(bodies)
        if wanted < bodies:
            self._shrink(bodies - wanted)
        elif wanted > bodies:
            self._grow(wanted - bodies)
        return bounds.most, bounds.least


def find_autoscaler(named: str | type) -> type[Autoscaler]:
    """Return the class that `worker_autoscaler` names.

    Raises:
        ImproperlyConfigured: it cannot be imported, or is none that extends ours.
    """
    if named == CELERYS:
        return Autoscaler
    found = imported(named, "worker_autoscaler") if isinstance(named, str) else named
    if not (isinstance(found, type) and issubclass(found, Autoscaler)):
        raise ImproperlyConfigured(
            f"worker_autoscaler names {found!r}, which is no autoscaler: it has to be a class that extends "
            "celeriac.worker.autoscale:Autoscaler"
        )
    return found


class Autoscaling:
    """Have an autoscaler look, once a second and whenever messages wait.

    Args:
        scaler: looks and decides.
        load: what the node has to do.
    """

    def __init__(self, scaler: Autoscaler, load: Load) -> None:
        self.scaler = scaler
        self._load = load
        self._is_ours = type(scaler) is Autoscaler
        call = (lambda call: call()) if self._is_ours else asyncio.get_running_loop().call_soon_threadsafe
        scaler.attach(load, call)
        self._waiting = asyncio.Event()
        self._loop = Background(self._run, "autoscale")
        self._has_failed = False

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Look no more. May be called twice, or before `start`."""
        await self._loop.stop()

    def note_waiting(self) -> None:
        """Learn that messages wait for a body."""
        self._waiting.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._waiting.wait()
            if self._waiting.is_set():
                await asyncio.sleep(WAITS_AFTER)
                self._waiting.clear()
                if not self._load.behind:
                    continue
            await self._look()

    async def _look(self) -> None:
        try:
            if self._is_ours:
                self.scaler.maybe_scale()
            else:
                await in_daemon(self.scaler.maybe_scale)
        except Exception:
            if not self._has_failed:
                logger.exception("the autoscaler failed; the node stays as large as it is, and it is asked again")
            self._has_failed = True
