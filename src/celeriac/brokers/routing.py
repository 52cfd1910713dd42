"""Which queue a task's messages go to: a function from names to names, without any broker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from typing import Any

import msgspec


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """Know the queues of one table of `task_routes`.

    Attributes:
        exact: task name to queue; these win over any glob.
        globs: patterns in the order in which they are tried.
    """

    exact: dict[str, str]
    globs: tuple[tuple[re.Pattern[str], str], ...]

    def queue_of(self, task_name: str) -> str | None:
        """Return the queue for a task, or None when nothing matches."""
        queue = self.exact.get(task_name)
        if queue is not None:
            return queue
        return next((queue for pattern, queue in self.globs if pattern.match(task_name)), None)


def compile_routes(routes: Any) -> tuple[Router, ...]:
    """Read a `task_routes` setting, so that routing needs no checks.

    Args:
        routes: None, a dict, a list of (name, queue) pairs, or a list of such dicts and lists: these are tried one
            after the other. A name may be a glob (``*``, ``?``, ``[..]``); a queue is its name or ``{"queue": name}``.

    Raises:
        ValueError: something else stands there; the text says what.
    """
    if routes is None:
        return ()
    if isinstance(routes, Mapping) or _is_pairs(routes):
        return (_compile(routes),)
    if not isinstance(routes, (list, tuple)):
        raise ValueError(f"{type(routes).__name__} is not a routing table")
    return tuple(_compile(table) for table in routes)


def route(task_name: str, routers: Iterable[Router], default_queue: str) -> str:
    """Return the queue for a task: what the first router with a match says, else the default."""
    for router in routers:
        queue = router.queue_of(task_name)
        if queue is not None:
            return queue
    return default_queue


def _is_pairs(table: Any) -> bool:
    return isinstance(table, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) for pair in table
    )


def _compile(table: Any) -> Router:
    if isinstance(table, Mapping):
        pairs = list(table.items())
    elif _is_pairs(table):
        pairs = list(table)
    else:
        raise ValueError(f"{table!r} is neither a dict nor a list of pairs")
    exact: dict[str, str] = {}
    globs: list[tuple[re.Pattern[str], str]] = []
    for name, target in pairs:
        if not isinstance(name, str):
            raise ValueError(f"{name!r} is not the name of a task or a glob")
        queue = _queue_named_by(name, target)
        if any(sign in name for sign in "*?["):
            globs.append((re.compile(translate(name)), queue))
        exact.setdefault(name, queue)
    return Router(exact=exact, globs=tuple(globs))


def _queue_named_by(name: str, target: Any) -> str:
    if isinstance(target, Mapping):
        others = sorted(str(key) for key in target if key != "queue")
        if others:
            raise ValueError(f"the route of {name!r} names {', '.join(others)}; only 'queue' can be routed by")
        target = target.get("queue")
    if not isinstance(target, str) or not target:
        raise ValueError(f"the route of {name!r} names no queue")
    return target
