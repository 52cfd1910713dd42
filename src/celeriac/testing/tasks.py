"""The task by which a test sees that a worker works."""

from __future__ import annotations

from typing import Any, Final, cast

from celeriac.app.application import Celery
from celeriac.app.current import Proxy, current_app
from celeriac.app.task import Task

PING: Final = "celery.ping"


def ping_of(app: Celery) -> Task[..., Any]:
    """Return the task of an app, which has it from now on."""
    return app.tasks[PING] if PING in app.tasks else app.task(name=PING)(_answer)


def _answer() -> str:
    return "pong"


ping = cast("Task[[], str]", Proxy(lambda: ping_of(current_app())))
"""The current app's."""
