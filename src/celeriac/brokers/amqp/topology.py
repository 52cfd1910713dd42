"""What is declared on RabbitMQ, exactly as Celery declares it: to say otherwise is refused there. Pure.

A message that is due later goes up a ladder of queues that Celery has laid out: level n holds it for 2^n seconds when
bit n of its delay is set, and sends it on to the next level. Celery binds the end of the ladder to topic exchanges; we
bind it to every queue of ours directly, so that queues of direct exchanges are served, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from celeriac.brokers import topology

LEVELS: Final = 28
"""Levels of the ladder, which is the number of bits of a delay: up to eight and a half years."""

LONGEST_DELAY: Final = 2**LEVELS - 1
"""Seconds."""

DELIVERY: Final = "celery_delayed_delivery"
"""Exchange at the end of the ladder."""

DEAD_LETTERS: Final = "celeriac.dlq"
"""Queue of dead letters."""

REVOCATIONS: Final = "celeriac.revoked"
"""Stream of what is revoked."""

QUORUM: Final = ("x-queue-type", "quorum")
"""Argument of a queue whose messages are on several servers."""

CONSUMER_TIMEOUT: Final = 1800.0
"""Seconds that RabbitMQ waits for an acknowledgement, unless it was told otherwise."""

HOLDS: Final = "celeriac.hold."
"""What the names of queues begin with in which nodes keep copies of long runs."""

HOLD_TTL: Final = 20.0
"""Seconds after which a copy of a long run that nobody holds goes back to the queue of its task."""

_HOLD_EXPIRES: Final = 86_400.0
_NAME_MAX: Final = 255

_BITS: Final = re.compile(r"(?:[01]\.){28}")
_ANY_BITS: Final = "*." * LEVELS
_TO_QUEUE: Final = ".celeriac.to.queue"


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """Be an exchange, as it is declared."""

    name: str
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False
    arguments: tuple[tuple[str, Any], ...] = ()


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Be a queue, as it is declared.

    Attributes:
        arguments: ``x-…`` and their values, which must be what they were when the queue was made.
    """

    name: str
    durable: bool = True
    auto_delete: bool = False
    exclusive: bool = False
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def is_quorum(self) -> bool:
        """Whether it is a quorum queue, which gives out messages by its own rules."""
        return QUORUM in self.arguments


MADE_AGAIN_AFTER: Final = 0.5
"""Seconds after which a quorum queue that somebody has deleted is declared again.

When it is there again by the time that RabbitMQ would tell its consumers, nobody tells them, and for as long as they
are connected they get nothing more, neither of the queue before nor of the one after. Measured on 3.10: it must not be
there for 0.02 to 0.03 s.
"""


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Send what comes to an exchange with a key on, to a queue or to another exchange."""

    source: str
    target: str
    key: str
    to_exchange: bool = False
    arguments: tuple[tuple[str, Any], ...] = ()


Declared = Exchange | Queue | Binding


def task_queue(name: str, *, queue_type: str | None = None, max_priority: int | None = None) -> Queue:
    """Return a queue of tasks that nobody has said more about, as Celery declares it."""
    arguments: dict[str, Any] = {}
    if max_priority is not None:
        arguments["x-max-priority"] = max_priority
    if queue_type is not None and queue_type != "classic":
        arguments["x-queue-type"] = queue_type
    return Queue(name=name, arguments=tuple(arguments.items()))


def plain_queue_parts(name: str, queue_type: str | None, max_priority: int | None) -> Iterator[Declared]:
    """Yield what makes a queue usable that nobody has declared: an exchange of its name, the queue, what binds them."""
    yield Exchange(name=name)
    yield task_queue(name, queue_type=queue_type, max_priority=max_priority)
    yield Binding(source=name, target=name, key=name)


def declared_parts(queue: topology.Queue) -> Iterator[Declared]:
    """Yield what makes a queue usable that somebody has declared, as kombu declares it."""
    yield from shared_parts(queue)
    if not queue.no_declare:
        yield Queue(
            name=queue.name,
            durable=queue.durable,
            auto_delete=queue.auto_delete,
            exclusive=queue.exclusive,
            arguments=queue_arguments(queue),
        )
        for lead in queue.leads_here():
            arguments = _pairs(lead.arguments)
            yield Binding(source=lead.exchange, target=queue.name, key=lead.routing_key, arguments=arguments)


def shared_parts(queue: topology.Queue) -> Iterator[Declared]:
    """Yield what of that is not the queue's own: its exchanges."""
    for each in _exchanges_of(queue):
        if each.name and not each.no_declare and not each.name.startswith("amq."):
            yield Exchange(
                name=each.name,
                type=each.type,
                durable=each.durable,
                auto_delete=each.auto_delete,
                arguments=_pairs(each.arguments),
            )


