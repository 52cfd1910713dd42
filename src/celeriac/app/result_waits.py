"""Waiting for a run whose parents count too, or whose waiter wants to be told that time passes.

Written once, as a generator that says what to wait for next and is sent what has ended; the blocking and the async
shell in `app/result.py` do the waiting.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.backends.base import StoredResult

if TYPE_CHECKING:
    from celeriac.app.result import AsyncResult

Waits = Generator[tuple[list[str], float | None], Mapping[str, StoredResult], StoredResult | None]
"""Yields (ids, seconds or None for ever); returns the final record, or None when time was over."""


def waits_for(
    task_id: str,
    parents: Sequence[AsyncResult[Any]],
    *,
    timeout: float | None,
    interval: float,
    on_interval: Callable[[], object] | None,
) -> Waits:
    """Wait for the end of a run, or for one of its parents to fail, whichever comes first.

    Args:
        task_id: of the run.
        parents: the first of all first.
        timeout: seconds to wait; None waits for ever, 0 looks once.
        interval: seconds between two calls of `on_interval`.
        on_interval: called while nothing happens.

    Raises:
        Exception: what a parent raised.
    """
    until = math.inf if timeout is None else time.monotonic() + timeout
    unknown = dict.fromkeys(parent.id for parent in parents)
    while True:
        left = max(0.0, until - time.monotonic())
        nap = left if on_interval is None else min(left, interval)
        found = yield [task_id, *unknown], None if nap == math.inf else nap
        for parent in parents:
            if parent.id in found and parent.id in unknown:
                del unknown[parent.id]
                parent.take(found[parent.id])
        for parent in parents:
            parent.throw_if_known()
        if task_id in found:
            return found[task_id]
        if time.monotonic() >= until:
            return None
        if on_interval is not None and not found:
            on_interval()
