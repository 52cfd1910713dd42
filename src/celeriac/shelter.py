"""Where a body must not be interrupted although it is under way: in our own code that holds what others wait for.

Limits and cancels raise an exception in a body from outside (`worker/interrupts.py`), wherever it is. Raised between
the taking of a lock and the statement that sees to its release, it would leave that locked for ever. Of soft limits
that met a body in `delay()` one in sixteen did, and who used the same SQLite file waited for the end of that process.

So such code runs within `with sheltered:`, for as long as a call may take. Who interrupts looks into `DEPTHS` first, in
one step with raising, and leaves it in `LATER` for a thread that is there: it is raised at the end of the shelter.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import get_ident
from typing import Final

DEPTHS: Final[dict[int, int]] = {}
"""How often each thread has entered and not left, by its ident."""

LATER: Final[dict[int, Callable[[], object]]] = {}
"""What raises in a thread when it leaves."""


class _Sheltered:
    """Be a statement's `with`; 0.25 µs."""

    __slots__ = ()

    def __enter__(self) -> None:
        thread = get_ident()
        # What is raised at this call finds nothing taken yet; after it nothing is, until the exit.
        DEPTHS[thread] = DEPTHS.get(thread, 0) + 1

    def __exit__(self, *error: object) -> None:
        thread = get_ident()
        depth = DEPTHS[thread] - 1
        if depth:
            DEPTHS[thread] = depth
            return
        del DEPTHS[thread]
        if LATER:
            interrupt = LATER.pop(thread, None)
            if interrupt is not None:
                interrupt()


sheltered: Final = _Sheltered()


def _forget_threads() -> None:
    DEPTHS.clear()
    LATER.clear()


os.register_at_fork(after_in_child=_forget_threads)
