"""Python signals: what a program can have called when something happens to its calls, tasks and nodes.

A receiver watches and never carries: what it raises is logged, and the work goes on.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar, overload

from celeriac.exceptions import CeleriacError

logger: Final = logging.getLogger("celeriac.signals")

R = TypeVar("R", bound=Callable[..., Any])

_RETRY_AFTER_MAX: Final = 30.0
_RETRY_AFTER_STEP: Final = 2.0


class Signal:
    """Call every connected receiver when something happens.

    Connecting, disconnecting and sending may be done from any thread. Whoever sends on a hot path asks
    ``if signal.receivers:`` first (10 ns), so that nobody pays for arguments that nobody takes.

    Args:
        providing_args: names of what receivers are given besides `signal` and `sender`.
        use_caching: of no effect; taken because Celery's class has it.
        name: what it is called in logs.
        sleep: how a receiver of ``retry=True`` waits between attempts, in seconds.

    Attributes:
        receivers: the connections; false when there are none. Replaced and never changed in place by this class, so
            that sending needs no lock.
    """

    def __init__(
        self,
        providing_args: Iterable[str] | None = None,
        use_caching: bool = False,
        name: str | None = None,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.receivers: list[_Connection] = []
        self.providing_args = frozenset(providing_args or ())
        self.use_caching = use_caching
        self.name = name
        self._sleep = sleep
        self._lock = threading.RLock()  # a collected object's __del__ may disconnect in the middle of it

    @overload
    def connect(
        self, receiver: R, sender: Any = None, weak: bool = True, dispatch_uid: Any = None, retry: bool = False
    ) -> R: ...
    @overload
    def connect(
        self,
        receiver: None = None,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Any = None,
        retry: bool = False,
    ) -> Callable[[R], R]: ...
    def connect(
        self,
        receiver: Any = None,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Any = None,
        retry: bool = False,
    ) -> Any:
        """Have `receiver` called from now on; without one, return a decorator that does so.

        A receiver that is connected already for this sender is not connected a second time.

        Args:
            receiver: takes keyword arguments, those it does not know as well: it is called with `signal`, `sender` and
                what the signal provides.
            sender: whose signals are wanted: an object, or text where the signal is sent by a name; None for all. It
                is not kept alive.
            weak: do not keep the receiver alive. A lambda or a function made inside another one needs False.
            dispatch_uid: what tells this receiver from others, instead of its identity.
            retry: call it again 2, 4, … 30 s later, for as long as it raises, before the sender goes on. Keeps the
                receiver alive.

        Raises:
            ValueError: it does not take any keyword argument, or is a coroutine function, which nobody would await.
            TypeError: it cannot be called, or cannot be referred to weakly.
        """
        if receiver is None:
            return lambda wanted: self.connect(wanted, sender, weak, dispatch_uid, retry)
        _check_receiver(receiver, self.name)
        added = _Connection(
            uid=dispatch_uid or None,
            find_receiver=_weakly(receiver, self.name) if weak and not retry else _Strongly(receiver),
            find_sender=None if sender is None else _sender_reference(sender),
            retry=retry,
        )
        with self._lock:
            alive = self._alive()
            if not any(each.is_for(receiver, sender, dispatch_uid) for each in alive):
                alive.append(added)
            self.receivers = alive
        return receiver

    def disconnect(
        self, receiver: Any = None, sender: Any = None, weak: bool | None = None, dispatch_uid: Any = None
    ) -> bool:
        """Have a receiver called no more; say whether it was connected.

        Args:
            receiver: as it was connected; not needed with `dispatch_uid`.
            sender: as it was connected.
            weak: of no effect, as in Celery.
            dispatch_uid: as it was connected.
        """
        with self._lock:
            alive = self._alive()
            kept = [each for each in alive if not each.is_for(receiver, sender, dispatch_uid)]
            self.receivers = kept
        return len(kept) < len(alive)

    def has_listeners(self, sender: Any = None) -> bool:
        """Say whether a signal of this sender would reach anybody."""
        return any(each.find_receiver() is not None and each.wants(sender) for each in self.receivers)

    def send(self, sender: Any, **named: Any) -> list[tuple[Callable[..., Any], Any]]:
        """Call the receivers, in the order in which they were connected.

        Returns:
            Each receiver that was called, with what it returned or the exception that it raised, which is logged.
        """
        responses: list[tuple[Callable[..., Any], Any]] = []
        died = False
        for each in self.receivers:
            receiver = each.find_receiver()
            if receiver is None:
                died = True
            elif each.wants(sender):
                responses.append((receiver, self._call(each, receiver, sender, named)))
        if died:
            self._forget_the_dead()
        return responses

    send_robust = send

    def _call(self, connection: _Connection, receiver: Any, sender: Any, named: dict[str, Any]) -> Any:
        wait = 0.0
        while True:
            try:
                return receiver(signal=self, sender=sender, **named)
            except Exception as exc:
                if not connection.retry:
                    logger.exception("Receiver %r of signal %s raised: %r", receiver, self.name, exc)
                    return exc
                wait = min(wait + _RETRY_AFTER_STEP, _RETRY_AFTER_MAX)
                logger.exception(
                    "Receiver %r of signal %s raised: %r; calling it again in %gs", receiver, self.name, exc, wait
                )
            self._sleep(wait)

    def _forget_the_dead(self) -> None:
        with self._lock:
            self.receivers = self._alive()

    def _alive(self) -> list[_Connection]:
        return [each for each in self.receivers if not each.is_dead()]

    def __repr__(self) -> str:
        return f"<Signal: {self.name} providing_args={sorted(self.providing_args)}>"


class _Connection(NamedTuple):
    """One receiver of one signal. References tell None once what they refer to is gone."""

    uid: Any
    find_receiver: Callable[[], Any]
    find_sender: Callable[[], Any] | None
    retry: bool

    def wants(self, sender: Any) -> bool:
        if self.find_sender is None:
            return True
        wanted = self.find_sender()
        return wanted is not None and _is_same(_unwrapped(wanted), _unwrapped(sender))

    def is_for(self, receiver: Any, sender: Any, uid: Any) -> bool:
        """Tell whether connecting this would be connecting the same once more."""
        mine = None if self.find_sender is None else self.find_sender()
        if not _is_same(_unwrapped(mine), _unwrapped(sender)):
            return False
        if uid or self.uid:
            return bool(self.uid == uid)
        return _is_same(self.find_receiver(), receiver)

    def is_dead(self) -> bool:
        return self.find_receiver() is None or (self.find_sender is not None and self.find_sender() is None)


class _Strongly:
    """Refer to an object as a weak reference does, and keep it alive."""

    __slots__ = ("_kept",)

    def __init__(self, kept: Any) -> None:
        self._kept = kept

    def __call__(self) -> Any:
        return self._kept


def _check_receiver(receiver: Any, name: str | None) -> None:
    if not callable(receiver):
        raise TypeError(
            f"a receiver of signal {name} must be callable, got {receiver!r}; a sender is given as sender=…"
        )
    if inspect.iscoroutinefunction(receiver):
        raise ValueError(
            f"{receiver!r} cannot receive signal {name}: it is a coroutine function, and nobody would await it. "
            "Connect a plain function"
        )
    if not any(each.kind is each.VAR_KEYWORD for each in inspect.signature(receiver).parameters.values()):
        raise ValueError(
            f"{receiver!r} cannot receive signal {name}: a receiver must accept any keyword argument, since signals "
            "may come to provide more. Give it a **kwargs"
        )


def _weakly(receiver: Any, name: str | None) -> Callable[[], Any]:
    if isinstance(receiver, types.MethodType):
        # The method object dies at once; what counts is whether its instance lives.
        return weakref.WeakMethod(receiver)
    try:
        return weakref.ref(receiver)
    except TypeError:
        raise TypeError(
            f"{receiver!r} cannot receive signal {name} by a weak reference; connect it with weak=False"
        ) from None


def _sender_reference(sender: Any) -> Callable[[], Any]:
    if isinstance(sender, types.MethodType):
        return weakref.WeakMethod(sender)
    try:
        return weakref.ref(sender)
    except TypeError:  # text, numbers, and what has slots
        return _Strongly(sender)


def _unwrapped(thing: Any) -> Any:
    """Return what a proxy stands for just now, such as the task that a shared task is in the current app."""
    find = getattr(type(thing), "_get_current_object", None)
    try:
        return thing if find is None else find(thing)
    except CeleriacError:  # there is no current app yet, or the shared task is not in it
        return thing


def _is_same(one: Any, other: Any) -> bool:
    if one is other or (isinstance(one, str | bytes) and one == other):
        return True
    # Methods of different instances share their function, and equal instances are still two.
    return (
        isinstance(one, types.MethodType)
        and isinstance(other, types.MethodType)
        and one.__self__ is other.__self__
        and one.__func__ is other.__func__
    )


# --- calls, in the process that makes them. Sender: the name of the task ---

before_task_publish: Final = Signal(
    ("body", "exchange", "routing_key", "headers", "properties", "declare", "retry_policy"), name="before_task_publish"
)
"""Before a call is published; `headers` and `properties` are dictionaries that a receiver may change."""

after_task_publish: Final = Signal(("headers", "body", "exchange", "routing_key"), name="after_task_publish")
"""After the broker has a call."""

task_sent: Final = Signal(("task_id", "task", "args", "kwargs", "eta", "taskset"), name="task_sent")
"""After the broker has a call, as in Celery 3; use `after_task_publish`."""

# --- tasks, in the process that runs the body. Sender: the task, unless it says otherwise ---

task_prerun: Final = Signal(("task_id", "task", "args", "kwargs"), name="task_prerun")
"""Before the body."""

task_postrun: Final = Signal(("task_id", "task", "args", "kwargs", "retval", "state"), name="task_postrun")
"""After the body, however it ended."""

task_success: Final = Signal(("result", "runtime"), name="task_success")
"""The body has returned; `runtime` in seconds."""

task_retry: Final = Signal(("request", "reason", "einfo"), name="task_retry")
"""The task is to run again; `reason` is the `Retry`."""

task_failure: Final = Signal(
    ("task_id", "exception", "args", "kwargs", "traceback", "einfo"),
    name="task_failure",
)
"""The run has failed: the body raised, its process died, its time was over."""

task_internal_error: Final = Signal(
    ("task_id", "args", "kwargs", "request", "exception", "traceback", "einfo"), name="task_internal_error"
)
"""Something around the body raised, which is an error of celeriac or of a hook."""

# --- messages, in the supervisor that has claimed them. Sender: the node; for `task_revoked` the task ---

task_received: Final = Signal(("request",), name="task_received")
"""A message was claimed and its task is known."""

task_revoked: Final = Signal(("request", "terminated", "signum", "expired"), name="task_revoked")
"""A task was revoked, has expired, or was ended by a signal."""

task_rejected: Final = Signal(("message", "exc"), name="task_rejected")
"""A message was claimed that is none, or cannot be read."""

task_unknown: Final = Signal(("message", "exc", "name", "id"), name="task_unknown")
"""A message was claimed whose task is not registered."""

# --- the node. Sender: its name, its instance, or None ---

celeryd_init: Final = Signal(("instance", "conf", "options"), name="celeryd_init")
"""The first thing a node does; sender is its name. For settings of one node."""

celeryd_after_setup: Final = Signal(("instance", "conf"), name="celeryd_after_setup")
"""A node is set up and has not started; sender is its name."""

import_modules: Final = Signal(name="import_modules")
"""The modules with the tasks are to be imported; sender is the app."""

worker_init: Final = Signal(name="worker_init")
"""Before a node starts; once in its supervisor, once where its children come from."""

worker_ready: Final = Signal(name="worker_ready")
"""A node takes work now."""

worker_before_create_process: Final = Signal(name="worker_before_create_process")
"""Before a child is forked."""

worker_process_init: Final = Signal(name="worker_process_init")
"""In each child, before it takes work; sender is the node's name."""

