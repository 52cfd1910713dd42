"""From a call to the broker: ids, times, queue, message, publish."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from celeriac.app.context import Context, worker_context
from celeriac.app.options import CallOptions, MessageOptions, check_call_options
from celeriac.app.result import AsyncResult
from celeriac.app.timing import Moment, end_of, start_of
from celeriac.brokers.routing import Router, compile_routes, route
from celeriac.exceptions import EncodeError
from celeriac.ids import new_id, new_ids
from celeriac.message import Message
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import Call, write_message
from celeriac.wire.times import parse_iso

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task import Task


_NO_OPTIONS: Final = CallOptions()
_QUEUES_KEPT: Final = 4096

_AsItIs = Literal["headers", "ignore_result", "priority", "queue", "shadow"]
_TAKEN_AS_IT_IS: Final[tuple[_AsItIs, ...]] = ("headers", "ignore_result", "priority", "queue", "shadow")


class _Rules(msgspec.Struct, frozen=True):
    """What the settings of one moment say about sending."""

    version: int
    zone: tzinfo
    limits: Limits
    routers: tuple[Router, ...]
    default_queue: str
    publish_timeout: float
    queues: dict[str, str]


class Sender:
    """Make messages of calls and publish them, for one app. Safe in any thread, and after a fork."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._rules: _Rules | None = None
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
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation within `task_publish_timeout`, or the call's own `timeout`.
        """
        call = self._call(task, args, kwargs, options, task_id or new_id())
        self.publish((self._encode(call),), timeout=options.get("timeout"))
        result: AsyncResult[Any] = AsyncResult(call.id, app=self._app, ignored=call.ignore_result is True)
        parent = worker_context()
        if parent is not None and options.get("add_to_parent", True):
            parent.note_child(result)
        return result

    def send_many(
        self,
        task: Task[..., Any] | str,
        calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
        options: CallOptions = _NO_OPTIONS,
    ) -> list[str]:
        """Publish calls of one task as one batch, all or none, and return their ids in the same order."""
        arguments = list(calls)
        ids = new_ids(len(arguments))
        messages = [
            self._encode(self._call(task, args, kwargs, options, task_id))
            for task_id, (args, kwargs) in zip(ids, arguments, strict=True)
        ]
        self.publish(messages, timeout=options.get("timeout"))
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
        return self._encode(self._call(task, args, kwargs, options, task_id or new_id()))

    def build_retry(
        self,
        context: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        start: Moment | None,
        options: MessageOptions,
    ) -> Message:
        """Make the message of the next attempt at a run: the same id, one retry more (`wire.md` 7.8).

        What the message of this attempt said is said again, except where `options` says otherwise.
        """
        return self._encode(self._retry_call(context, args, kwargs, start, options))

    def publish(self, messages: Sequence[Message], *, timeout: float | None = None) -> None:
        """Hand messages to the broker; returning means that it has them all."""
        if timeout is None:
            timeout = self._rules_now().publish_timeout
        self._app.broker.publish(messages, deadline_at=time.monotonic() + timeout)

    def start_of(self, countdown: float | None, eta: datetime | str | None) -> Moment | None:
        """Return the instant before which a call may not start, in the app's zone."""
        return start_of(countdown, eta, now=time.time(), zone=self._rules_now().zone)

    def _call(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        task_id: str,
    ) -> Call:
        rules = self._rules_now()
        known = self._app.tasks.get(task) if isinstance(task, str) else task
        name = task if isinstance(task, str) else task.name
        parent = worker_context()
        chosen = _fields_of_call(name, options, rules.zone) if options else {}
        if known is None:
            # Who sends by name alone leaves the result to the options that the task has where it runs.
            chosen.setdefault("ignore_result", None)
            priority = self._app.conf.task_default_priority
        else:
            chosen.setdefault("ignore_result", known.ignore_result)
            priority = known.priority
            if known.expires is not None and "expires_at" not in chosen:
                chosen |= _expiry(end_of(known.expires, now=time.time(), zone=rules.zone))
        if priority is not None:
            chosen.setdefault("priority", priority)
        if "queue" not in chosen:
            chosen["queue"] = _queue_of(name, rules)
        if parent is not None:
            chosen["parent_id"] = parent.id
            chosen["root_id"] = parent.root_id or parent.id
        return Call(task=name, id=task_id, args=args, kwargs=kwargs, **chosen)

    def _retry_call(
        self,
        context: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        start: Moment | None,
        options: MessageOptions,
    ) -> Call:
        rules = self._rules_now()
        if context.id is None or context.task is None:
            raise RuntimeError("this run came of no message, so there is nothing to retry")
        end = Moment(parse_iso(context.expires, zone=rules.zone), context.expires) if context.expires else None
        fields = {
            **_carried(context),
            "queue": context.delivery_info.get("routing_key") or _queue_of(context.task, rules),
            "priority": context.delivery_info.get("priority"),
            **_start(start),
            **_expiry(end),
            **_fields_of_message(options, rules.zone),
        }
        return Call(
            task=context.task,
            id=context.id,
            args=args,
            kwargs=kwargs,
            retries=context.retries + 1,
            root_id=context.root_id or context.id,
            parent_id=context.id,
            **fields,
        )

    def _encode(self, call: Call) -> Message:
        rules = self._rules_now()
        try:
            return write_message(call, origin=self._origin_now(), limits=rules.limits)
        except EncodeError as error:
            raise type(error)(f"task {call.task!r} cannot be sent: {error}") from error

    def _origin_now(self) -> str:
        pid, origin = self._origin
        if pid != os.getpid():
            pid = os.getpid()
            origin = f"gen{pid}@{socket.gethostname()}"
            self._origin = (pid, origin)
        return origin

    def _rules_now(self) -> _Rules:
        conf = self._app.conf
        rules = self._rules
        if rules is None or rules.version != conf.version:
            rules = self._rules = _Rules(
                version=conf.version,
                zone=conf.zone,
                limits=conf.limits,
                routers=compile_routes(conf.task_routes),
                default_queue=conf.task_default_queue,
                publish_timeout=conf.task_publish_timeout,
                queues={},
            )
        return rules


