"""From a call to the broker: id, message, publish."""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.announcing import Announcement
from celeriac.app.arguments import arguments_of, check_task_name
from celeriac.app.calls import Defaults, SendingRules, call_of, publishing_of, retry_of, template_for
from celeriac.app.context import Context, worker_context
from celeriac.app.options import (
    NOTHING_SAID,
    CallOptions,
    MessageOptions,
    ReadOptions,
    read_call_options,
    read_message_options,
)
from celeriac.app.publishing import publish
from celeriac.app.result import AsyncResult
from celeriac.app.signals import after_task_publish, before_task_publish, task_sent
from celeriac.app.stores import writes_envelopes
from celeriac.app.telling import tell_sent
from celeriac.app.timing import Moment, start_of
from celeriac.app.uniqueness import published, published_as, raise_conflicts, yielding
from celeriac.brokers.base import Conflict
from celeriac.brokers.exchanges import queues_behind
from celeriac.canvas.plan import Send
from celeriac.canvas.signature import Signature
from celeriac.exceptions import EncodeError
from celeriac.ids import new_id, new_ids
from celeriac.message import Message
from celeriac.wire.protocol import Call, write_message
from celeriac.wire.protocol1 import write_message_1
from celeriac.wire.templates import Template

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task import Task

_NO_OPTIONS: Final = CallOptions()
_TEMPLATES_KEPT: Final = 4096


class _ReplyQueue(threading.local):
    """Remember what the queue for answers to this thread is called."""

    name = ""


