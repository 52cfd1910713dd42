"""What sends calls in a way of its own: an `apply_async` of a class of tasks, a `send_task` of an app."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.calling import Calling

if TYPE_CHECKING:
    from celeriac.app.application import Celery

_APPLY_ASYNC: Final[Any] = Calling.apply_async


class OwnSend:
    """Have code of users send calls of one task.

    Args:
        send: takes arguments, keyword arguments and options.
        name: of the task.
    """

    def __init__(self, send: Callable[..., Any], name: str) -> None:
        self._send = send
        self._name = name

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any], **options: Any) -> None:
        """Send one call.

        Raises:
            TypeError: the code is a coroutine function, for which nobody here could wait.
            Exception: whatever the code raises.
        """
        sent = self._send(args, kwargs, **options)
        if isinstance(sent, Coroutine):
            sent.close()
            raise TypeError(
                f"what sends calls of task {self._name!r} is a coroutine function; let `apply_async` and `send_task` "
                "be plain ones"
            )


def own_send_of(task: Any, name: str, app: Celery) -> OwnSend | None:
    """Return what sends calls of a task in a way of its own: its `apply_async`, or the app's `send_task`, if any does.

    Args:
        task: None where it is not registered here.
    """
    if task is not None and (_sends_itself(task) or app.hands_on_calls):
        return OwnSend(task.apply_async, name)
    if task is None and app.hands_on_calls:
        return OwnSend(partial(app.send_task, name), name)
    return None


def _sends_itself(task: Any) -> bool:
    """Say whether the `apply_async` of a task is another than ours: of its class, or patched by a test."""
    return getattr(task.apply_async, "__func__", None) is not _APPLY_ASYNC
