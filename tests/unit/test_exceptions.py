from __future__ import annotations

import pickle
import warnings
from datetime import UTC, datetime

import pytest

from celeriac import exceptions
from celeriac.exceptions import (
    BackendError,
    BackendGetMetaError,
    BackendStoreError,
    BrokerUnavailable,
    CeleriacError,
    CeleryError,
    CeleryWarning,
    Ignore,
    MaxRetriesExceededError,
    NotRegistered,
    QueueNotFound,
    Reject,
    RemoteError,
    Retry,
    SoftTimeLimitExceeded,
    TaskCancelled,
    TaskError,
    TaskPredicate,
    TaskRevokedError,
    Terminated,
    TimeLimitExceeded,
    UniqueConflict,
    WorkerLostError,
    WorkerShutdown,
    WorkerTerminate,
)

CLASSES = {
    name: kind
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and kind.__module__ == exceptions.__name__
}

CELERY_HAS = [
    "CeleryError",
    "ImproperlyConfigured",
    "SecurityError",
    "TaskPredicate",
    "Ignore",
    "Reject",
    "Retry",
    "TaskError",
    "QueueNotFound",
    "IncompleteStream",
    "NotRegistered",
    "AlreadyRegistered",
    "TimeoutError",
    "MaxRetriesExceededError",
    "TaskRevokedError",
    "InvalidTaskError",
    "ChordError",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "OperationalError",
    "SoftTimeLimitExceeded",
    "TimeLimitExceeded",
    "WorkerLostError",
    "Terminated",
    "WorkerTerminate",
    "WorkerShutdown",
    "CPendingDeprecationWarning",
    "CDeprecationWarning",
    "CeleryWarning",
    "AlwaysEagerIgnored",
    "DuplicateNodenameWarning",
    "DuplicateTaskNameWarning",
    "FixupWarning",
    "NotConfigured",
    "SecurityWarning",
    "RetryTaskError",
    "SystemTerminate",
]

OURS = [
    "BrokerUnavailable",
    "BrokerFull",
    "MessageTooLarge",
    "RemoteError",
    "TaskCancelled",
    "UniqueConflict",
    "UnknownSetting",
    "LeaseLost",
]


BRANCHES = "│├└─ "


def depth(line):
    return len(line) - len(line.lstrip(BRANCHES))


class Unpicklable(Exception):
    def __init__(self, reason, *, lock):
        super().__init__(reason)
        self.lock = lock


@pytest.mark.parametrize("name", CELERY_HAS + OURS)
def test_every_exception_of_celery_and_of_ours_is_there(name):
    assert name in CLASSES


@pytest.mark.parametrize("name", [name for name, kind in CLASSES.items() if kind.__name__ == name])
def test_the_tree_in_the_docstring_is_the_real_one(name):
    lines = (exceptions.__doc__ or "").splitlines()
    number = next(number for number, line in enumerate(lines) if line.lstrip(BRANCHES).split()[:1] == [name])
    above = next(line for line in reversed(lines[:number]) if line and depth(line) < depth(lines[number]))

    parents = [parent.__name__ for parent in CLASSES[name].__bases__]
    assert above.lstrip(BRANCHES).split()[0] in parents


