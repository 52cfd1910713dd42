"""Call code of users from the loop of a supervisor, which must not wait for it: in threads of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any


async def in_daemon(call: Callable[[], Any]) -> Any:
    """Await a call in a thread of its own, which does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = call()
        except Exception as exc:  # noqa: BLE001 - raised where it is awaited
            error = exc
        except BaseException as exc:  # noqa: BLE001 - SystemExit of a user's code ends its thread, not the node
            error = RuntimeError(repr(exc))
        try:
            loop.call_soon_threadsafe(_end, over, value, error)
        except RuntimeError:  # the loop has ended meanwhile
            return

    threading.Thread(target=run, name="celeriac-users", daemon=True).start()
    return await over


def _end(over: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if over.done():
        return
    if error is None:
        over.set_result(value)
    else:
        over.set_exception(error)
