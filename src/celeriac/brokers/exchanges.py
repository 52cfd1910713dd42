"""Which queues an exchange leads to, for brokers that have no exchanges of their own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from celeriac.brokers.base import Conflict
from celeriac.brokers.topics import Topic
from celeriac.brokers.topology import DIRECT, FANOUT, HEADERS, Binding
from celeriac.exceptions import Unroutable
from celeriac.message import Message, Route

_MATCH: Final = "x-match"


def queues_behind(bindings: Iterable[Binding], route: Route) -> list[str]:
    """Return the queues that a message of that route goes to, each once, in the order of their names.

    Where the type of the exchange is not known, the bindings tell it; and where these differ, each is as it says.
    """
    return sorted({each.queue for each in bindings if each.exchange == route.exchange and leads(each, route)})


def leads(binding: Binding, route: Route) -> bool:
    """Say whether a message of that route follows a binding of its exchange."""
    match binding.kind:
        case "fanout":
            return True
        case "topic":
            return Topic(binding.exchange, binding.routing_key).includes(binding.exchange, route.routing_key)
        case "headers":
            return _have(route.headers or {}, binding.arguments or {})
        case _:
            return binding.routing_key == route.routing_key


def _have(headers: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Say whether headers are as a binding wants them: all of its arguments, or with `x-match: any` one of them."""
    is_any = str(wanted.get(_MATCH, "all")).startswith("any")
    with_x = str(wanted.get(_MATCH, "all")).endswith("-with-x")
    found = [
        name in headers and (value is None or headers[name] == value)
        for name, value in wanted.items()
        if name != _MATCH and (with_x or not name.startswith("x-"))
    ]
    return any(found) if is_any else all(found)


class Spread(NamedTuple):
    """Hold messages for queues, and of which message each of them is one."""

    messages: list[Message]
    origins: list[int]

    def conflicts(self, found: Sequence[Conflict]) -> Sequence[Conflict]:
        """Return conflicts by the positions of the messages that were given."""
        return [Conflict(self.origins[one.position], one.key, one.task_id) for one in found]


def spread(
    messages: Sequence[Message],
    bindings_of: Callable[[str], Iterable[Binding]],
    *,
    keep: Callable[[Route], bool] = lambda route: False,
    lost: list[tuple[Message, str]] | None = None,
) -> Spread:
    """Replace each message for an exchange by one for each queue that it leads to.

    Args:
        bindings_of: returns the bindings of an exchange, and perhaps others.
        keep: says of which routes the broker takes care itself.
        lost: gets those that lead nowhere, with the reason, instead of an error.

    Raises:
        Unroutable: one leads nowhere; the text says which.
    """
    found = Spread([], [])
    for position, message in enumerate(messages):
        for each in _spread(message, bindings_of, keep, lost):
            found.messages.append(each)
            found.origins.append(position)
    return found


def _spread(
    message: Message,
    bindings_of: Callable[[str], Iterable[Binding]],
    keep: Callable[[Route], bool],
    lost: list[tuple[Message, str]] | None,
) -> Iterable[Message]:
    route = message.route
    if route is None or keep(route):
        return [message]
    bindings = [each for each in bindings_of(route.exchange) if each.exchange == route.exchange]
    queues = queues_behind(bindings, route)
    if not queues and not bindings and route.exchange == route.routing_key and route.kind in (None, DIRECT):
        queues = [route.exchange]  # as each queue is bound of which nothing is said
    if not queues and must_arrive(route, bindings):
        error = unroutable(message, route, bindings)
        if lost is None:
            raise error
        lost.append((msgspec.structs.replace(message, route=None, unique=None), str(error)))
    return [
        # Of one call, one run has the key.
        msgspec.structs.replace(message, queue=queue, route=None, unique=None if at else message.unique)
        for at, queue in enumerate(queues)
    ]


def must_arrive(route: Route, bindings: Iterable[Binding]) -> bool:
    """Say whether it is an error when a message leads nowhere.

    A message for everybody who is there may find nobody.
    """
    if route.mandatory is not None:
        return route.mandatory
    return route.kind != FANOUT and not any(each.kind == FANOUT for each in bindings)


def unroutable(message: Message, route: Route, bindings: Sequence[Binding]) -> Unroutable:
    """Make the error about a message that leads nowhere."""
    key = "" if route.kind in (FANOUT, HEADERS) else f" with routing key {route.routing_key!r}"
    if bindings:
        there = ", ".join(sorted(f"{each.routing_key!r} -> {each.queue}" for each in bindings)[:10])
        known = f"it leads on by {there}"
    else:
        known = "no queue is bound to it"
    return Unroutable(
        f"message {message.task_id} goes to {route.kind or 'some'} exchange {route.exchange!r}{key}, from where it "
        f"reaches no queue: {known}. Bind a queue in task_queues, or name one with queue=...",
        exchange=route.exchange,
        routing_key=route.routing_key,
    )


def is_said(route: Route) -> bool:
    """Say whether a message is said to all who listen, by brokers that have channels for that."""
    return route.kind == FANOUT
