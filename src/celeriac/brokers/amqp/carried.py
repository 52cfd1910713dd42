"""A message as RabbitMQ carries it: a table of headers, properties and a body, and where it goes. Pure.

What only we need to know of a message travels in headers of ours, whose names begin with ``x-celeriac-``: how often a
child or a node died under it, how often nobody knew its task. Each begins with the attempt that it is about, because
Celery's workers copy what they do not know into the message of the next attempt. Every publishing of what was published
before goes through `carry`, which leaves out what RabbitMQ has noted about it: noticing that note, it would drop the
message.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from celeriac.brokers.amqp.topology import Declared
from celeriac.exceptions import EncodeError
from celeriac.message import Message
from celeriac.wire.envelope import glance, spare_id
from celeriac.wire.jsontypes import dumps, loads
from celeriac.wire.properties import PERSISTENT, merge_properties, split_properties

CRASHES: Final = "x-celeriac-crashes"
NODE_LOSSES: Final = "x-celeriac-node-losses"
RELEASES: Final = "x-celeriac-releases"
COPY: Final = "x-celeriac-copy"
"""Header of a copy that stands for a message under way: which node holds that, and under which tag."""

_OF_RABBITMQ: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-opt-")
_OURS: Final = frozenset({CRASHES, NODE_LOSSES, RELEASES, COPY})
_NOT_PROPERTIES: Final = frozenset({"delivery_info", "body_encoding", "delivery_tag"})
_DEEPEST: Final = 64
_AS_IT_IS: Final = frozenset({str, int, float, bool, type(None)})


class Counts(msgspec.Struct, frozen=True, gc=False):
    """Hold what has befallen a message, as `brokers.base.Delivery` says."""

    crashes: int = 0
    node_losses: int = 0
    releases: int = 0

    @property
    def more(self) -> Counts:
        """The same, with one loss more."""
        return Counts(self.crashes, self.node_losses + 1, self.releases)


NO_COUNTS: Final = Counts()


class Carried(msgspec.Struct, frozen=True, gc=False):
    """Be a message in the terms of AMQP.

    Attributes:
        headers: the table.
        properties: by their names in AMQP, without headers.
    """

    headers: dict[str, Any]
    properties: dict[str, Any]
    body: bytes


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """Be one message on its way.

    Attributes:
        exchange, key: where it is published to.
        needs: what must be declared before.
        mandatory: it is an error when no queue takes it.
    """

    carried: Carried
    exchange: str
    key: str
    needs: tuple[Declared, ...] = ()
    mandatory: bool = True


def carry(message: Message, counts: Counts = NO_COUNTS) -> Carried:
    """Turn a message into what is published.

    Raises:
        EncodeError: its headers are no JSON object.
    """
    headers = loads(message.headers) if message.headers else {}
    if not isinstance(headers, dict):
        raise EncodeError(f"headers of message {message.task_id} are not a JSON object")
    headers = {name: value for name, value in headers.items() if not name.startswith(_OF_RABBITMQ)}
    said = ((CRASHES, counts.crashes), (NODE_LOSSES, counts.node_losses), (RELEASES, counts.releases))
    headers |= {name: [_attempt(headers), count] for name, count in said if count}
    properties = {name: value for name, value in merge_properties(message).items() if name not in _NOT_PROPERTIES}
    properties |= {"content_type": message.content_type, "content_encoding": message.content_encoding}
    return Carried(headers, properties, message.body)


def carry_copy(message: Message, counts: Counts, *, token: str, tag: int) -> Carried:
    """Turn a message under way into a copy that stands for it: it must outlast all that would end it meanwhile.

    Args:
        counts: what is to be known of it when it is all that is left.
        token, tag: the node that holds the message, and the tag of its delivery there.
    """
    carried = carry(message, counts)
    properties = {name: value for name, value in carried.properties.items() if name != "expiration"}
    properties["delivery_mode"] = PERSISTENT
    return Carried({**carried.headers, COPY: [_attempt(carried.headers), token, tag]}, properties, carried.body)


def read_copy(headers: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return the node that has made a copy, and the tag there of what it stands for; None: it is no copy."""
    match headers.get(COPY):
        case [attempt, str(token), int(tag)] if attempt == _attempt(headers):
            return token, tag
    return None


def _attempt(headers: Mapping[str, Any]) -> int:
    retries = headers.get("retries")
    return retries if isinstance(retries, int) else 0


def read_counts(headers: Mapping[str, Any]) -> Counts:
    """Return what headers say has befallen this attempt; nonsense counts as nothing."""
    return Counts(*(_count(headers, name) for name in (CRASHES, NODE_LOSSES, RELEASES)))


def _count(headers: Mapping[str, Any], name: str) -> int:
    said = headers.get(name)
    if said is None:  # nearly always
        return 0
    match said:
        case [attempt, int(count)] if attempt == _attempt(headers) and count > 0:
            return int(count)
    return 0


def read_carried(carried: Carried, *, queue: str, sent_to: Mapping[str, str] | None = None) -> Message:
    """Read what was delivered from a queue. What its headers say is not judged here.

    Args:
        sent_to: exchange and routing key with which it was sent, unless that was straight to the queue.

    Raises:
        EncodeError: a header has a value that JSON cannot hold.
    """
    headers = dumps(
        {name: plain(value) for name, value in carried.headers.items() if name not in _OURS}, name="headers"
    )
    properties = dict(carried.properties)
    if sent_to is not None:
        properties["delivery_info"] = dict(sent_to)
    task_id, eta_at = glance(headers, carried.body)
    task_id = task_id or spare_id(properties)
    content_type, content_encoding = properties.pop("content_type", None), properties.pop("content_encoding", None)
    return Message(
        task_id=task_id,
        queue=queue,
        headers=headers,
        body=carried.body,
        priority=_number(properties.get("priority")),
        eta_at=eta_at,
        content_type=str(content_type or ""),
        content_encoding=str(content_encoding or "utf-8"),
        properties=split_properties(
            {name: plain(value) for name, value in properties.items()}, task_id=task_id, queue=queue
        ),
    )


def _number(value: Any) -> int:
    return min(max(value, 0), 255) if isinstance(value, int) else 0


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value of a header as JSON has it: AMQP knows bytes, decimals and times besides."""
    if type(value) in _AS_IT_IS:
        return value
    if depth > _DEEPEST:
        raise EncodeError(f"a header is nested deeper than {_DEEPEST} levels")
    match value:
        case bytes() | bytearray() | memoryview():
            return bytes(value).decode(errors="replace")
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat()
        case dict():
            return {str(plain(name)): plain(each, depth + 1) for name, each in value.items()}
        case list() | tuple():
            return [plain(each, depth + 1) for each in value]
    return value
