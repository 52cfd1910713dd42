"""Single commands of AMQP, as people give them to a server by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from celeriac.brokers.amqp.carried import Carried, Outgoing, plain
from celeriac.brokers.amqp.frames import Got
from celeriac.brokers.amqp.publisher import Publisher, ask_until
from celeriac.brokers.amqp.tables import unread
from celeriac.exceptions import EncodeError
from celeriac.ids import new_id
from celeriac.wire.properties import PERSISTENT

T = TypeVar("T")


class Found(msgspec.Struct, frozen=True):
    """Be a message that was taken out of a queue.

    Attributes:
        headers: as JSON has them; when they cannot be read, a single one that has the bytes.
        delivery_info: with which exchange and routing key it was sent, and how many messages are left.
    """

    body: bytes
    properties: dict[str, Any]
    headers: dict[str, Any]
    delivery_info: dict[str, Any]


class Administration:
    """Give commands to one virtual host. Each waits for the answer, and raises what the server says against it.

    Raises, every method:
        BrokerUnavailable: there is no answer in time.
        OperationalError, ImproperlyConfigured: the server refuses; the text says why.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def declare_exchange(self, name: str, kind: str, *, passive: bool, durable: bool, auto_delete: bool) -> None:
        """Make an exchange, or, passive, only see whether it is there."""
        self._do(
            f"declaring exchange {name!r}",
            lambda channel: channel.exchange_declare(
                name, kind, passive=passive, durable=durable, auto_delete=auto_delete
            ),
        )

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """Delete an exchange; `if_unused`: unless something is bound to it."""
        self._do(f"deleting exchange {name!r}", lambda channel: channel.exchange_delete(name, if_unused=if_unused))

    def declare_queue(self, name: str, *, passive: bool, durable: bool, auto_delete: bool) -> tuple[str, int, int]:
        """Make a queue, or look at it; return its name, the messages that wait in it, and its consumers."""
        told = self._do(
            f"declaring queue {name!r}",
            lambda channel: channel.queue_declare(name, passive=passive, durable=durable, auto_delete=auto_delete),
        )
        return str(told.queue), int(told.message_count), int(told.consumer_count)

    def delete_queue(self, name: str, *, if_unused: bool, if_empty: bool) -> int:
        """Delete a queue, and return how many messages went with it."""
        return self._do(
            f"deleting queue {name!r}",
            lambda channel: int(channel.queue_delete(name, if_unused=if_unused, if_empty=if_empty) or 0),
        )

    def bind_queue(self, name: str, exchange: str, routing_key: str) -> None:
        """Lead from an exchange to a queue."""
        self._do(
            f"binding queue {name!r} to exchange {exchange!r}",
            lambda channel: channel.queue_bind(name, exchange, routing_key),
        )

    def purge_queue(self, name: str) -> int:
        """Delete what waits in a queue, and return how much that was."""
        return self._do(f"purging queue {name!r}", lambda channel: int(channel.queue_purge(name) or 0))

    def get(self, queue: str, *, keep: bool) -> Found | None:
        """Return the next message of a queue, or None when it is empty.

        Args:
            keep: it goes back to its place, marked as delivered before; else it is deleted.
        """

        def get(channel: Any) -> Found | None:
            with channel.connection.channel() as own:
                got = own.connection.get(own, queue, keep=keep)
                return None if got is None else _found(got)

        return self._do(f"getting a message of queue {queue!r}", get)

    def publish(self, body: str, exchange: str, routing_key: str, *, mandatory: bool) -> None:
        """Publish a text, and return when it is confirmed.

        Raises:
            Unroutable: no queue takes it, and it was to be mandatory.
        """
        properties = {"content_type": "text/plain", "delivery_mode": PERSISTENT, "correlation_id": new_id()}
        carried = Carried({}, properties, body.encode())
        outgoing = Outgoing(carried, exchange, routing_key, mandatory=mandatory)
        self._publisher.publish([outgoing], deadline_at=ask_until())

    def _do(self, doing: str, work: Callable[[Any], T]) -> T:
        return self._publisher.call(work, doing, deadline_at=ask_until())


def _found(got: Got) -> Found:
    message = got.message
    carried = message.carried
    try:
        headers = plain(carried.headers)
    except EncodeError:  # nested deeper than anybody writes
        headers = unread(message.raw)
    info = {
        "delivery_tag": message.tag,
        "redelivered": message.redelivered,
        "exchange": message.exchange,
        "routing_key": message.key,
        "message_count": got.left,
    }
    return Found(carried.body, plain(carried.properties), headers, info)
