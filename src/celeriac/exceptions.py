"""Every exception that celeriac raises on purpose.

Exception
├── CeleriacError  (CeleryError is the same class under Celery's name)
│   ├── ImproperlyConfigured
│   │   └── UnknownSetting
│   ├── NotRegistered                     also a KeyError
│   ├── TimeoutError                      also the builtin TimeoutError
│   ├── OperationalError                  what Celery users catch around delay()
│   │   └── BrokerUnavailable
│   │       └── BrokerFull
│   ├── SerializationError
│   │   ├── EncodeError
│   │   │   └── MessageTooLarge
│   │   └── DecodeError
│   │       └── ContentDisallowed
│   ├── ResultBackendDisabled             also a NotImplementedError
│   ├── LeaseLost
│   ├── TaskError
│   │   ├── MaxRetriesExceededError
│   │   ├── TaskRevokedError
│   │   └── RemoteError
│   └── TaskPredicate                     control flow out of a task body
│       └── Retry
└── WorkerLostError                       outside the tree, as in Celery
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence


class CeleriacError(Exception):
    """Be the root of what celeriac raises."""


CeleryError = CeleriacError


class ImproperlyConfigured(CeleriacError):
    """Say that the configuration cannot work, and which setting must change."""


class UnknownSetting(ImproperlyConfigured):
    """Name a setting that does not exist, and the nearest one that does."""


class NotRegistered(KeyError, CeleriacError):
    """Name a task that this process does not know.

    The single argument is the task's name, so that the record of it reads as Celery's does.
    """

    def __str__(self) -> str:
        return f"task {self.args[0]!r} is not registered" if self.args else "task is not registered"


class TimeoutError(builtins.TimeoutError, CeleriacError):
    """Say that a wait ended before the thing waited for happened."""


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


class SerializationError(CeleriacError):
    """Be the root of what goes wrong between values and bytes."""


class EncodeError(SerializationError):
    """Name a value that the serializer cannot carry."""


class MessageTooLarge(EncodeError):
    """Say that a message is over a limit of `message_max_bytes`, `_depth` or `_headers`."""


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

    Attributes:
        exc: the exception that caused the retry, or None.
        eta_at: unix instant before which the next attempt does not start, or None for at once.
    """

    def __init__(
        self, message: str | None = None, exc: BaseException | None = None, eta_at: float | None = None
    ) -> None:
        super().__init__(message, exc, eta_at)
        self.message = message
        self.exc = exc
        self.eta_at = eta_at

    def __str__(self) -> str:
        reason = f": {self.exc!r}" if self.exc is not None else ""
        return self.message or f"Retry{reason}"


class WorkerLostError(Exception):
    """Say that the process which ran a task died under it."""
