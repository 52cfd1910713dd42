"""From a call to its message."""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.announcing import Announcement
from celeriac.app.calls import Defaults, SendingRules, call_of, publishing_of, retry_of, template_for
from celeriac.app.caught import CaughtCall, catching
from celeriac.app.context import Context, worker_context
from celeriac.app.options import (
    NO_OPTIONS,
    NOTHING_SAID,
    CallOptions,
    MessageOptions,
    ReadOptions,
    read_call_options,
    read_message_options,
)
from celeriac.app.own_sending import OwnSend, own_send_of
from celeriac.app.signals import after_task_publish, before_task_publish, task_sent
from celeriac.app.stores import writes_envelopes
from celeriac.app.timing import Moment, start_of
from celeriac.app.uniqueness import yielding
from celeriac.canvas.plan import Send
from celeriac.exceptions import EncodeError
from celeriac.ids import new_id
from celeriac.message import Message
from celeriac.wire.protocol import Call, write_message
from celeriac.wire.protocol1 import write_message_1
from celeriac.wire.templates import Template

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task import Task

_TEMPLATES_KEPT: Final = 4096


class _ReplyQueue(threading.local):
    """Remember what the queue for answers to this thread is called."""

    name = ""


class Builder:
    """Make messages of calls, for one app. Safe in any thread, and after a fork.

    A task is given as itself, or by name when it need not be known here. Options are those of `apply_async`.

    Attributes:
        app: whose tasks and settings are used.
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
        _builders.add(self)

    def build(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions = NO_OPTIONS,
        *,
        task_id: str | None = None,
    ) -> Message:
        """Make the message of a call that is not published; receivers of signals are not told of it."""
        said = read_said(task, options) if options else NOTHING_SAID
        call = self.decide_call(task, args, kwargs, said, task_id or new_id(), worker_context())
        return self._write(call, said.others.get("origin") or self.origin)

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
        rules = self.rules_now()
        defaults = self._defaults(context.task or "", context.current, rules)
        call = retry_of(context, args, kwargs, start, said, defaults, now=self.now())
        return self.encode(call, said) if announced else self._write(call, self.origin)

    def build_planned(self, step: Send, parent: Context, *, announced: bool = True) -> list[Message]:
        """Make the message of one call that is sent because of the run `parent`.

        Whether the arguments fit the task is not checked: the run that they are for is the one to fail.

        Args:
            announced: receivers of signals are told of it, and code of users sends it where they have some for that.

        Returns:
            That message; of code of users, all that it has sent with the id of the call: one, none, or several.

        Raises:
            EncodeError: an argument cannot be carried, or an option is not what it may be, or code of users raises.
        """
        task, options = step.call["task"], dict(step.options)
        task_id = options.pop("task_id")
        send = own_send_of(self.app.tasks.get(task), task, self.app) if announced else None
        if send is not None:
            return self._sent_by_users(send, step, options, task_id, parent)
        try:
            return [self._made_lenient(task, step.args, step.kwargs, options, task_id, parent, announced=announced)]
        except (TypeError, ValueError, NotImplementedError) as error:
            raise _does_not_follow(task, parent, error) from error

    def _sent_by_users(
        self, send: OwnSend, step: Send, options: Mapping[str, Any], task_id: str, parent: Context
    ) -> list[Message]:
        caught = CaughtCall(task_id, parent)
        with catching(caught):
            try:
                send(step.args, step.kwargs, **{**options, "task_id": task_id})
            except Exception as error:
                raise _does_not_follow(step.call["task"], parent, error) from error
        return caught.messages

    def _made_lenient(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
        task_id: str,
        parent: Context,
        *,
        announced: bool = True,
    ) -> Message:
        said = read_call_options(task if isinstance(task, str) else task.name, options, lenient=True)
        made = yielding(self.decide_call(task, args, kwargs, said, task_id, parent))
        return self.encode(made, said) if announced else self._write(made, self.origin)

    def build_caught(
        self,
        caught: CaughtCall,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Message:
        """Make the message of a call that code of users sends, and that follows a run."""
        return self._made_lenient(task, args, kwargs, options, caught.task_id, caught.parent)

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
        call = self.decide_call(task or name, step.args, step.kwargs, said, task_id, parent)
        return self.encode(call if call.unique is None else yielding(call), said, heard)

    def start_of(self, countdown: float | None, eta: datetime | str | None) -> Moment | None:
        """Return the instant before which a run may not start, in the app's zone."""
        return start_of(countdown, eta, now=self.now(), zone=self.rules_now().zone)

    def queue_of(self, task: Task[..., Any] | str) -> str:
        """Return the queue that calls of a task go to which say nothing of that, or what it is called for people.

        Of routers that look at calls, what they say of one without arguments.
        """
        name = task if isinstance(task, str) else task.name
        rules = self.rules_now()
        known = self.app.tasks.get(name) if isinstance(task, str) else task
        defaults = self._defaults(name, known, rules)
        if not rules.router.is_static:
            defaults = rules.for_call(defaults, name, (), {}, NOTHING_SAID, known)
        queue: str = defaults.fields["queue"]
        return queue

    def decide_call(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        said: ReadOptions,
        task_id: str,
        parent: Context | None,
    ) -> Call:
        """Decide what a call says that the run `parent` makes, or a program."""
        rules = self.rules_now()
        name, known = self._known(task)
        if said.others:
            known = said.others.get("task_type", known)
        defaults = self._defaults(name, known, rules)
        return call_of(name, args, kwargs, said, defaults, task=known, task_id=task_id, parent=parent, now=self.now())

    def _known(self, task: Task[..., Any] | str) -> tuple[str, Task[..., Any] | None]:
        return (task, self.app.tasks.get(task)) if isinstance(task, str) else (task.name, task)

    def template(self, task: Task[..., Any] | str) -> Template | None:
        """Return what writes the calls of a task that say nothing but their arguments, and that no run makes.

        None where that takes the long way, which comes to the same: where somebody listens, where the task has a say.
        """
        if before_task_publish.receivers or after_task_publish.receivers or task_sent.receivers:
            return None
        name, known = self._known(task)
        defaults = self._defaults(name, known, self.rules_now())
        kept = self._templates.get(name)
        if kept is None or kept[0] is not defaults:
            if len(self._templates) >= _TEMPLATES_KEPT:
                self._templates.clear()
            kept = self._templates[name] = defaults, template_for(name, defaults, self.origin)
        return kept[1]

    def fill(
        self,
        template: Template,
        task: Task[..., Any] | str,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Message:
        """Make the message of a call that has a template.

        Raises:
            EncodeError: an argument cannot be carried; the text names it.
        """
        reply_to = self._reply_queue_now() if self._names_reply_queue else None
        try:
            message = template.write(task_id, args, kwargs, reply_to)
        except EncodeError as error:
            raise _not_sent(self._known(task)[0], error) from error
        if message is None:
            message = self._write(self.decide_call(task, args, kwargs, NOTHING_SAID, task_id, None), self.origin)
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

    def encode(self, call: Call, said: ReadOptions, heard: list[Announcement] | None = None) -> Message:
        """Write the message, when receivers of signals have had it; `heard` gets what is to be told after publishing.

        Without `heard` the message is published elsewhere, together with the outcome of a run, and receivers are told
        at once that it is on its way: many of them end there what they have begun before (spans, timers).
        """
        origin = said.others.get("origin") or self.origin
        if not (before_task_publish.receivers or after_task_publish.receivers or task_sent.receivers):
            return self._write(call, origin)
        announcement = self._announcement_of(call, origin, said)
        message = self._write(*announcement.send_before())
        if heard is None:
            announcement.send_after()
        else:
            heard.append(announcement)
        return message

    def _write(self, call: Call, origin: str) -> Message:
        rules = self.rules_now()
        reply_to = self._reply_queue_now() if self._names_reply_queue else None
        try:
            if rules.protocol == 1:
                return write_message_1(call, limits=rules.limits, reply_to=reply_to)
            return write_message(call, origin=origin, limits=rules.limits, reply_to=reply_to)
        except EncodeError as error:
            raise _not_sent(call.task, error) from error

    def _announcement_of(self, call: Call, origin: str, said: ReadOptions) -> Announcement:
        rules = self.rules_now()
        _, policy = publishing_of(said, rules)
        queue = self.app.amqp.queues.find(call.queue)
        return Announcement(
            call,
            origin=origin,
            reply_to=self.app.thread_oid,
            policy=policy,
            zone=rules.zone,
            declare=() if queue is None else (queue,),
        )

    def forget_rules(self) -> None:
        """Work out anew what settings and queues say, at the next call."""
        self._rules = None

    def rules_now(self) -> SendingRules:
        """Return what settings and queues say of all calls."""
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
        if not self._origin:
            self._origin = f"gen{os.getpid()}@{socket.gethostname()}"
        return self._origin

    def _begin_process(self) -> None:
        """Forget what is another one in each process."""
        self._origin = ""
        self._reply_queue = _ReplyQueue()
        self._templates = {}


def read_said(task: Task[..., Any] | str, options: CallOptions) -> ReadOptions:
    """Read the options of a call.

    Raises:
        TypeError, ValueError: an option does not exist, or is not what it may be.
        NotImplementedError: an option asks for what this version does not have.
    """
    return read_call_options(task if isinstance(task, str) else task.name, options)


def _does_not_follow(task: str, parent: Context, error: Exception) -> EncodeError:
    return EncodeError(f"task {task!r}, which follows {parent.id}, cannot be sent: {error}")


def _not_sent(name: str, error: EncodeError) -> EncodeError:
    return type(error)(f"task {name!r} cannot be sent: {error}")


# To ask who this process is takes a call of the kernel, and was a tenth of what sending a call takes.
_builders: weakref.WeakSet[Builder] = weakref.WeakSet()


def _after_fork() -> None:
    for builder in list(_builders):
        builder._begin_process()


os.register_at_fork(after_in_child=_after_fork)
