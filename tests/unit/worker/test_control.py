from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from celeriac import Celery
from celeriac.worker.control import Control


class BrokenStation:
    """Fail in ways that nobody has thought of."""

    def __init__(self) -> None:
        self.tries = 0
        self.tried_again = asyncio.Event()

    async def subscribe(self, topics: object, *, deadline_at: float, mailbox: object) -> None:
        self.tries += 1
        if self.tries == 2:
            self.tried_again.set()
        raise ValueError("nobody has thought of this")

    async def close(self) -> None:
        raise ValueError("nor of this")


async def test_whatever_fails_is_tried_again_and_keeps_no_node_from_ending(caplog):
    station = BrokenStation()
    conf = Celery("shop", set_as_current=False).conf
    app: Any = SimpleNamespace(conf=conf, bus=SimpleNamespace(station=lambda: station))
    helm: Any = None
    control = Control(app, "node@host", helm)

    control.start()
    async with asyncio.timeout(60):
        await station.tried_again.wait()
    await control.stop()

    assert "nobody has thought of this" in caplog.text
    assert "could not be closed" in caplog.text