worker_process_shutdown: Final = Signal(("pid", "exitcode"), name="worker_process_shutdown")
"""In each child, before it ends; sender is the node's name."""

worker_shutting_down: Final = Signal(("sig", "how", "exitcode"), name="worker_shutting_down")
"""A node begins to stop; `how` is "Warm" or "Cold", sender its name."""

worker_shutdown: Final = Signal(name="worker_shutdown")
"""A node is about to end."""

heartbeat_sent: Final = Signal(name="heartbeat_sent")
"""A node has told its peers that it lives."""

# --- logging. Sender: None ---

setup_logging: Final = Signal(("loglevel", "logfile", "format", "colorize"), name="setup_logging")
"""Logging is to be set up. Whoever receives this does so; celeriac's own set-up is then left out."""

after_setup_logger: Final = Signal(
    ("logger", "loglevel", "logfile", "format", "colorize"),
    name="after_setup_logger",
)
"""The loggers but that of tasks are set up; for handlers and filters of one's own."""

after_setup_task_logger: Final = Signal(
    ("logger", "loglevel", "logfile", "format", "colorize"), name="after_setup_task_logger"
)
"""The logger of tasks is set up."""

# --- beat. Sender: the service ---

beat_init: Final = Signal(name="beat_init")
"""The scheduler starts, by itself or within a node."""

beat_embedded_init: Final = Signal(name="beat_embedded_init")
"""The scheduler starts within a node; comes with `beat_init`."""

# --- pool eventlet. Sender: the pool ---

eventlet_pool_started: Final = Signal(name="eventlet_pool_started")
eventlet_pool_preshutdown: Final = Signal(name="eventlet_pool_preshutdown")
eventlet_pool_postshutdown: Final = Signal(name="eventlet_pool_postshutdown")
eventlet_pool_apply: Final = Signal(("target", "args", "kwargs"), name="eventlet_pool_apply")

# --- the command line. Sender: None ---

user_preload_options: Final = Signal(("app", "options"), name="user_preload_options")
"""The options that the app has added to the command line were read."""
