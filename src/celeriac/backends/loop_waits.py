"""Many coroutines of one event loop waiting for results of one store, with one bell and one look for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

from celeriac.backends.base import StoredResult

if TYPE_CHECKING:
    import asyncio

_REST: Final = 5
"""Times as long as it took to look is not looked again, so that no more than a sixth of a loop goes into it."""

_REST_MAX: Final = 0.02

_BUSY_NAP: Final = 0.001
"""Seconds until the next try, when a look would have had to wait for another thread."""

Found = dict[str, StoredResult]


class ResultBell(Protocol):
    """Tell an event loop that results were stored. Used by one loop, in its thread."""

    net: float
    """Seconds after which to look although nothing rang."""

    def start(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        """Begin to call `ring`, in the thread of the loop, after results were stored."""

    def stop(self) -> None:
        """Stop calling."""


class LoopWaits:
    """Hold who waits in one loop for results of one store. Refers to its loop only while somebody does.

    Args:
        look: returns the final records among those of some ids, or None if it had to wait for another thread.
        bell: made for this loop.
    """

    def __init__(self, look: Callable[[Collection[str]], Found | None], bell: ResultBell) -> None:
        self._look = look
        self._bell = bell
        self._waiting: dict[str, set[asyncio.Future[Found]]] = {}
        self._net: asyncio.TimerHandle | None = None
        self._next: asyncio.TimerHandle | None = None
        self._rested_at = 0.0

    async def wait(self, task_ids: Collection[str], *, timeout: float | None) -> Found:
        """Wait as `ResultBackend.wait` does."""
        found = await patiently(lambda: self._look(task_ids))
        if found or timeout == 0:
            return found
        loop = _running_loop()
        woken: asyncio.Future[Found] = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _give, woken, {})
        try:
            self._enter(task_ids, woken)
            # What came between the first look and the bell's beginning has rung for nobody.
            arrived = self._look(task_ids)
            if arrived is None:
                self._look_later()
            return arrived or await woken or self._look(task_ids) or {}
        finally:
            if timer is not None:
                timer.cancel()
            self._leave(task_ids, woken)

    def _enter(self, task_ids: Collection[str], woken: asyncio.Future[Found]) -> None:
        if not self._waiting:
            self._bell.start(_running_loop(), self._ring)
            self._set_net()
        for task_id in task_ids:
            self._waiting.setdefault(task_id, set()).add(woken)

    def _leave(self, task_ids: Collection[str], woken: asyncio.Future[Found]) -> None:
        for task_id in task_ids:
            others = self._waiting.get(task_id)
            if others is not None:
                others.discard(woken)
                if not others:
                    del self._waiting[task_id]
        if not self._waiting and self._net is not None:
            self._bell.stop()
            for timer in (self._net, self._next):
                if timer is not None:
                    timer.cancel()
            self._net = self._next = None

    def _set_net(self) -> None:
        self._net = _running_loop().call_later(self._bell.net, self._look_anyway)

    def _look_anyway(self) -> None:
        self._set_net()
        self._look_for_all()

    def _ring(self) -> None:
        """Look, or look soon: results of others ring too, and many waiters must not hinder the loop."""
        if self._next is None and self._waiting:
            loop = _running_loop()
            if loop.time() >= self._rested_at:
                self._look_for_all()
            else:
                self._next = loop.call_at(self._rested_at, self._look_for_all)

    def _look_later(self) -> None:
        if self._next is None:
            self._next = _running_loop().call_later(_BUSY_NAP, self._look_for_all)

    def _look_for_all(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        began_at = time.monotonic()
        try:
            found = self._look(self._waiting)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, as if he had looked himself
            for woken in {woken for waiting in self._waiting.values() for woken in waiting}:
                if not woken.done():
                    woken.set_exception(error)
            return
        if found is None:
            self._look_later()
            return
        rest = min(_REST * (time.monotonic() - began_at), _REST_MAX)
        self._rested_at = _running_loop().time() + rest
        share: dict[asyncio.Future[Found], Found] = {}
        for task_id, result in found.items():
            for woken in self._waiting[task_id]:
                share.setdefault(woken, {})[task_id] = result
        for woken, results in share.items():
            _give(woken, results)


async def patiently(look: Callable[[], Found | None]) -> Found:
    """Look again and again until the look has not had to wait for another thread."""
    import asyncio

    while True:
        found = look()
        if found is not None:
            return found
        await asyncio.sleep(_BUSY_NAP)


def _running_loop() -> asyncio.AbstractEventLoop:
    import asyncio  # 30 ms that programs without coroutines need not wait for

    return asyncio.get_running_loop()


def _give(woken: asyncio.Future[Found], results: Found) -> None:
    if not woken.done():
        woken.set_result(results)


_of_loops: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, LoopWaits]]] = WeakKeyDictionary()


def waits_of(
    store: Hashable, look: Callable[[Collection[str]], Found | None], make_bell: Callable[[], ResultBell]
) -> LoopWaits:
    """Return those who wait in the running loop for results of one store, which `store` names.

    Backends of one store must have looks that find the same.
    """
    of_loop = _of_loops.setdefault(_running_loop(), {})
    waits = of_loop.get(store)
    if waits is None:
        waits = of_loop[store] = LoopWaits(look, make_bell())
    return waits