def _fields_of_call(name: str, options: CallOptions, zone: tzinfo) -> dict[str, Any]:
    """Return the fields of `Call` that options decide."""
    check_call_options(f"a call of task {name!r}", options)
    start = start_of(options.get("countdown"), options.get("eta"), now=time.time(), zone=zone)
    return _start(start) | _fields_of_message(options, zone)


def _fields_of_message(options: MessageOptions, zone: tzinfo) -> dict[str, Any]:
    fields: dict[str, Any] = {name: options[name] for name in _TAKEN_AS_IT_IS if options.get(name) is not None}
    return fields | _expiry(end_of(options.get("expires"), now=time.time(), zone=zone))


def _start(start: Moment | None) -> dict[str, Any]:
    return {} if start is None else {"eta_at": start.at, "eta_text": start.text}


def _expiry(end: Moment | None) -> dict[str, Any]:
    if end is None:
        return {}
    expiration_ms = max(0, int((end.at - time.time()) * 1000))
    return {"expires_at": end.at, "expires_text": end.text, "expiration_ms": expiration_ms}


_CARRIED: Final = (
    "callbacks",
    "chain",
    "chord",
    "errbacks",
    "group",
    "group_index",
    "headers",
    "ignore_result",
    "replaced_task_nesting",
    "reply_to",
    "shadow",
    "stamped_headers",
    "stamps",
)


def _carried(context: Context) -> dict[str, Any]:
    """Return the fields of `Call` that a retry takes over from the message of this attempt."""
    hard, soft = context.timelimit or (None, None)
    return {name: getattr(context, name) for name in _CARRIED} | {"time_limit": hard, "soft_time_limit": soft}


def _queue_of(name: str, rules: _Rules) -> str:
    queue = rules.queues.get(name)
    if queue is None:
        if len(rules.queues) >= _QUEUES_KEPT:
            rules.queues.clear()
        queue = rules.queues[name] = route(name, rules.routers, rules.default_queue)
    return queue