class Sender:
    """Make messages of calls and publish them, for one app. Safe in any thread, and after a fork.

    A task is given as itself, or by name when it need not be known here. Options are those of `apply_async`.

    Attributes:
        app: whose tasks, settings and broker are used.
        now: tells the unix instant from which countdowns are counted.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.now: Callable[[], float] = time.time
        self._rules: SendingRules | None = None
        self._names_reply_queue = False
        self._origin = ""
        self._reply_queue = _ReplyQueue()
        self._templates: dict[str, tuple[Defaults, Template | None]] = {}
        _senders.add(self)

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
            NotImplementedError: an option asks for what this version does not have.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation within `task_publish_timeout`, or the call's own `timeout`.
            UniqueConflict: another run of the task has the call's unique key, and the call is to raise that.
        """
        parent = worker_context()
        if parent is None and task_id is None and not options:
            template = self._template(task)
            if template is not None:
                return self._send_plainly(template, task, args, kwargs)
        said = _read(task, options) if options else NOTHING_SAID
        call = self._call(task, args, kwargs, said, task_id or new_id(), parent)
        if options and (call.group, call.chord, call.chain) != (None, None, None):  # others count on it
            call = yielding(call)
        heard: list[Announcement] = []
        message = self._encode(call, said, heard)
        conflicts = self._publish((message,), said, heard)
        return self._result(call, said, parent, published_as(message, conflicts))

    def _send_plainly(
        self, template: Template, task: Task[..., Any] | str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> AsyncResult[Any]:
        """Publish a call that says nothing but its arguments."""
        task_id = new_id()
        self._publish((self._fill(template, task, task_id, args, kwargs),), NOTHING_SAID, ())
        return AsyncResult(task_id, app=self.app, ignored=template.ignores_result)

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

        said = _read(task, options) if options else NOTHING_SAID
        parent = worker_context()
        call = self._call(task, args, kwargs, said, task_id or new_id(), parent)
        heard: list[Announcement] = []
        message = self._encode(call, said, heard)
        conflicts = await asyncio.to_thread(self._publish, (message,), said, heard)
        return self._result(call, said, parent, published_as(message, conflicts))

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
        check_task_name(getattr(task, "name", task))
        said = _read(task, options) if options else NOTHING_SAID
        parent = worker_context()
        arguments = [arguments_of(args, kwargs) for args, kwargs in calls]
        ids = new_ids(len(arguments))
        heard: list[Announcement] = []
        template = self._template(task) if parent is None and not options else None
        messages = [
            self._encode(self._call(task, args, kwargs, said, task_id, parent), said, heard)
            if template is None
            else self._fill(template, task, task_id, args, kwargs)
            for task_id, (args, kwargs) in zip(ids, arguments, strict=True)
        ]
        for conflict in self._publish(messages, said, heard):
            ids[conflict.position] = conflict.task_id
        if parent is not None and _is_noted(parent, said):
            for task_id in ids:
                parent.note_child(AsyncResult(task_id, app=self.app))
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
        """Make the message of a call that is not published; receivers of signals are not told of it."""
        said = _read(task, options) if options else NOTHING_SAID
        call = self._call(task, args, kwargs, said, task_id or new_id(), worker_context())
        return self._write(call, said.others.get("origin") or self._origin_now())

    def build_retry(
        self,
        context: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        start: Moment | None,
        options: MessageOptions,
        *,
        announced: bool = True,
    ) -> Message:
        """Make the message of the next attempt at a run, which starts at `start` or at once.

        Args:
            announced: receivers of signals are told of it.
        """
        said = read_message_options(context.task or "", options) if options else NOTHING_SAID
        rules = self._rules_now()
        defaults = self._defaults(context.task or "", context.current, rules)
        call = retry_of(context, args, kwargs, start, said, defaults, now=self.now())
        return self._encode(call, said) if announced else self._write(call, self._origin_now())

    def build_following(self, call: Signature[Any], parent: Context, *, announced: bool = True) -> Message:
        """Make the message of a signature that arrived in a message, and is sent because of the run `parent`.

        Whether the arguments fit the task is not checked: the run that they are for is the one to fail.

        Args:
            announced: receivers of signals are told of it.

        Raises:
            EncodeError: an argument cannot be carried, or an option is not what it may be.
        """
        return self._build_lenient(call.task, call.args, call.kwargs, dict(call.options), parent, announced=announced)

    def _build_lenient(
        self,
        task: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: dict[str, Any],
        parent: Context,
        *,
        announced: bool = True,
    ) -> Message:
        task_id = options.pop("task_id", None) or new_id()
        try:
            said = read_call_options(task, options, lenient=True)
            made = yielding(self._call(task, args, kwargs, said, task_id, parent))
            return self._encode(made, said) if announced else self._write(made, self._origin_now())
        except (TypeError, ValueError, NotImplementedError) as error:
            raise EncodeError(f"task {task!r}, which follows {parent.id}, cannot be sent: {error}") from error

    def build_planned(self, step: Send, parent: Context, *, announced: bool = True) -> Message:
        """Make the message of one call of a canvas that is sent because of the run `parent`; see `build_following`."""
        return self._build_lenient(
            step.call["task"], step.args, step.kwargs, dict(step.options), parent, announced=announced
        )

    def encode_planned(self, step: Send, parent: Context | None, heard: list[Announcement]) -> Message:
        """Make the message of one call of a canvas that a program sends.

        A unique call is published in any case, for others count on it; where another run has its key, those who wait
        for it are told.

        Raises:
            TypeError, ValueError: the arguments do not fit the task, or an option is not what it may be.
            EncodeError: an argument cannot be carried; the text names it.
        """
        name, options = step.call["task"], dict(step.options)
        task_id = options.pop("task_id")
        task = step.call.known_task()
        if task is not None and task.typing:
            task.check_arguments(step.args, step.kwargs)
        said = read_call_options(name, options, lenient="task_id" in step.call.options) if options else NOTHING_SAID
        call = self._call(task or name, step.args, step.kwargs, said, task_id, parent)
        return self._encode(call if call.unique is None else yielding(call), said, heard)

    def publish_batch(
        self, messages: Sequence[Message], said: ReadOptions, heard: Sequence[Announcement]
    ) -> Sequence[Conflict]:
        """Publish messages that receivers of signals have had; see `publish`."""
        return self._publish(messages, said, heard)

    def publish(self, messages: Sequence[Message], *, timeout: float | None = None) -> Sequence[Conflict]:
        """Hand messages to the broker; returning means that it has them all, but for those that are returned."""
        rules = self._rules_now()
        deadline_at = time.monotonic() + (rules.publish_timeout if timeout is None else timeout)
        return publish(self.app.write_broker, messages, deadline_at=deadline_at, policy=rules.publish_policy)

    def start_of(self, countdown: float | None, eta: datetime | str | None) -> Moment | None:
        """Return the instant before which a run may not start, in the app's zone."""
        return start_of(countdown, eta, now=self.now(), zone=self._rules_now().zone)

    def _publish(
        self, messages: Sequence[Message], said: ReadOptions, heard: Sequence[Announcement]
    ) -> Sequence[Conflict]:
        if not said.others:
            conflicts = self.publish(messages)
        else:
            timeout, policy = publishing_of(said, self._rules_now())
            conflicts = publish(self.app.write_broker, messages, deadline_at=time.monotonic() + timeout, policy=policy)
        if conflicts:
            raise_conflicts(messages, conflicts)
            messages, heard = published(messages, conflicts), published(heard, conflicts)
        for announcement in heard:
            announcement.send_after()
        if self._rules_now().tells_sent:
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

    def _call(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        said: ReadOptions,
        task_id: str,
        parent: Context | None,
    ) -> Call:
        rules = self._rules_now()
        name, known = self._known(task)
        if said.others:
            known = said.others.get("task_type", known)
        defaults = self._defaults(name, known, rules)
        return call_of(name, args, kwargs, said, defaults, task=known, task_id=task_id, parent=parent, now=self.now())

    def _known(self, task: Task[..., Any] | str) -> tuple[str, Task[..., Any] | None]:
        return (task, self.app.tasks.get(task)) if isinstance(task, str) else (task.name, task)

    def _template(self, task: Task[..., Any] | str) -> Template | None:
        """Return what writes the calls of a task that say nothing but their arguments, and that no run makes.

        None where that takes the long way, which comes to the same: where somebody listens, where the task has a say.
        """
        if before_task_publish.receivers or after_task_publish.receivers or task_sent.receivers:
            return None
        name, known = self._known(task)
        defaults = self._defaults(name, known, self._rules_now())
        kept = self._templates.get(name)
        if kept is None or kept[0] is not defaults:
            if len(self._templates) >= _TEMPLATES_KEPT:
                self._templates.clear()
            kept = self._templates[name] = defaults, template_for(name, defaults, self._origin_now())
        return kept[1]

    def _fill(
        self,
        template: Template,
        task: Task[..., Any] | str,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Message:
        reply_to = self._reply_queue_now() if self._names_reply_queue else None
        try:
            message = template.write(task_id, args, kwargs, reply_to)
        except EncodeError as error:
            raise _not_sent(self._known(task)[0], error) from error
        if message is None:
            message = self._write(self._call(task, args, kwargs, NOTHING_SAID, task_id, None), self._origin_now())
        return message

    def _defaults(self, name: str, task: Task[..., Any] | None, rules: SendingRules) -> Defaults:
        if task is None:
            return rules.of_name(name)
        defaults = task.sending
        if defaults is None or defaults.rules is not rules:
            if not self.app.finalized:
                self.app.finalize(auto=True)
            defaults = task.sending = rules.of_task(task)
        return defaults

    def _encode(self, call: Call, said: ReadOptions, heard: list[Announcement] | None = None) -> Message:
        """Write the message, when receivers of signals have had it; `heard` gets what is to be told after publishing.

        Those whose message is not published from here are told nothing after it.
        """
        origin = said.others.get("origin") or self._origin_now()
        if before_task_publish.receivers or after_task_publish.receivers or task_sent.receivers:
            call, origin = self._announce(call, origin, said, heard)
        return self._write(call, origin)

    def _write(self, call: Call, origin: str) -> Message:
        rules = self._rules_now()
        reply_to = self._reply_queue_now() if self._names_reply_queue else None
        try:
            if rules.protocol == 1:
                return write_message_1(call, limits=rules.limits, reply_to=reply_to)
            return write_message(call, origin=origin, limits=rules.limits, reply_to=reply_to)
        except EncodeError as error:
            raise _not_sent(call.task, error) from error

    def _announce(
        self, call: Call, origin: str, said: ReadOptions, heard: list[Announcement] | None
    ) -> tuple[Call, str]:
        rules = self._rules_now()
        _, policy = publishing_of(said, rules)
        announcement = Announcement(call, origin=origin, reply_to=self.app.thread_oid, policy=policy, zone=rules.zone)
        if heard is not None:
            heard.append(announcement)
        return announcement.send_before()

    def queue_of(self, task: Task[..., Any] | str) -> str:
        """Return the queue that calls of a task go to which say nothing of that, or what it is called for people.

        Of routers that look at calls, what they say of one without arguments.
        """
        name = task if isinstance(task, str) else task.name
        rules = self._rules_now()
        known = self.app.tasks.get(name) if isinstance(task, str) else task
        defaults = self._defaults(name, known, rules)
        if not rules.router.is_static:
            defaults = rules.for_call(defaults, name, (), {}, NOTHING_SAID, known)
        queue: str = defaults.fields["queue"]
        return queue

    def queues_behind(self, message: Message) -> list[str]:
        """Return the queues that a message for an exchange would reach now.

        Raises:
            BrokerUnavailable: the broker, which knows what others have bound, does not answer.
        """
        assert message.route is not None, "others go into their queue"
        deadline_at = time.monotonic() + self._rules_now().publish_timeout
        return queues_behind(
            self.app.write_broker.bindings(message.route.exchange, deadline_at=deadline_at), message.route
        )

    def forget_rules(self) -> None:
        """Work out anew what settings and queues say, at the next call."""
        self._rules = None

    def _rules_now(self) -> SendingRules:
        rules = self._rules
        if rules is None or rules.version != self.app.conf.version:
            rules = self._rules = SendingRules.of(self.app.conf, self.app.amqp.router, self.app.declare)
            self._names_reply_queue = writes_envelopes(self.app.conf.broker_write_url)
        return rules

    def _reply_queue_now(self) -> str:
        queue = self._reply_queue
        if not queue.name:
            queue.name = self.app.thread_oid
        return queue.name

    @property
    def origin(self) -> str:
        """What messages of this process name as where they come from."""
        return self._origin_now()

    def _origin_now(self) -> str:
        if not self._origin:
            self._origin = f"gen{os.getpid()}@{socket.gethostname()}"
        return self._origin

    def _begin_process(self) -> None:
        """Forget what is another one in each process."""
        self._origin = ""
        self._reply_queue = _ReplyQueue()
        self._templates = {}


def _not_sent(name: str, error: EncodeError) -> EncodeError:
    return type(error)(f"task {name!r} cannot be sent: {error}")


def _read(task: Task[..., Any] | str, options: CallOptions) -> ReadOptions:
    return read_call_options(task if isinstance(task, str) else task.name, options)


def _is_noted(parent: Context, said: ReadOptions) -> bool:
    """Say whether a call is to be among the children of the run that makes it."""
    return said.others.get("add_to_parent", True) and (parent.current is None or parent.current.trail)


# To ask who this process is takes a call of the kernel, and was a tenth of what sending a call takes.
_senders: weakref.WeakSet[Sender] = weakref.WeakSet()


def _after_fork() -> None:
    for sender in list(_senders):
        sender._begin_process()


os.register_at_fork(after_in_child=_after_fork)
