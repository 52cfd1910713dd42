"""Ends what a blocking driver does at an absolute instant, by shutting its socket down.

py-amqp waits for single frames: a server that answers each of them late, or not at all while it is written to, could
hold a call for ever. One thread looks 20 times a second, as long as somebody has something under way.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_EVERY: Final = 0.05
_STAYS_FOR: Final = 5.0


class _Watch:
    """Know what is under way in this process."""

    def __init__(self) -> None:
        self.under_way: dict[int, tuple[float, Callable[[], socket.socket | None]]] = {}
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    def run(self) -> None:
        idle_since = time.monotonic()
        while True:
            time.sleep(_LOOK_EVERY)
            now = time.monotonic()
            if self.under_way:
                idle_since = now
                for deadline_at, sock in list(self.under_way.values()):
                    if now >= deadline_at:
                        _shut_down(sock())
            elif now - idle_since > _STAYS_FOR:
                with self.lock:
                    if not self.under_way:
                        self.thread = None
                        return


_watch = _Watch()


def _begin_anew() -> None:
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def ending_at(deadline_at: float, sock: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Shut a socket down when this block is not over by a monotonic instant: what waits for it raises `OSError`.

    Args:
        sock: returns the socket that is waited for, as soon as there is one.
    """
    watch = _watch
    key = id(sock)
    with watch.lock:
        watch.under_way[key] = (deadline_at, sock)
        if watch.thread is None:
            watch.thread = threading.Thread(target=watch.run, name="celeriac amqp deadlines", daemon=True)
            watch.thread.start()
    try:
        yield
    finally:
        watch.under_way.pop(key, None)


def _shut_down(sock: socket.socket | None) -> None:
    if sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
