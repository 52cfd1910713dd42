"""A distributed task framework: Celery's API and wire, with guarantees and speed of its own.

PYTEST_DONT_REWRITE: there is no assertion in here, and with CELERIAC_AS_CELERY it is imported before pytest is, which
would warn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.compat.finder import install

install()

__version__ = "0.1.0"

__all__ = [
    "AsyncResult",
    "Broadcast",
    "Celeriac",
    "Celery",
    "Exchange",
    "Queue",
    "Signature",
    "Task",
    "__version__",
    "binding",
    "bugreport",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
    "xmap",
    "xstarmap",
]

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.application import Celery as Celeriac
    from celeriac.app.current import current_app_proxy as current_app
    from celeriac.app.current import current_task_proxy as current_task
    from celeriac.app.reporting import bugreport
    from celeriac.app.result import AsyncResult
    from celeriac.app.shared import shared_task
    from celeriac.app.task import Task
    from celeriac.brokers.topology import Broadcast, Exchange, Queue, binding
    from celeriac.canvas.chain import chain
    from celeriac.canvas.chord import chord
    from celeriac.canvas.group import group
    from celeriac.canvas.maps import chunks, xmap, xstarmap
    from celeriac.canvas.signature import Signature, maybe_signature, signature, subtask
    from celeriac.ids import new_id as uuid

# Looked up when they are used, so that `import celeriac` costs nothing.
_HOMES = {
    "AsyncResult": ("celeriac.app.result", "AsyncResult"),
    "Broadcast": ("celeriac.brokers.topology", "Broadcast"),
    "Exchange": ("celeriac.brokers.topology", "Exchange"),
    "Queue": ("celeriac.brokers.topology", "Queue"),
    "binding": ("celeriac.brokers.topology", "binding"),
    "Celeriac": ("celeriac.app.application", "Celery"),
    "Celery": ("celeriac.app.application", "Celery"),
    "Signature": ("celeriac.canvas.signature", "Signature"),
    "Task": ("celeriac.app.task", "Task"),
    "chain": ("celeriac.canvas.chain", "chain"),
    "chord": ("celeriac.canvas.chord", "chord"),
    "chunks": ("celeriac.canvas.maps", "chunks"),
    "group": ("celeriac.canvas.group", "group"),
    "xmap": ("celeriac.canvas.maps", "xmap"),
    "xstarmap": ("celeriac.canvas.maps", "xstarmap"),
    "bugreport": ("celeriac.app.reporting", "bugreport"),
    "current_app": ("celeriac.app.current", "current_app_proxy"),
    "current_task": ("celeriac.app.current", "current_task_proxy"),
    "maybe_signature": ("celeriac.canvas.signature", "maybe_signature"),
    "shared_task": ("celeriac.app.shared", "shared_task"),
    "signature": ("celeriac.canvas.signature", "signature"),
    "subtask": ("celeriac.canvas.signature", "subtask"),
    "uuid": ("celeriac.ids", "new_id"),
}


if not TYPE_CHECKING:  # for a checker, a name that is not imported above is an error

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            from importlib import import_module

            module, attribute = _HOMES[name]
            value = getattr(import_module(module), attribute)
        else:
            from celeriac.compat.modules import look_up

            value = look_up("celeriac", name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
