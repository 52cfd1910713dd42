"""Host names to addresses, in a thread that a deadline can leave behind.

`getaddrinfo` knows no timeout. One thread per host asks; whoever waits for the same host meanwhile waits for that
thread, so a name server that is down costs one thread per host and not one per call.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, Final

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""What `socket.socket` and its `connect` take."""

_lock = threading.Lock()
_asking: dict[tuple[str, int], Future[list[Address]]] = {}


def _forget_all() -> None:
    global _lock
    _lock = threading.Lock()
    _asking.clear()


os.register_at_fork(after_in_child=_forget_all)

NAME_SERVER_SILENT: Final = "the name server did not answer in time"


def resolve(host: str, port: int, deadline_at: float) -> list[Address]:
    """Return the addresses of a host, at least one.

    Raises:
        socket.gaierror: there is no such host, or no answer by `deadline_at`, a monotonic instant.
    """
    try:
        return _numeric(host, port) or _ask(host, port).result(max(0.0, deadline_at - time.monotonic()))
    except NotYet:
        raise socket.gaierror(socket.EAI_AGAIN, NAME_SERVER_SILENT) from None


async def aresolve(host: str, port: int) -> list[Address]:
    """Do what `resolve` does without blocking the event loop, for as long as it takes."""
    return _numeric(host, port) or await asyncio.wrap_future(_ask(host, port))


def _numeric(host: str, port: int) -> list[Address]:
    """Return the address that `host` spells out, or nothing."""
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return []


def _look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def _ask(host: str, port: int) -> Future[list[Address]]:
    key = (host, port)
    with _lock:
        asking = _asking.get(key)
        if asking is None:
            asking = _asking[key] = Future()
            asking.set_running_or_notify_cancel()  # so that nobody who gives up can cancel it for the others
            threading.Thread(target=_answer, args=(key, asking), name=f"resolve {host}", daemon=True).start()
        return asking


def _answer(key: tuple[str, int], asking: Future[list[Address]]) -> None:
    try:
        answer = _look_up(*key)
    except (OSError, UnicodeError) as error:
        refusal = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "no name of a host")
        _asking.pop(key, None)
        asking.set_exception(refusal)
    else:
        _asking.pop(key, None)
        asking.set_result(answer)
