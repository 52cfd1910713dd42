"""What Celery has and this version does not: said by name, instead of as a missing attribute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

_CONNECTIONS: Final = (
    "no kombu connections and pools are used here: `app.broker` publishes, `app.backend` keeps results"
)

_OF_APP: Final[Mapping[str, str]] = {
    "add_periodic_task": "schedules are not in this version of celeriac",
    "Beat": "schedules are not in this version of celeriac",
    "broker_connection": _CONNECTIONS,
    "connection": _CONNECTIONS,
    "connection_for_read": _CONNECTIONS,
    "connection_for_write": _CONNECTIONS,
    "connection_or_acquire": _CONNECTIONS,
    "default_connection": _CONNECTIONS,
    "default_producer": _CONNECTIONS,
    "pool": _CONNECTIONS,
    "producer_or_acquire": _CONNECTIONS,
    "producer_pool": _CONNECTIONS,
    "setup_security": "signed messages are not in this version of celeriac",
    "Worker": "start a worker with `celeriac worker`, or `app.worker_main`",
    "WorkController": "start a worker with `celeriac worker`, or `app.worker_main`",
}

_OF_TASK: Final[Mapping[str, str]] = {
    "Request": "a worker's request is no class of yours to replace; use the hooks of the task (`before_start`, "
    "`on_failure`, `after_return` and the like), or signals",
    "start_strategy": "a worker's strategy is no class of yours to replace; use `worker_dispatch`",
    "Strategy": "a worker's strategy is no class of yours to replace; use `worker_dispatch`",
}

INTERNALS_OF_WORKERS: Final = frozenset({"Request", "Strategy", "start_strategy"})
"""What a class of tasks may replace in Celery's worker."""


_OF_CONTROL: Final[Mapping[str, str]] = {
    "mailbox": "commands are said by `app.control.broadcast`, whatever carries them",
}


def missing_of_app(app: str, name: str, known: list[str]) -> AttributeError:
    """Make the error about an attribute that apps do not have."""
    return _missing(f"app {app!r}", name, _OF_APP, known)


def missing_of_task(task: str, name: str, known: list[str]) -> AttributeError:
    """Make the error about an attribute that tasks do not have."""
    return _missing(f"task {task!r}", name, _OF_TASK, known)


def refuse_internals(what: str, names: Iterable[str]) -> None:
    """Refuse what replaces parts of Celery's worker and would have no effect here.

    Args:
        what: the task or class of tasks that says it.
        names: attributes or options that it has.

    Raises:
        TypeError: one of them is such a part; the text says what to do instead.
    """
    for name in names:
        if name in INTERNALS_OF_WORKERS:
            raise TypeError(f"{what} says {name}: {_OF_TASK[name]}")


_OF_AMQP: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("Connection", "BrokerConnection", "Consumer", "Producer", "TaskConsumer", "producer_pool", "publisher_pool"),
        _CONNECTIONS,
    ),
    **dict.fromkeys(
        ("as_task_v1", "as_task_v2", "create_task_message", "send_task_message", "task_protocols"),
        "`app.builder` makes messages and `app.sender` sends them; use `app.send_task`, or `delay` of a task",
    ),
}


def missing_of_amqp(name: str, known: list[str]) -> AttributeError:
    """Make the error about an attribute that `app.amqp` does not have."""
    return _missing("app.amqp", name, _OF_AMQP, known)


def missing_of_control(name: str, known: list[str]) -> AttributeError:
    """Make the error about an attribute that `app.control` does not have."""
    return _missing("app.control", name, _OF_CONTROL, known)


def _missing(what: str, name: str, sentences: Mapping[str, str], known: list[str]) -> AttributeError:
    sentence = sentences.get(name)
    if sentence is not None:
        return AttributeError(f"{what} has no {name!r}: {sentence}")
    near = get_close_matches(name, known, n=1, cutoff=0.8)
    return AttributeError(f"{what} has no {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