@pytest.mark.parametrize(
    "exc",
    [
        Retry("again", ValueError("x"), 5),
        Reject("full", requeue=True),
        Ignore("x"),
        NotRegistered("shop.pay"),
        QueueNotFound("no such queue 'x'"),
        MaxRetriesExceededError("too many", task_args=(1,), task_kwargs={"a": 2}),
        BackendGetMetaError("gone", task_id="9f1c"),
        BackendStoreError("full", state="SUCCESS", task_id="9f1c"),
        BrokerUnavailable("down", maybe_published=True),
        RemoteError("Oops", "shop", ("x",), "Traceback"),
        UniqueConflict("taken", key="k", task_id="9f1c"),
        TaskCancelled("x"),
        SoftTimeLimitExceeded(3),
        TimeLimitExceeded(3),
        WorkerLostError("x"),
        Terminated(15),
        WorkerShutdown(1),
        WorkerTerminate(2),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_an_exception_pickles_with_all_it_knows(exc):
    again = pickle.loads(pickle.dumps(exc))

    assert type(again) is type(exc)
    assert (str(again), repr(again)) == (str(exc), repr(exc))
    assert {name: repr(value) for name, value in vars(again).items()} == {
        name: repr(value) for name, value in vars(exc).items()
    }


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (Retry(), "Retry at once"),
        (Retry("again, please"), "again, please"),
        (Retry(exc=KeyError("k"), when=180), "Retry in 180s: KeyError('k')"),
        (Retry(exc="KeyError('k')", when=180), "Retry in 180s: KeyError('k')"),
        (Retry(when=datetime(2024, 5, 1, 12, tzinfo=UTC)), "Retry at 2024-05-01 12:00:00+00:00"),
        (SoftTimeLimitExceeded(), "SoftTimeLimitExceeded()"),
        (TimeLimitExceeded(10), "TimeLimitExceeded(10,)"),
        (NotRegistered("shop.pay"), "task 'shop.pay' is not registered"),
        (QueueNotFound("there is no queue 'x'"), "there is no queue 'x'"),
    ],
)
def test_an_exception_reads_well(exc, text):
    assert str(exc) == text


def test_a_reject_reads_as_in_celery():
    assert repr(Reject("full")) == "reject requeue=False: full"
    assert repr(Reject(requeue=True)) == "reject requeue=True: None"


@pytest.mark.parametrize(
    ("exc", "more"),
    [
        (BackendGetMetaError("x", task_id="9f1c"), " task_id:9f1c"),
        (BackendStoreError("x", state="SUCCESS", task_id="9f1c"), " state:SUCCESS task_id:9f1c"),
    ],
)
def test_a_backend_error_names_the_task(exc, more):
    assert repr(exc).endswith(more)
    assert isinstance(exc, BackendError)


def test_a_retry_knows_its_cause_its_text_and_its_time():
    when = datetime(2024, 5, 1, 12, tzinfo=UTC)
    cause = ValueError("x")

    retry = Retry("again", cause, when)

    assert (retry.message, retry.exc, retry.excs, retry.when) == ("again", cause, "ValueError('x')", when)
    assert retry.eta_at == when.timestamp()
    assert (Retry(when=5).eta_at, Retry(when=5, eta_at=7.0).eta_at) == (None, 7.0)


def test_a_retry_whose_cause_does_not_pickle_tells_of_it_all_the_same():
    retry = Retry(exc=Unpicklable("disk full", lock=lambda: None), when=3)

    again = pickle.loads(pickle.dumps(retry))

    assert isinstance(again.exc, RemoteError)
    assert again.exc.exc_type == "Unpicklable"
    assert str(again) == str(retry) == "Retry in 3s: Unpicklable('disk full')"


def test_a_retry_survives_a_cause_without_a_repr():
    class Sly(Exception):
        def __repr__(self):
            raise RuntimeError("no")

    assert str(Retry(exc=Sly(), when=3)) == "Retry in 3s: <Sly, whose repr raised RuntimeError>"


@pytest.mark.parametrize(
    ("kind", "caught_as"),
    [
        (Retry, TaskPredicate),
        (NotRegistered, TaskError),
        (NotRegistered, KeyError),
        (QueueNotFound, KeyError),
        (exceptions.TimeoutError, TaskError),
        (exceptions.TimeoutError, TimeoutError),
        (TaskCancelled, TaskRevokedError),
        (WorkerShutdown, SystemExit),
        (exceptions.AlwaysEagerIgnored, CeleryWarning),
        (CeleryWarning, UserWarning),
        (exceptions.CDeprecationWarning, DeprecationWarning),
    ],
)
def test_what_celery_users_catch_catches(kind, caught_as):
    assert issubclass(kind, caught_as)


def test_the_names_of_celery_are_the_very_classes():
    assert CeleryError is CeleriacError
    assert exceptions.RetryTaskError is Retry
    assert exceptions.SystemTerminate is WorkerTerminate


@pytest.mark.parametrize("kind", [SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError, Terminated])
def test_what_a_pool_raises_is_outside_of_the_tree_as_in_celery(kind):
    assert not issubclass(kind, CeleriacError)


def test_a_warning_can_be_filtered_by_its_root():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CeleryWarning)
        warnings.warn("two nodes", exceptions.DuplicateNodenameWarning, stacklevel=1)
