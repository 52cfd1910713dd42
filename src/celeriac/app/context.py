"""What a task can know about the run that it is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from celeriac.brokers.joins import JoinEffects
from celeriac.exceptions import TaskCancelled
from celeriac.message import Message
from celeriac.wire.properties import PERSISTENT
from celeriac.wire.protocol import TaskRequest

if TYPE_CHECKING:
    from celeriac.app.guard import Interruptible
    from celeriac.app.result import AsyncResult
    from celeriac.app.retrying import EagerRetry
    from celeriac.app.task import Task

CHILDREN_MAX = 10_000
"""Results of calls made inside one run that its record names; a run that makes more keeps the first ones."""


class _Open(msgspec.Struct, dict=True, kw_only=True, eq=False):
    """Keep attributes that programs give it beside its fields."""


_OWN_ATTRIBUTES: Final = vars(_Open)["__dict__"]


class Context(_Open, kw_only=True, eq=False):
    """Be `task.request`: the message that asked for a run, and what the run leaves behind.

    Custom headers of the message can be read as attributes too, and programs may give it attributes of their own, as in
    Celery.

    Attributes:
        current: the task that runs; None outside of one.
        message_properties: those of the message that nothing else of it implies.
        called_directly: the body was called as a plain function, not by a worker.
        children: results of the calls that the run made.
        max_retries: what `retry` was told in this run, which counts for its automatic retries as well.
        eager_retry: the next attempt of a run that happens in the calling process.
        following: messages that the outcome of the run must publish.
        joins: what the outcome does to the joins of chords; None: nothing.
        is_replaced: another call has taken the place of the run, and reports instead of it.
        crashes: earlier runs of this message whose process died under them.
        is_cancelled: somebody has cancelled the run, and it has a moment left to clean up.
        awaits_body: the task's own `__call__` runs, and has not come to the body yet.
        in_body: the body runs in `thread` and may be interrupted there (`app/guard.py`).
        thread: identifies the thread that runs the body.
        driver: takes the body from await to await, where it is a coroutine.
        interrupt: what is to be raised when the body begins.
        cancelled: what was raised in the body because the run was cancelled.
        outer: the context in which this one was entered.
    """

    id: str | None = None
    task: str | None = None
    args: Any = ()
    kwargs: Any = msgspec.field(default_factory=dict)
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    chord: Any = None
    chain: Any = None
    callbacks: Any = None
    errbacks: Any = None
    correlation_id: str | None = None
    reply_to: str | None = None
    delivery_info: dict[str, Any] = msgspec.field(default_factory=dict)
    headers: dict[str, Any] = msgspec.field(default_factory=dict)
    message_properties: dict[str, Any] = msgspec.field(default_factory=dict)
    hostname: str | None = None
    origin: str | None = None
    lang: str | None = None
    shadow: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int = 0
    timelimit: Any = (None, None)
    ignore_result: bool | None = None
    replaced_task_nesting: int = 0
    stamped_headers: Any = None
    stamps: Any = msgspec.field(default_factory=dict)
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    loglevel: int | None = None
    logfile: str | None = None
    is_eager: bool = False
    called_directly: bool = True
    utc: bool = True
    crashes: int = 0
    max_retries: int | None = None
    eager_retry: EagerRetry | None = None
    children: list[AsyncResult[Any]] = msgspec.field(default_factory=list)
    following: list[Message] = msgspec.field(default_factory=list)
    joins: list[JoinEffects] | None = None
    is_replaced: bool = False
    current: Task[..., Any] | None = None
    is_cancelled: bool = False
    awaits_body: bool = False
    in_body: bool = False
    thread: int = 0
    driver: Interruptible | None = None
    interrupt: BaseException | None = None
    cancelled: TaskCancelled | None = None
    outer: Context | None = None

    @classmethod
    def from_request(
        cls,
        request: TaskRequest,
        *,
        task: Task[..., Any] | None,
        queue: str,
        hostname: str | None = None,
        redelivered: bool = False,
        crashes: int = 0,
    ) -> Self:
        """Make the context in which a worker runs `task` because of `request`."""
        return cls(
            id=request.id,
            task=request.task,
            args=request.args,
            kwargs=request.kwargs,
            root_id=request.root_id,
            parent_id=request.parent_id,
            group=request.group,
            group_index=request.group_index,
            chord=request.chord,
            chain=request.chain,
            callbacks=request.callbacks,
            errbacks=request.errbacks,
            correlation_id=request.correlation_id,
            reply_to=request.reply_to,
            delivery_info={
                **_published_to(request.delivery_info, queue),
                "priority": request.priority,
                "redelivered": redelivered,
            },
            headers=request.headers,
            message_properties=request.properties,
            hostname=hostname,
            origin=request.origin,
            lang=request.lang,
            shadow=request.shadow,
            eta=request.eta,
            expires=request.expires,
            retries=request.retries,
            timelimit=request.timelimit,
            ignore_result=request.ignore_result,
            replaced_task_nesting=request.replaced_task_nesting,
            stamped_headers=request.stamped_headers,
            stamps=request.stamps,
            argsrepr=request.argsrepr,
            kwargsrepr=request.kwargsrepr,
            called_directly=False,
            crashes=crashes,
            current=task,
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return self.headers[name]
        except KeyError:
            raise AttributeError(f"the request of {self.task!r} has no {name!r}") from None

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # a copy: what is changed in it changes nothing
        """What programs find in `vars` of it: custom headers, what the message says, and attributes of their own."""
        return {**self.headers, **{name: getattr(self, name) for name in _SAID}, **_OWN_ATTRIBUTES.__get__(self)}

    @property
    def queue_of_origin(self) -> str | None:
        """The queue that its message was in; None when it came of none."""
        return self.delivery_info.get("queue") or self.delivery_info.get("routing_key")

    @property
    def properties(self) -> dict[str, Any]:
        """What the message had beside its headers."""
        return {
            "correlation_id": self.correlation_id,
            "reply_to": self.reply_to,
            "priority": self.delivery_info.get("priority"),
            "delivery_mode": PERSISTENT,
            **self.message_properties,
            "delivery_info": self.delivery_info,
        }

    @property
    def time_limit(self) -> float | None:
        """Seconds after which the run is killed, or None, as the message says, else its task, else the settings."""
        return self._limit("time_limit", 0)

    @property
    def soft_time_limit(self) -> float | None:
        """Seconds after which `SoftTimeLimitExceeded` is raised in it, or None, likewise."""
        return self._limit("soft_time_limit", 1)

    def _limit(self, name: str, place: int) -> float | None:
        said: float | None = (self.timelimit or (None, None))[place]
        task = self.current
        if said or task is None or self.called_directly:
            return said
        usual: float | None = getattr(task, name) or getattr(task.app.conf, f"task_{name}")
        return usual

    @property
    def cancel_requested(self) -> bool:
        """The same as `is_cancelled`."""
        return self.is_cancelled

    @property
    def taskset(self) -> str | None:
        """The group, under the name that it had before Celery 3."""
        return self.group

    def update(self, *mappings: Mapping[str, Any], **fields: Any) -> None:
        """Change attributes; what the request has no attribute for becomes a custom header."""
        for name, value in {**{k: v for one in mappings for k, v in one.items()}, **fields}.items():
            if name in self.__struct_fields__:
                setattr(self, name, value)
            else:
                self.headers[name] = value

    def clear(self) -> None:
        """Set every attribute back to what it is outside of a run."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(_EMPTY, name))
        _OWN_ATTRIBUTES.__get__(self).clear()

    def as_execution_options(self) -> dict[str, Any]:
        """Return the options of `apply_async` that send a call as this run was sent."""
        options = {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "group_index": self.group_index,
            "shadow": self.shadow,
            "chord": self.chord,
            "chain": self.chain,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": self.expires,
            "soft_time_limit": self.soft_time_limit,
            "time_limit": self.time_limit,
            "headers": self.headers or None,
            "retries": self.retries,
            "reply_to": self.reply_to,
            "replaced_task_nesting": self.replaced_task_nesting,
            "ignore_result": self.ignore_result,
            "queue": self.queue_of_origin,
            "priority": self.delivery_info.get("priority"),
        }
        return {name: value for name, value in options.items() if value is not None}

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or `default` when there is none of that name."""
        return getattr(self, name, default)

    def note_joins(self, effects: JoinEffects) -> None:
        """Have the outcome of the run do something to joins."""
        self.joins = [effects] if self.joins is None else [*self.joins, effects]

    def note_child(self, result: AsyncResult[Any]) -> None:
        """Remember a call that the run made, for its record, unless its task keeps no trail."""
        if self.current is not None and not self.current.trail:
            return
        if len(self.children) < CHILDREN_MAX:
            self.children.append(result)


_EMPTY: Final = Context()
_SAID: Final = Context.__struct_fields__[: Context.__struct_fields__.index("max_retries")]
"""The fields that a message says; those behind are about how it is run."""


def _published_to(info: Any, queue: str) -> dict[str, Any]:
    """Return where a message was published that was found in `queue`; of one from an exchange the queue, too."""
    exchange = info.get("exchange") if isinstance(info, dict) else None
    if not exchange:
        return {"exchange": "", "routing_key": queue}
    return {"exchange": str(exchange), "routing_key": str(info.get("routing_key") or ""), "queue": queue}


_current: ContextVar[Context | None] = ContextVar("celeriac_context", default=None)

current_context = _current.get
"""Return the innermost context of this thread or coroutine, or None."""


def push_context(context: Context) -> Token[Context | None]:
    """Enter a context; hand what is returned to `pop_context`."""
    context.outer = _current.get()
    return _current.set(context)


def pop_context(token: Token[Context | None]) -> None:
    """Leave a context that was entered in this same thread or coroutine."""
    _current.reset(token)


def leave_context(context: Context) -> None:
    """Leave a context without the token that entering it gave."""
    _current.set(context.outer)


@contextmanager
def entered(context: Context) -> Iterator[Context]:
    """Be inside a context for the length of a `with` block."""
    token = push_context(context)
    try:
        yield context
    finally:
        pop_context(token)


def worker_context() -> Context | None:
    """Return the context of the run that a worker started, past any tasks that it called as functions; else None."""
    context = _current.get()
    while context is not None and context.called_directly:
        context = context.outer
    return context


class RequestStack:
    """Be `task.request_stack`, through which libraries look at the runs of a task, as in Celery.

    Args:
        task: whose runs it shows.
    """

    def __init__(self, task: Task[..., Any]) -> None:
        self._task = task

    @property
    def top(self) -> Context | None:
        """The run that the task is in here, or None."""
        return context_of(self._task)

    @property
    def stack(self) -> list[Context]:
        """All runs of the task that are under way here, the innermost last."""
        found = []
        context = _current.get()
        while context is not None:
            if context.current is self._task:
                found.append(context)
            context = context.outer
        return found[::-1]

    def push(self, context: Context) -> None:
        """Enter a context of the task, in tests of bodies."""
        context.current = self._task
        push_context(context)

    def pop(self) -> Context | None:
        """Leave the innermost context, if it is one of the task, and return it."""
        context = _current.get()
        if context is None or context.current is not self._task:
            return None
        leave_context(context)
        return context

    def __len__(self) -> int:
        return len(self.stack)


def context_of(task: Task[..., Any]) -> Context | None:
    """Return the innermost context in which the body of `task` runs here, past those of tasks that it called."""
    context = _current.get()
    while context is not None and context.current is not task:
        context = context.outer
    return context


def running_task() -> Task[..., Any] | None:
    """Return the task whose body is running here, or None."""
    context = _current.get()
    return context.current if context is not None else None