def _exchanges_of(queue: topology.Queue) -> Iterator[topology.Exchange]:
    if queue.exchange is not None:
        yield queue.exchange
    for each in queue.bindings:
        if each.exchange is not None:
            yield each.exchange


def queue_arguments(queue: topology.Queue) -> tuple[tuple[str, Any], ...]:
    """Return the arguments of a queue: those that it names, and those that follow from its attributes."""
    said = dict(queue.queue_arguments or {})
    for name, argument, scale in _ARGUMENTS:
        value = getattr(queue, name)
        if value is not None:
            said[argument] = int(value * scale)
    return tuple(said.items())


_ARGUMENTS: Final = (
    ("expires", "x-expires", 1000),
    ("message_ttl", "x-message-ttl", 1000),
    ("max_length", "x-max-length", 1),
    ("max_length_bytes", "x-max-length-bytes", 1),
    ("max_priority", "x-max-priority", 1),
)


def _pairs(arguments: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(arguments.items()) if arguments else ()


def dead_letter_queue(max_length: int, expires: float) -> Queue:
    """Return the queue of dead letters, which keeps the newest.

    Args:
        max_length: how many.
        expires: seconds after which one goes.
    """
    return Queue(
        name=DEAD_LETTERS,
        arguments=(
            ("x-max-length", max_length),
            ("x-overflow", "drop-head"),
            ("x-message-ttl", int(expires * 1000)),
        ),
    )


def revocation_stream(expires: float) -> Queue:
    """Return the stream of revocations; it forgets what is older than so many seconds."""
    return Queue(
        name=REVOCATIONS,
        arguments=(
            ("x-queue-type", "stream"),
            ("x-max-age", f"{int(expires)}s"),
            ("x-max-length-bytes", 64_000_000),
        ),
    )


def hold_queue(token: str, queue: str, queue_type: str) -> Queue:
    """Return the queue in which one node keeps copies of its long runs from one queue of tasks.

    What lies there for `HOLD_TTL`, because its node has gone, is sent back to the queue of tasks. A quorum queue keeps
    it until it has arrived there. The queue itself goes when nobody has used it for a day.

    Args:
        token: names the node, and nothing else ever.
        queue_type: ``classic`` or ``quorum``.
    """
    arguments: dict[str, Any] = {
        "x-queue-type": queue_type,
        "x-message-ttl": int(HOLD_TTL * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-expires": int(_HOLD_EXPIRES * 1000),
    }
    if queue_type == "quorum":
        arguments |= {"x-overflow": "reject-publish", "x-dead-letter-strategy": "at-least-once"}
    return Queue(name=_within(f"{HOLDS}{token}.{queue}"), arguments=tuple(arguments.items()))


def _within(name: str, most: int = _NAME_MAX) -> str:
    """Return a name as it is, or, where it has more bytes than it may, its beginning and what tells it from others."""
    encoded = name.encode()
    if len(encoded) <= most:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{encoded[: most - 17].decode(errors='ignore')}.{digest}"


def ladder(queue_type: str = "quorum") -> Iterator[Declared]:
    """Yield the ladder, the highest level first, so that nothing is sent to what is not there yet."""
    yield Exchange(name=DELIVERY, type="topic")
    for level in range(LEVELS):
        yield from _rung(level, queue_type)


def _rung(level: int, queue_type: str) -> Iterator[Declared]:
    name, below = f"celery_delayed_{level}", f"celery_delayed_{level - 1}" if level else DELIVERY
    any_higher = "*." * (LEVELS - 1 - level)
    arguments: dict[str, Any] = {
        "x-queue-type": queue_type,
        "x-overflow": "reject-publish",
        "x-message-ttl": 2**level * 1000,
        "x-dead-letter-exchange": below,
    }
    if queue_type == "quorum":
        arguments["x-dead-letter-strategy"] = "at-least-once"
    yield Exchange(name=name, type="topic")
    yield Queue(name=name, arguments=tuple(arguments.items()))
    yield Binding(source=name, target=name, key=f"{any_higher}1.#")
    yield Binding(source=name, target=below, key=f"{any_higher}0.#", to_exchange=True)


def key_to_queue(queue: str) -> str:
    """Return the routing key of what goes up the ladder on its way to one queue, whatever its exchange.

    It ends with words of ours. Celery binds exchanges to the end of the ladder by ``#.`` and their keys, so the name
    alone would lead into every queue with that name for a key as well.
    """
    return f"{_within(queue, _NAME_MAX - len(_ANY_BITS) - len(_TO_QUEUE))}{_TO_QUEUE}"


def ladder_end(queue: str) -> Binding:
    """Return how what has come down the ladder on its way to one queue gets there."""
    return Binding(source=DELIVERY, target=queue, key=f"{_ANY_BITS}{key_to_queue(queue)}")


def ladder_ends_of_celery(leads: Iterable[topology.Binding]) -> Iterator[Binding]:
    """Yield how a queue gets what Celery has sent up the ladder: with the key by which its exchange leads there.

    Celery does so for exchanges of topics and for everybody, where it knows of a quorum queue. Of several bindings that
    lead to a queue it has a message once.
    """
    for lead in leads:
        if lead.kind == topology.TOPIC:
            yield Binding(source=DELIVERY, target=lead.queue, key=f"{_ANY_BITS}{lead.routing_key}")
        elif lead.kind == topology.FANOUT:
            yield Binding(source=DELIVERY, target=lead.exchange, key=f"{_ANY_BITS}{lead.routing_key}", to_exchange=True)


def up_the_ladder(seconds: int, key: str) -> tuple[str, str]:
    """Return the exchange and the routing key that hold a message for so many seconds, at least 1.

    Raises:
        ValueError: it is longer than the ladder.
    """
    if not 0 < seconds <= LONGEST_DELAY:
        raise ValueError(f"a delay must be from 1 to {LONGEST_DELAY} s, got {seconds}")
    return f"celery_delayed_{LEVELS - 1}", f"{'.'.join(f'{seconds:0{LEVELS}b}')}.{key}"


def sent_to(exchange: str, key: str, queue: str) -> dict[str, str] | None:
    """Return the exchange and the routing key with which a message was sent; None: straight to its queue.

    Args:
        exchange, key: with which RabbitMQ has delivered it from the queue.
    """
    if exchange == DELIVERY:
        key = without_ladder(key)
        return None if key == key_to_queue(queue) else {"exchange": exchange, "routing_key": key}
    return {"exchange": exchange, "routing_key": key} if exchange else None


def is_astray(exchange: str, key: str, queue: str) -> bool:
    """Say whether a message has come down the ladder on its way to another queue.

    That is the copy of a queue that is bound to its end by ``#`` alone.
    """
    if exchange != DELIVERY or not key.endswith(_TO_QUEUE):
        return False
    return without_ladder(key) != key_to_queue(queue)


def without_ladder(key: str) -> str:
    """Return the routing key that a message had before it went up the ladder."""
    found = _BITS.match(key)
    return key[found.end() :] if found else key
