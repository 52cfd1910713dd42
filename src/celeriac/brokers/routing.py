"""Where the calls of a task go: `task_routes`, and what follows from what is said and from the queues there are. Pure.

It knows no broker. A call goes into a queue by its name, or to an exchange, which leads on to queues (`exchanges.py`).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from typing import Any, Final

import msgspec

from celeriac.brokers.queues import Queues
from celeriac.brokers.topology import (
    DIRECT,
    HEADERS,
    Queue,
    exchange_of,
    looks_like_exchange,
    looks_like_queue,
    queue_of,
)
from celeriac.exceptions import ImproperlyConfigured, QueueNotFound
from celeriac.message import Route

Said = dict[str, Any]
"""What a route says: options of `apply_async`, mostly `queue`, `exchange`, `routing_key` and `priority`."""


class Rule(msgspec.Struct, frozen=True):
    """Send the tasks that a pattern matches somewhere; None matches the name alone."""

    name: str
    pattern: re.Pattern[str] | None
    said: Said

    def matches(self, task_name: str) -> bool:
        return task_name == self.name if self.pattern is None else self.pattern.match(task_name) is not None


class Trial(msgspec.Struct, frozen=True):
    """Tell of one rule that was tried for a call.

    Attributes:
        rule: what it is.
        said: what it says of this call; None when it says nothing.
    """

    rule: str
    said: Mapping[str, Any] | None


class MapRoute:
    """Route by a table of names, globs and regular expressions. Names win over patterns, then the first one wins."""

    is_static = True

    def __init__(self, table: Any) -> None:
        self.exact: dict[str, Rule] = {}
        self.patterns: list[Rule] = []
        for name, target in _pairs_of(table):
            said = _said_by(name, target)
            if isinstance(name, re.Pattern):
                self.patterns.append(Rule(f"/{name.pattern}/", name, said))
            elif any(sign in name for sign in "*?["):
                self.patterns.append(Rule(name, re.compile(translate(name)), said))
                self.exact.setdefault(name, Rule(name, None, said))
            else:
                self.exact.setdefault(name, Rule(name, None, said))

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Said | None:
        rule = self.exact.get(name) or next((rule for rule in self.patterns if rule.matches(name)), None)
        return None if rule is None else dict(rule.said)

    def trials(self, name: str) -> list[Trial]:
        """Return what was tried for a task, up to the rule that decides."""
        exact = self.exact.get(name)
        if exact is not None:
            return [Trial(repr(name), exact.said)]
        names = len(self.exact) - sum(rule.name in self.exact for rule in self.patterns)
        tried = [Trial("1 name" if names == 1 else f"{names} names", None)] if names else []
        for rule in self.patterns:
            matches = rule.matches(name)
            tried.append(Trial(repr(rule.name), rule.said if matches else None))
            if matches:
                break
        return tried


class FunctionRoute:
    """Route by a function, or by an object that has `route_for_task`, as Celery has had them."""

    is_static = False

    def __init__(self, given: Any) -> None:
        self.given = given

    def __call__(self, name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> Said | None:
        given = self._found()
        if hasattr(given, "route_for_task"):
            answer = given.route_for_task(name, args, kwargs)
        else:
            answer = given(name, args, kwargs, options, task=task)
        return None if answer is None else _answered(f"router {self.described}", answer)

    def _found(self) -> Any:
        return self.given

    @property
    def described(self) -> str:
        """What it is, for people."""
        named = getattr(self.given, "__qualname__", None) or type(self.given).__qualname__
        return f"{getattr(self.given, '__module__', '?')}.{named}"


class NamedRoute(FunctionRoute):
    """Route by what a dotted path leads to, a class of routers included. It is imported when it is first asked."""

    _imported: Any = None

    def _found(self) -> Any:
        if self._imported is None:
            found = _import(self.given)
            made = found() if isinstance(found, type) and hasattr(found, "route_for_task") else found
            self._imported = MapRoute(made) if isinstance(made, (Mapping, list, tuple)) else made
        return self._imported

    @property
    def described(self) -> str:
        return str(self.given)


AnyRoute = MapRoute | FunctionRoute


def compile_routes(routes: Any) -> tuple[AnyRoute, ...]:
    """Read a `task_routes` setting, so that routing needs no checks.

    Args:
        routes: None; one router; or a list of routers, which are tried in order. A router is a dict, a list of pairs,
            a function, an object with `route_for_task`, or the dotted path of one. Names in a dict may be globs (``*``,
            ``?``, ``[..]``) and compiled regular expressions; what they lead to is the name of a queue, or a dict of
            options such as ``{"queue": name, "priority": 3}``.

    Raises:
        ValueError: something else stands there; the text says what.
    """
    if routes is None:
        return ()
    if isinstance(routes, (list, tuple)) and not _is_pairs(routes):
        return tuple(map(_compile, routes))
    return (_compile(routes),)


def _compile(router: Any) -> AnyRoute:
    if isinstance(router, (MapRoute, FunctionRoute)):
        return router
    if isinstance(router, str):
        if not _PATH.fullmatch(router):
            raise ValueError(f"{router!r} is no dotted path of a router")
        return NamedRoute(router)
    if isinstance(router, (Mapping, list, tuple)):
        return MapRoute(router)
    if hasattr(router, "route_for_task"):
        return FunctionRoute(router() if isinstance(router, type) else router)
    if callable(router):
        return FunctionRoute(router)
    raise ValueError(f"{router!r} is no router: neither a dict, a list of pairs, a function, nor the path of one")


_PATH: Final = re.compile(r"\w+(\.\w+)*[.:]\w+(\.\w+)*")


def _is_pairs(table: Any) -> bool:
    return isinstance(table, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], (str, re.Pattern)) for pair in table
    )


def _pairs_of(table: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(table, Mapping):
        pairs = list(table.items())
    elif _is_pairs(table):
        pairs = list(table)
    else:
        raise ValueError(f"{table!r} is neither a dict nor a list of pairs")
    for name, target in pairs:
        if not isinstance(name, (str, re.Pattern)):
            raise ValueError(f"{name!r} is not the name of a task, a glob or a regular expression")
        yield name, target


def _said_by(name: Any, target: Any) -> Said:
    shown = name.pattern if isinstance(name, re.Pattern) else name
    said = _answered(f"the route of {shown!r}", target)
    if not said:
        raise ValueError(f"the route of {shown!r} says nothing; name a queue")
    return said


def _answered(what: str, target: Any) -> Said:
    """Return what a rule or router says, as options.

    Raises:
        ValueError: it says what no route can.
    """
    if isinstance(target, Mapping):
        if not all(isinstance(key, str) for key in target):
            raise ValueError(f"{what} has keys that are no names of options: {target!r}")
        return dict(target)
    if looks_like_queue(target) or (isinstance(target, str) and target):
        return {"queue": target}
    raise ValueError(f"{what} names no queue, and is no dict of options: {target!r}")


def _import(path: str) -> Any:
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ImproperlyConfigured(f"task_routes names the router {path!r}, which cannot be had: {error}") from error
    return found


class Router:
    """Decide where calls go, by one table of routes and one of queues (`app.amqp.router`).

    Args:
        routes: as `compile_routes` has them.
        queues: the queues there are.
        create_missing: as the queues have it; here for Celery's sake.
        default_queue: where calls go of which nothing is said.
    """

    def __init__(
        self,
        routes: Any = None,
        queues: Queues | None = None,
        create_missing: bool = False,
        *,
        default_queue: str = "celery",
    ) -> None:
        self.routes = compile_routes(routes)
        self.queues = Queues(create_missing=create_missing) if queues is None else queues
        self.create_missing = create_missing
        self.default_queue = default_queue

    @property
    def is_static(self) -> bool:
        """Where a call goes follows from the task's name alone."""
        return all(router.is_static for router in self.routes)

    def route(
        self, options: Mapping[str, Any] | None, name: str, args: Any = (), kwargs: Any = None, task_type: Any = None
    ) -> Said:
        """Return the options of a call, with those that its route adds; queues as `Queue`.

        Raises:
            QueueNotFound: a queue is named that is not listed, and missing ones are not made.
        """
        said = self.expand_destination({key: value for key, value in (options or {}).items() if value is not None})
        found = self.lookup_route(name, args, kwargs or {}, said, task_type)
        if found:
            return {**self.expand_destination(found), **said}
        return said if "queue" in said else {**self.expand_destination(self.default_queue), **said}

    def expand_destination(self, route: str | Mapping[str, Any]) -> Said:
        """Return what a route says, its queue as `Queue`."""
        said: Said = {"queue": route} if isinstance(route, str) else dict(route)
        queue = said.pop("queue", None)
        if queue:
            said["queue"] = self.queue(queue)
        return said

    def queue(self, queue: Any) -> Queue:
        """Return a queue by its name or alias; one that is a queue already is returned as ours.

        Raises:
            QueueNotFound: it is not listed, and missing ones are not made.
        """
        if not isinstance(queue, str):
            return queue_of(queue)
        found = self.queues.find(queue)
        if found is None:
            known = ", ".join(sorted(self.queues)) or "none"
            raise QueueNotFound(
                f"queue {queue!r} is not in task_queues, which lists {known}; add it there, "
                "or set task_create_missing_queues"
            )
        return found

    def lookup_route(
        self, name: str, args: Any = None, kwargs: Any = None, options: Any = None, task_type: Any = None
    ) -> Said | None:
        """Return what the first router says that says anything."""
        for router in self.routes:
            found = self.query_router(router, name, args, kwargs, options, task_type)
            if found is not None:
                return found
        return None

    def query_router(
        self, router: AnyRoute, task: str, args: Any, kwargs: Any, options: Any, task_type: Any
    ) -> Said | None:
        """Return what one router says of a call, or None."""
        return router(task, args, kwargs, options, task=task_type)

    def trials(
        self, name: str, args: Any = (), kwargs: Any = None, options: Any = None, task_type: Any = None
    ) -> list[Trial]:
        """Return every rule that is tried for a call, in order; the last one decides if it says anything."""
        tried: list[Trial] = []
        for router in self.routes:
            if isinstance(router, MapRoute):
                tried += router.trials(name)
            else:
                tried.append(Trial(router.described, self.query_router(router, name, args, kwargs, options, task_type)))
            if tried and tried[-1].said is not None:
                break
        return tried

    def kind_of(self, exchange: str) -> str | None:
        """Return the type of an exchange, as far as the queues tell."""
        for queue in self.queues.values():
            for found in (queue.exchange, *(each.exchange for each in queue.bindings)):
                if found is not None and found.name == exchange:
                    return found.type
        return None

    def destination(self, said: Mapping[str, Any]) -> Destination:
        """Return where a call goes whose options and route say this.

        A queue behind a direct exchange is reached by its name; the exchange is used where exchange and routing key are
        both said, and where it is of another type.

        Raises:
            QueueNotFound: the queue is not listed, and missing ones are not made.
            ValueError: only an exchange is said, and it needs a routing key.
        """
        queue, exchange, key, kind = (said.get(name) for name in ("queue", "exchange", "routing_key", "exchange_type"))
        if looks_like_exchange(exchange):
            named = exchange_of(exchange)
            exchange, kind = named.name, kind or named.type
        if exchange is None:
            return self._by_queue(self.queue(queue or self.default_queue), key, kind)
        if queue:
            return self._by_both(self.queue(queue), exchange, key, kind)
        return self._by_exchange(exchange, key, kind)

    def _by_queue(self, found: Queue, key: str | None, kind: str | None) -> Destination:
        own = found.exchange
        if own is None or not own.name or (kind or own.type) == DIRECT:
            return _straight(found)
        route = Route(exchange=own.name, routing_key=key or found.routing_key or "", kind=kind or own.type)
        return _through(route, found)

    def _by_both(self, found: Queue, exchange: str, key: str | None, kind: str | None) -> Destination:
        own = found.exchange
        if (not exchange or not key) and (kind or (DIRECT if own is None else own.type)) == DIRECT:
            return _straight(found)
        if not exchange:
            return _straight(self.queue(key or found.name))
        if own is not None and own.name == exchange:
            kind = kind or own.type
        return _through(Route(exchange=exchange, routing_key=key or "", kind=kind or self.kind_of(exchange)), found)

    def _by_exchange(self, exchange: str, key: str | None, kind: str | None) -> Destination:
        default = self.default_queue
        if not exchange:
            return _straight(self.queue(key or default))
        kind = kind or self.kind_of(exchange)
        if key or kind not in (None, DIRECT):
            return _through(Route(exchange=exchange, routing_key=key or "", kind=kind), None)
        found = self.queue(default)
        if found.exchange is None or found.exchange.name != exchange:
            raise ValueError(
                f"exchange {exchange!r} is named without a queue and without a routing key, by which a direct exchange "
                "leads on: say routing_key=..., or queue=..., or list the exchange in task_queues if it is another one"
            )
        return _straight(found)


def _straight(queue: Queue) -> Destination:
    mode = None if queue.exchange is None else queue.exchange.delivery_mode
    return Destination(queue=queue.name, declares=queue, delivery_mode=mode)


def _through(route: Route, queue: Queue | None) -> Destination:
    if queue is None:
        return Destination(queue=route.exchange, route=route)
    mode = None if queue.exchange is None else queue.exchange.delivery_mode
    return Destination(queue=queue.name, route=route, declares=queue, delivery_mode=mode)


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Say where a call goes.

    Attributes:
        queue: the queue; with a `route` what people may call it.
        route: the exchange that it goes to, or None.
        declares: the queue that is to be there.
        delivery_mode: what its exchange says of that, or None.
    """

    queue: str
    route: Route | None = None
    declares: Queue | None = None
    delivery_mode: int | None = None

    @property
    def described(self) -> str:
        """Where it goes, for people."""
        route = self.route
        if route is None:
            return f"queue {self.queue!r}"
        key = "" if route.kind == HEADERS else f" with routing key {route.routing_key!r}"
        return f"{route.kind or 'some'} exchange {route.exchange!r}{key}"
