"""From a call to the broker: id, message (`building.py`), publish."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app.announcing import Announcement
from celeriac.app.arguments import arguments_of, check_task_name
from celeriac.app.building import Builder, read_said
from celeriac.app.calls import publishing_of
from celeriac.app.caught import caught_call
from celeriac.app.context import Context, worker_context
from celeriac.app.options import NO_OPTIONS, NOTHING_SAID, CallOptions, ReadOptions
from celeriac.app.publishing import check_begun_in_time, publish
from celeriac.app.result import AsyncResult
from celeriac.app.telling import tell_sent
from celeriac.app.uniqueness import published, published_as, raise_conflicts, yielding
from celeriac.brokers.base import Conflict
from celeriac.brokers.exchanges import queues_behind
from celeriac.ids import new_id, new_ids
from celeriac.message import Message
from celeriac.wire.protocol import Call
from celeriac.wire.templates import Template

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task import Task


class Sender:
    """Publish calls, for one app. Safe in any thread, and after a fork.

    A task is given as itself, or by name when it need not be known here. Options are those of `apply_async`.

    Args:
        builder: makes the messages.

    Attributes:
        app: whose broker is used.
    """

    def __init__(self, app: Celery, builder: Builder) -> None:
        self.app = app
        self._builder = builder

    def send(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions = NO_OPTIONS,
        *,
        task_id: str | None = None,
    ) -> AsyncResult[Any]:
        """Publish one call; returning means that the broker has it.

        Raises:
            TypeError, ValueError: an option does not exist, or is not what it may be.
            NotImplementedError: an option asks for what this version does not have.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation within `task_publish_timeout`, or the call's own `timeout`.
            UniqueConflict: another run of the task has the call's unique key, and the call is to raise that.
        """
        caught = caught_call(task_id)
        if caught is not None:
            caught.messages.append(self._builder.build_caught(caught, task, args, kwargs, options))
            return AsyncResult(caught.task_id, app=self.app)
        parent = worker_context()
        if parent is None and task_id is None and not options:
            template = self._builder.template(task)
            if template is not None:
                return self._send_plainly(template, task, args, kwargs)
        said = read_said(task, options) if options else NOTHING_SAID
        call = self._builder.decide_call(task, args, kwargs, said, task_id or new_id(), parent)
        if options and (call.group, call.chord, call.chain) != (None, None, None):  # others count on it
            call = yielding(call)
        heard: list[Announcement] = []
        message = self._builder.encode(call, said, heard)
        conflicts = self.publish_batch((message,), said, heard)
        return self._result(call, said, parent, published_as(message, conflicts))

    def _send_plainly(
        self, template: Template, task: Task[..., Any] | str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> AsyncResult[Any]:
        """Publish a call that says nothing but its arguments."""
        task_id = new_id()
        self.publish_batch((self._builder.fill(template, task, task_id, args, kwargs),), NOTHING_SAID, ())
        return AsyncResult(task_id, app=self.app, ignored=template.ignores_result)

    async def asend(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions = NO_OPTIONS,
        *,
        task_id: str | None = None,
    ) -> AsyncResult[Any]:
        """Publish one call likewise, and wait for the broker in a thread; until it has one is part of the same time.

        The message is made before anything else runs, so what the caller changes later does not reach it. When the
        waiting is cancelled the message may be published nevertheless.
        """
        import asyncio  # 30 ms that programs without coroutines need not wait for

        called_at = time.monotonic()
        said = read_said(task, options) if options else NOTHING_SAID
        parent = worker_context()
        call = self._builder.decide_call(task, args, kwargs, said, task_id or new_id(), parent)
        heard: list[Announcement] = []
        message = self._builder.encode(call, said, heard)
        conflicts = await asyncio.to_thread(self.publish_batch, (message,), said, heard, called_at=called_at)
        return self._result(call, said, parent, published_as(message, conflicts))

    def send_many(
        self,
        task: Task[..., Any] | str,
        calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
        options: CallOptions = NO_OPTIONS,
    ) -> list[str]:
        """Publish calls of one task, each (args, kwargs), as one batch: all or none. Return their ids, in order.

        Whether the arguments fit the task is not checked, unlike in `delay` and `apply_async`.

        Raises:
            TypeError: the name is no text, some `args` are no list or tuple, or `kwargs` no dict.
        """
        check_task_name(getattr(task, "name", task))
        said = read_said(task, options) if options else NOTHING_SAID
        parent = worker_context()
        arguments = [arguments_of(args, kwargs) for args, kwargs in calls]
        ids = new_ids(len(arguments))
        heard: list[Announcement] = []
        template = self._builder.template(task) if parent is None and not options else None
        messages = [
            self._builder.encode(self._builder.decide_call(task, args, kwargs, said, task_id, parent), said, heard)
            if template is None
            else self._builder.fill(template, task, task_id, args, kwargs)
            for task_id, (args, kwargs) in zip(ids, arguments, strict=True)
        ]
        for conflict in self.publish_batch(messages, said, heard):
            ids[conflict.position] = conflict.task_id
        if parent is not None and _is_noted(parent, said):
            for task_id in ids:
                parent.note_child(AsyncResult(task_id, app=self.app))
        return ids

    def publish(self, messages: Sequence[Message], *, timeout: float | None = None) -> Sequence[Conflict]:
        """Hand messages to the broker; returning means that it has them all, but for those that are returned."""
        rules = self._builder.rules_now()
        deadline_at = time.monotonic() + (rules.publish_timeout if timeout is None else timeout)
        return publish(self.app.write_broker, messages, deadline_at=deadline_at, policy=rules.publish_policy)

    def publish_batch(
        self,
        messages: Sequence[Message],
        said: ReadOptions,
        heard: Sequence[Announcement],
        *,
        called_at: float | None = None,
    ) -> Sequence[Conflict]:
        """Publish messages that receivers of signals have had, as is said of them, and tell who waits for that.

        Args:
            called_at: monotonic instant from which the time for it counts; None: now.
        """
        if not said.others and called_at is None:
            conflicts = self.publish(messages)
        else:
            timeout, policy = publishing_of(said, self._builder.rules_now())
            if called_at is None:
                called_at = time.monotonic()
            else:
                check_begun_in_time(called_at, timeout)
            conflicts = publish(self.app.write_broker, messages, deadline_at=called_at + timeout, policy=policy)
        if conflicts:
            raise_conflicts(messages, conflicts)
            messages, heard = published(messages, conflicts), published(heard, conflicts)
        for announcement in heard:
            announcement.send_after()
        if self._builder.rules_now().tells_sent:
            tell_sent(self.app, messages)
        return conflicts

    def _result(self, call: Call, said: ReadOptions, parent: Context | None, task_id: str) -> AsyncResult[Any]:
        ignored = call.ignore_result is True
        make = said.others.get("result_cls")
        result: AsyncResult[Any]
        if make is None:
            result = AsyncResult(task_id, app=self.app, ignored=ignored)
        else:
            result = make(task_id)
            result.ignored = ignored
        if parent is not None and _is_noted(parent, said):
            parent.note_child(result)
        return result

    def queues_behind(self, message: Message) -> list[str]:
        """Return the queues that a message for an exchange would reach now.

        Raises:
            BrokerUnavailable: the broker, which knows what others have bound, does not answer.
        """
        assert message.route is not None, "others go into their queue"
        deadline_at = time.monotonic() + self._builder.rules_now().publish_timeout
        return queues_behind(
            self.app.write_broker.bindings(message.route.exchange, deadline_at=deadline_at), message.route
        )


def _is_noted(parent: Context, said: ReadOptions) -> bool:
    """Say whether a call is to be among the children of the run that makes it."""
    return said.others.get("add_to_parent", True) and (parent.current is None or parent.current.trail)
