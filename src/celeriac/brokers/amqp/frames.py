"""Frames of AMQP 0-9-1, as far as messages and acknowledgements are made of them. Pure.

Everything else on a connection is a driver's. What comes and goes by the thousand is read and written here: the driver
of workers takes an event loop's turns for it, three per frame, and a task per message; that of callers a system call
per message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from celeriac.brokers.amqp.carried import Carried, Outgoing
from celeriac.brokers.amqp.tables import read_properties, read_short_text, short_text, write_properties
from celeriac.exceptions import EncodeError

HEAD_BYTES: Final = 7
"""Type, channel and length, before a frame's payload."""

TAIL_BYTES: Final = 1
"""What each frame ends with."""

HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3

_head: Final = struct.Struct(">BHI").unpack_from
_long: Final = struct.Struct(">I").unpack_from
_longlong: Final = struct.Struct(">Q").unpack_from
_pack_head: Final = struct.Struct(">BHI").pack
_pack_content: Final = struct.Struct(">HHQ").pack
_pack_ack: Final = struct.Struct(">BHIHHQBB").pack
_pack_nack: Final = struct.Struct(">BHIHHQBB").pack

_DELIVER: Final = b"\x00\x3c\x00\x3c"
_GET_OK: Final = b"\x00\x3c\x00\x47"
_GET_EMPTY: Final = b"\x00\x3c\x00\x48"
_TO_NO_CONSUMER: Final = _DELIVER + b"\x00"
_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00"
_BITS: Final = {False: b"\x00", True: b"\x01"}  # mandatory
_BASIC: Final = 60
_ACK: Final = 80
_NACK: Final = 120
_OF_ACK: Final = 13
_MULTIPLE: Final = 1
_REQUEUE: Final = 2
_END: Final = 0xCE


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """Be one message as it came.

    Attributes:
        consumer: tag of the consumer that it came to.
        tag: by which it is acknowledged on its channel.
        raw: its properties as they were written.
    """

    consumer: str
    tag: int
    redelivered: bool
    exchange: str
    key: str
    carried: Carried
    raw: bytes


class Deliveries:
    """Put the frames of one channel's deliveries together.

    Args:
        deliver: is given each message as soon as its last frame is here.
    """

    def __init__(self, deliver: Callable[[Delivered], None]) -> None:
        self._deliver = deliver
        self._method: tuple[str, int, bool, str, str] | None = None
        self._properties = b""
        self._missing = 0
        self._body: list[bytes] = []

    def take(self, kind: int, data: bytes, at: int, end: int) -> bool:
        """Take a frame of the channel whose payload is ``data[at:end]``; say whether it belongs to a delivery."""
        if kind == METHOD:
            if not data.startswith(_DELIVER, at):
                return False
            self._method = _read_deliver(data, at + 4)
            self._body = []
            return True
        if self._method is None:
            return False
        if kind == HEADER:
            (self._missing,) = _longlong(data, at + 4)
            self._properties = data[at + 12 : end]
        else:
            self._body.append(data[at:end])
            self._missing -= end - at
        if self._missing <= 0:
            method, self._method = self._method, None
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            raw = self._properties
            self._deliver(Delivered(*method, read_properties(raw, body), raw))
        return True


class Got(msgspec.Struct, frozen=True, gc=False):
    """Be one message that was fetched.

    Attributes:
        left: how many messages its queue has besides.
    """

    message: Delivered
    left: int


class Answers:
    """Put the answers to `basic.get` on one channel together.

    Args:
        answer: is given each as soon as its last frame is here; None: the queue is empty.
    """

    def __init__(self, answer: Callable[[Got | None], None]) -> None:
        self._answer = answer
        self._left = 0
        self._deliveries = Deliveries(self._come)

    def take(self, kind: int, data: bytes, at: int, end: int) -> bool:
        """Take a frame of the channel whose payload is ``data[at:end]``; say whether it belongs to an answer."""
        if kind == METHOD:
            if data.startswith(_GET_EMPTY, at):
                self._answer(None)
                return True
            if not data.startswith(_GET_OK, at):
                return False
            (self._left,) = _long(data, end - 4)
            data, at = _TO_NO_CONSUMER + data[at + 4 : end], 0  # the rest is said as of a delivery
        return self._deliveries.take(kind, data, at, end)

    def _come(self, message: Delivered) -> None:
        self._answer(Got(message, self._left))


def frame_at(data: bytes, at: int) -> tuple[int, int, int]:
    """Return type and channel of the frame that begins here, and where it ends."""
    kind, channel, length = _head(data, at)
    return kind, channel, at + HEAD_BYTES + length + TAIL_BYTES


def acks(channel: int, tags: Iterable[int], *, upto: int | None) -> bytes:
    """Write acknowledgements.

    Args:
        upto: acknowledge all up to this tag, too.
    """
    together = [] if upto is None else [_pack_ack(METHOD, channel, _OF_ACK, _BASIC, _ACK, upto, _MULTIPLE, _END)]
    return b"".join([*together, *(_pack_ack(METHOD, channel, _OF_ACK, _BASIC, _ACK, tag, 0, _END) for tag in tags)])


def give_backs(channel: int, tags: Iterable[int]) -> bytes:
    """Write that messages go back to where they were in their queues."""
    return b"".join(_pack_nack(METHOD, channel, _OF_ACK, _BASIC, _NACK, tag, _REQUEUE, _END) for tag in tags)


def publishing(channel: int, outgoing: Outgoing, *, frame_max: int) -> bytes:
    """Write all frames by which a message is published.

    Args:
        frame_max: bytes of the longest frame that the server takes.

    Raises:
        EncodeError: it has a property or a header that AMQP cannot carry.
    """
    carried = outgoing.carried
    body = carried.body
    try:
        exchange, key = short_text(outgoing.exchange), short_text(outgoing.key)
    except ValueError as error:
        raise EncodeError(f"a name of an exchange, a queue or a routing key is too long: {error}") from error
    method = b"%b%b%b%b" % (_PUBLISH, exchange, key, _BITS[outgoing.mandatory])
    content = _pack_content(_BASIC, 0, len(body)) + write_properties(carried)
    if HEAD_BYTES + len(content) + TAIL_BYTES > frame_max:
        raise EncodeError(
            f"the headers of a message are {len(content)} bytes, and this RabbitMQ takes {frame_max} at most"
        )
    longest = frame_max - HEAD_BYTES - TAIL_BYTES
    pieces = [body] if 0 < len(body) <= longest else [body[at : at + longest] for at in range(0, len(body), longest)]
    parts = [_framed(METHOD, channel, method), _framed(HEADER, channel, content)]
    return b"".join([*parts, *(_framed(BODY, channel, piece) for piece in pieces)])


def _framed(kind: int, channel: int, payload: bytes) -> bytes:
    return b"%b%b\xce" % (_pack_head(kind, channel, len(payload)), payload)


def _read_deliver(data: bytes, at: int) -> tuple[str, int, bool, str, str]:
    consumer, at = read_short_text(data, at)
    (tag,) = _longlong(data, at)
    redelivered = bool(data[at + 8] & 1)
    exchange, at = read_short_text(data, at + 9)
    key, at = read_short_text(data, at)
    return consumer, tag, redelivered, exchange, key
