"""From a call to the broker: id, message, publish."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.arguments import arguments_of, check_task_name
from celeriac.app.calls import SendingRules, call_of, retry_of
from celeriac.app.context import Context, worker_context
from celeriac.app.options import CallOptions, MessageOptions
from celeriac.app.result import AsyncResult
from celeriac.app.timing import Moment, start_of
from celeriac.exceptions import EncodeError
from celeriac.ids import new_id, new_ids
from celeriac.message import Message
from celeriac.wire.protocol import Call, write_message

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task import Task

_NO_OPTIONS: Final = CallOptions()


class Sender:
    """Make messages of calls and publish them, for one app. Safe in any thread, and after a fork.

    A task is given as itself, or by name when it need not be known here. Options are those of `apply_async`.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._rules: SendingRules | None = None
        self._origin = (0, "")

    def send(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions = _NO_OPTIONS,
        *,
        task_id: str | None = None,
    ) -> AsyncResult[Any]:
        """Publish one call; returning means that the broker has it.

        Raises:
            TypeError, ValueError: an option does not exist, or is not what it may be.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation within `task_publish_timeout`, or the call's own `timeout`.
        """
        parent = worker_context()
        call = self._call(task, args, kwargs, options, task_id or new_id(), parent)
        self.publish((self._encode(call),), timeout=options.get("timeout"))
        return self._result(call, options, parent)

    async def asend(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions = _NO_OPTIONS,
        *,
        task_id: str | None = None,
    ) -> AsyncResult[Any]:
        """Publish one call likewise, and wait for the broker in a thread.

        The message is made before anything else runs, so what the caller changes later does not reach it. When the
        waiting is cancelled the message may be published nevertheless.
        """
        import asyncio  # 30 ms that programs without coroutines need not wait for

        parent = worker_context()
        call = self._call(task, args, kwargs, options, task_id or new_id(), parent)
        message = self._encode(call)
        await asyncio.to_thread(self.publish, (message,), timeout=options.get("timeout"))
        return self._result(call, options, parent)

    def send_many(
        self,
        task: Task[..., Any] | str,
        calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
        options: CallOptions = _NO_OPTIONS,
    ) -> list[str]:
        """Publish calls of one task, each (args, kwargs), as one batch: all or none. Return their ids, in order.

        Whether the arguments fit the task is not checked, unlike in `delay` and `apply_async`.

        Raises:
            TypeError: the name is no text, some `args` are no list or tuple, or `kwargs` no dict.
        """
        parent = worker_context()
        check_task_name(getattr(task, "name", task))
        arguments = [arguments_of(args, kwargs) for args, kwargs in calls]
        ids = new_ids(len(arguments))
        messages = [
            self._encode(self._call(task, args, kwargs, options, task_id, parent))
            for task_id, (args, kwargs) in zip(ids, arguments, strict=True)
        ]
        self.publish(messages, timeout=options.get("timeout"))
        if parent is not None and options.get("add_to_parent", True):
            for task_id in ids:
                parent.note_child(AsyncResult(task_id, app=self._app))
        return ids

    def build(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions = _NO_OPTIONS,
        *,
        task_id: str | None = None,
    ) -> Message:
        """Make the message of a call without publishing it."""
        return self._encode(self._call(task, args, kwargs, options, task_id or new_id(), worker_context()))

    def build_retry(
        self,
        context: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        start: Moment | None,
        options: MessageOptions,
    ) -> Message:
        """Make the message of the next attempt at a run, which starts at `start` or at once."""
        return self._encode(retry_of(context, args, kwargs, start, options, rules=self._rules_now(), now=time.time()))

    def publish(self, messages: Sequence[Message], *, timeout: float | None = None) -> None:
        """Hand messages to the broker; returning means that it has them all."""
        if timeout is None:
            timeout = self._rules_now().publish_timeout
        self._app.broker.publish(messages, deadline_at=time.monotonic() + timeout)

    def start_of(self, countdown: float | None, eta: datetime | str | None) -> Moment | None:
        """Return the instant before which a run may not start, in the app's zone."""
        return start_of(countdown, eta, now=time.time(), zone=self._rules_now().zone)

    def _result(self, call: Call, options: CallOptions, parent: Context | None) -> AsyncResult[Any]:
        result: AsyncResult[Any] = AsyncResult(call.id, app=self._app, ignored=call.ignore_result is True)
        if parent is not None and options.get("add_to_parent", True):
            parent.note_child(result)
        return result

    def _call(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        task_id: str,
        parent: Context | None,
    ) -> Call:
        if isinstance(task, str):
            name, known = task, self._app.tasks.get(task)
        else:
            name, known = task.name, task
        return call_of(
            name,
            known,
            args,
            kwargs,
            options,
            task_id=task_id,
            parent=parent,
            rules=self._rules_now(),
            now=time.time(),
        )

    def _encode(self, call: Call) -> Message:
        try:
            return write_message(call, origin=self._origin_now(), limits=self._rules_now().limits)
        except EncodeError as error:
            raise type(error)(f"task {call.task!r} cannot be sent: {error}") from error

    def _rules_now(self) -> SendingRules:
        rules = self._rules
        if rules is None or rules.version != self._app.conf.version:
            rules = self._rules = SendingRules.of(self._app.conf)
        return rules

    def _origin_now(self) -> str:
        pid, origin = self._origin
        if pid != os.getpid():
            pid = os.getpid()
            origin = f"gen{pid}@{socket.gethostname()}"
            self._origin = (pid, origin)
        return origin
