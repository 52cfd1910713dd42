"""Every exception and warning that celeriac raises on purpose.

Exception
├── CeleriacError  (CeleryError is the same class under Celery's name)
│   ├── ImproperlyConfigured
│   │   ├── UnknownSetting
│   │   ├── ConfigurationNotFound         also an ImportError
│   │   └── ExtraMissing                  also an ImportError
│   ├── SecurityError
│   ├── OperationalError                  what Celery users catch around delay()
│   │   ├── BrokerUnavailable
│   │   │   └── BrokerFull
│   │   ├── Unroutable
│   │   └── BackendError
│   │       ├── BackendGetMetaError
│   │       └── BackendStoreError
│   ├── SerializationError
│   │   ├── EncodeError
│   │   │   └── MessageTooLarge
│   │   └── DecodeError
│   │       └── ContentDisallowed
│   ├── ResultBackendDisabled             also a NotImplementedError
│   ├── LeaseLost
│   ├── TaskError
│   │   ├── NotRegistered                 also a KeyError
│   │   ├── AlreadyRegistered
│   │   ├── QueueNotFound                 also a KeyError
│   │   ├── IncompleteStream
│   │   ├── InvalidTaskError
│   │   ├── ChordError
│   │   ├── TimeoutError                  also the builtin TimeoutError
│   │   ├── MaxRetriesExceededError
│   │   ├── TaskRevokedError
│   │   │   └── TaskCancelled
│   │   ├── UniqueConflict
│   │   └── RemoteError
│   └── TaskPredicate                     control flow out of a task body
│       ├── Retry  (RetryTaskError)
│       ├── Ignore
│       └── Reject
├── SoftTimeLimitExceeded                 this and the next three outside the tree, as in Celery
├── TimeLimitExceeded
├── WorkerLostError
├── Terminated
└── Warning
    ├── UserWarning
    │   └── CeleriacWarning  (CeleryWarning)
    │       ├── AlwaysEagerIgnored
    │       ├── DuplicateNodenameWarning
    │       ├── DuplicateTaskNameWarning
    │       ├── FixupWarning
    │       ├── NotConfigured
    │       ├── SettingWithoutEffect
    │       └── SecurityWarning
    ├── DeprecationWarning
    │   └── CDeprecationWarning
    └── PendingDeprecationWarning
        └── CPendingDeprecationWarning

SystemExit
├── WorkerShutdown
└── WorkerTerminate  (SystemTerminate)

`CeleryCommandException`, which is click's, is in `compat/commands.py`, and found here by programs that import it.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import Any


class CeleriacError(Exception):
    """Be the root of what celeriac raises."""


CeleryError = CeleriacError


class ImproperlyConfigured(CeleriacError):
    """Say that the configuration cannot work, and which setting must change."""


class UnknownSetting(ImproperlyConfigured):
    """Name a setting that does not exist, and the nearest one that does."""


class ConfigurationNotFound(ImproperlyConfigured, ImportError):
    """Say which module or object, from which settings are to be read, is not there."""


class ExtraMissing(ImproperlyConfigured, ImportError):
    """Say which packages a configuration needs that are not installed, and how to install them."""


class SecurityError(CeleriacError):
    """Say that something is refused because it could harm: a bad signature, data that would be code."""


class OperationalError(CeleriacError):
    """Say that a broker or result backend could not do what was asked."""


class BrokerUnavailable(OperationalError):
    """Say that a broker gave no confirmation by the deadline.

    Attributes:
        maybe_published: True when the broker may nevertheless have the messages.
    """

    def __init__(self, message: str, *, maybe_published: bool = False) -> None:
        super().__init__(message)
        self.maybe_published = maybe_published


class BrokerFull(BrokerUnavailable):
    """Say that the broker has no room: a full disk, or its memory limit."""


class Unroutable(OperationalError):
    """Say that a message was not published, because its exchange leads to no queue.

    Attributes:
        exchange: where it was to go.
        routing_key: with which key.
    """

    def __init__(self, *args: object, exchange: str = "", routing_key: str = "") -> None:
        super().__init__(*args)
        self.exchange = exchange
        self.routing_key = routing_key


class BackendError(OperationalError):
    """Say that a result backend could not do what was asked."""


class BackendGetMetaError(BackendError):
    """Say that the record of a task could not be read.

    Attributes:
        task_id: whose record it was, or "".
    """

    def __init__(self, *args: object, task_id: str = "") -> None:
        super().__init__(*args)
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"{super().__repr__()} task_id:{self.task_id}"


class BackendStoreError(BackendError):
    """Say that the record of a task could not be stored.

    Attributes:
        state: the state that it was to have, or "".
        task_id: whose record it was, or "".
    """

    def __init__(self, *args: object, state: str = "", task_id: str = "") -> None:
        super().__init__(*args)
        self.state = state
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"{super().__repr__()} state:{self.state} task_id:{self.task_id}"


class SerializationError(CeleriacError):
    """Be the root of what goes wrong between values and bytes."""


class EncodeError(SerializationError):
    """Name a value that the serializer cannot carry."""


class MessageTooLarge(EncodeError):
    """Say that a message is over `message_max_bytes`, `_depth` or `_headers`, or a result over `result_max_bytes`."""


class DecodeError(SerializationError):
    """Say which bytes could not be read, and why."""


class ContentDisallowed(DecodeError):
    """Name a content type that is not in `accept_content`."""


class ResultBackendDisabled(NotImplementedError, CeleriacError):
    """Say that no result backend is configured, and which setting adds one."""


class LeaseLost(CeleriacError):
    """Say that peers declared this node dead: what it holds belongs to others now."""


class TaskError(CeleriacError):
    """Be the root of how a run can end badly."""


class NotRegistered(KeyError, TaskError):
    """Name a task that this process does not know.

    The single argument is the task's name, so that the record of it reads as Celery's does.
    """

    def __str__(self) -> str:
        return f"task {self.args[0]!r} is not registered" if self.args else "task is not registered"


class AlreadyRegistered(TaskError):
    """Say that the name of a task is taken."""


class QueueNotFound(KeyError, TaskError):
    """Name a queue that is not among the app's queues and may not be created."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "there is no such queue"


class IncompleteStream(TaskError):
    """Say that a stream of data ended before its data was complete."""


class InvalidTaskError(TaskError):
    """Say what is wrong with a message that should have asked for a task."""


class ChordError(TaskError):
    """Name the member of a chord that failed, so that the body does not run."""


class TimeoutError(builtins.TimeoutError, TaskError):
    """Say that a wait ended before the thing waited for happened."""


class MaxRetriesExceededError(TaskError):
    """Say that a task was retried as often as `max_retries` allows.

    Args:
        task_args: positional arguments of the task, for the reader of the error.
        task_kwargs: its keyword arguments.
    """

    def __init__(self, *args: object, task_args: Sequence[object] = (), task_kwargs: object = None) -> None:
        super().__init__(*args)
        self.task_args = task_args
        self.task_kwargs = task_kwargs if task_kwargs is not None else {}


class TaskRevokedError(TaskError):
    """Say that a task was revoked, or expired, before it ran."""


class TaskCancelled(TaskRevokedError):
    """Tell a body that somebody has cancelled its run, and whoever waits for it that it was.

    Attributes:
        reason: why, or None when that was not said.
        by: who, or None likewise.
    """

    def __init__(self, reason: str | None = None, by: str | None = None) -> None:
        super().__init__(reason, by)
        self.reason = reason
        self.by = by

    def __str__(self) -> str:
        by = "" if self.by is None else f" by {self.by}"
        why = "" if self.reason is None else f": {self.reason}"
        return f"cancelled{by}{why}"


class UniqueConflict(TaskError):
    """Say that a unique task is not published, because another run of it waits or runs.

    Attributes:
        key: what may be there only once, or None when not known.
        task_id: the run that has it, or None when not known.
    """

    def __init__(self, *args: object, key: str | None = None, task_id: str | None = None) -> None:
        super().__init__(*args)
        self.key = key
        self.task_id = task_id


class RemoteError(TaskError):
    """Stand for an exception whose class the reading program does not have.

    Attributes:
        exc_type: qualified name of the class.
        exc_module: module that defines it.
        exc_args: the arguments that it was raised with, as decoded.
        traceback: text of the remote traceback, or None.
    """

    def __init__(
        self, exc_type: str, exc_module: str | None, exc_args: Sequence[object], traceback: str | None = None
    ) -> None:
        super().__init__(exc_type, exc_module, list(exc_args), traceback)
        self.exc_type = exc_type
        self.exc_module = exc_module
        self.exc_args = tuple(exc_args)
        self.traceback = traceback

    def __str__(self) -> str:
        where = f"{self.exc_module}.{self.exc_type}" if self.exc_module else self.exc_type
        return f"{where}({', '.join(map(repr, self.exc_args))})"


class TaskPredicate(CeleriacError):
    """Be the root of what a body raises to say how its run goes on."""


class Retry(TaskPredicate):
    """Say that the task is to run again.

    It pickles even when the exception that caused it does not: that one then becomes a `RemoteError`.

    Attributes:
        message: the whole text, or None for one made of the rest.
        exc: the exception that caused the retry, or None.
        excs: its repr; what was given as `exc` if that was text; or None.
        when: seconds until the next attempt, or the time of it; None for at once.
        eta_at: unix instant before which the next attempt does not start, or None when not known.
        is_eager: True when the task was applied in the caller's process.
        sig: the signature of the next attempt of such a task.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | str | None = None,
        when: float | datetime | str | None = None,
        is_eager: bool = False,
        sig: Any = None,
        *,
        eta_at: float | None = None,
    ) -> None:
        super().__init__(message, exc, when)
        self.message = message
        self.exc = None if isinstance(exc, str) else exc
        self.excs = exc if isinstance(exc, str) else _repr_of(exc)
        self.when = when
        self.eta_at = _instant_of(when) if eta_at is None else eta_at
        self.is_eager = is_eager
        self.sig = sig

    def humanize(self) -> str:
        """Say when the next attempt starts: ``in 180s``, ``at 2024-05-01 12:00:00``, ``at once``."""
        if self.when is None:
            return "at once"
        return f"in {self.when}s" if isinstance(self.when, int | float) else f"at {self.when}"

    def __str__(self) -> str:
        return self.message or (f"Retry {self.humanize()}: {self.excs}" if self.excs else f"Retry {self.humanize()}")

    def __reduce__(self) -> tuple[Any, ...]:
        exc = self.excs if self.exc is None else _pickleable(self.exc)
        return _retry_again, (type(self), self.message, exc, self.excs, self.when, self.eta_at)


RetryTaskError = Retry


def _repr_of(exc: BaseException | None) -> str | None:
    try:
        return None if exc is None else repr(exc)
    except Exception as error:  # noqa: BLE001 - a repr of users; what it raised is said in its place
        return f"<{type(exc).__name__}, whose repr raised {type(error).__name__}>"


def _instant_of(when: float | datetime | str | None) -> float | None:
    return when.timestamp() if isinstance(when, datetime) and when.tzinfo is not None else None


def _pickleable(exc: BaseException) -> BaseException:
    import pickle  # 1.7 ms, and few programs pickle a Retry

    try:
        pickle.loads(pickle.dumps(exc))
    except Exception:  # noqa: BLE001 - whatever the class of users raises, it does not pickle
        kind = type(exc)
        return RemoteError(kind.__qualname__, kind.__module__, [repr(arg) for arg in exc.args])
    return exc


def _retry_again(
    kind: type[Retry],
    message: str | None,
    exc: BaseException | str | None,
    excs: str | None,
    when: float | datetime | str | None,
    eta_at: float | None,
) -> Retry:
    again = kind(message, exc, when)
    again.excs = excs
    again.eta_at = eta_at
    return again


class Ignore(TaskPredicate):
    """Have nothing stored of this run; its message is acknowledged."""


class Reject(TaskPredicate):
    """Have the message of this run rejected.

    Attributes:
        reason: why.
        requeue: True to have it delivered again, False to make it a dead letter.
    """

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class SoftTimeLimitExceeded(Exception):
    """Tell a body that its soft time limit is over, so that it can clean up."""

    def __str__(self) -> str:
        return f"SoftTimeLimitExceeded{self.args}"


class TimeLimitExceeded(Exception):
    """Say that a run was ended because its hard time limit, the argument in seconds, was over."""

    def __str__(self) -> str:
        return f"TimeLimitExceeded{self.args}"


class WorkerLostError(Exception):
    """Say that the process which ran a task died under it."""


class Terminated(Exception):
    """Say that a run was ended because somebody revoked it; the argument is the signal."""


class WorkerShutdown(SystemExit):
    """Ask the worker for a warm stop."""


class WorkerTerminate(SystemExit):
    """Ask the worker for a cold stop."""


SystemTerminate = WorkerTerminate


class CeleriacWarning(UserWarning):
    """Be the root of what celeriac warns of."""


CeleryWarning = CeleriacWarning


class AlwaysEagerIgnored(CeleriacWarning):
    """Say that a call by name is published although `task_always_eager` is on."""


class DuplicateNodenameWarning(CeleriacWarning):
    """Say that two nodes have one name."""


class DuplicateTaskNameWarning(CeleriacWarning):
    """Say that two functions claim one task name."""


class FixupWarning(CeleriacWarning):
    """Say that the app could not be fitted to its framework."""


class NotConfigured(CeleriacWarning):
    """Say that no configuration module was found."""


class SettingWithoutEffect(CeleriacWarning):
    """Name a setting that is known, and that this version does nothing with."""


class SecurityWarning(CeleriacWarning):
    """Name something that is allowed, and dangerous."""


class CDeprecationWarning(DeprecationWarning):
    """Say what to use instead of something that goes away."""


class CPendingDeprecationWarning(PendingDeprecationWarning):
    """Say what to use instead of something that will go away one day."""
