"""Blocking connections to RabbitMQ, each made within one absolute deadline."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from celeriac.brokers.amqp.deadlines import ending_at
from celeriac.brokers.amqp.failures import LOST, amqp, driver, ended_by, refusal, transport, unanswered, unreachable
from celeriac.brokers.amqp.frames import Answers, Delivered, Deliveries, Got
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace, Endpoint
from celeriac.brokers.amqp.topology import Binding, Declared, Exchange
from celeriac.brokers.resolving import resolve
from celeriac.exceptions import BrokerUnavailable


class Encrypted(transport.SSLTransport):  # type: ignore[misc]  # the driver tells no types
    """Encrypt as a context of TLS says; the driver takes none, but what one is made of."""

    def __init__(self, host: str, context: ssl.SSLContext, hostname: str, **options: Any) -> None:
        super().__init__(host, **options)
        self._context = context
        self._hostname = hostname

    def _wrap_socket(self, sock: socket.socket, **options: Any) -> ssl.SSLSocket:
        return self._context.wrap_socket(sock, server_hostname=self._hostname, do_handshake_on_connect=False)


class Connection(amqp.Connection):  # type: ignore[misc]  # likewise
    """Connect as the driver does; know, too, why the server takes no messages, and how the connection is encrypted.

    What is consumed or fetched can be had past the driver, which raises on headers that it cannot read.
    """

    on_inbound_frame: Any  # the driver's property

    _METHODS: Final = {
        **amqp.Connection._METHODS,
        amqp.spec.Connection.Blocked: amqp.spec.method(amqp.spec.Connection.Blocked, "s"),
    }

    def __init__(self, tls: tuple[ssl.SSLContext, str] | None, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls
        self._heard: dict[int, Deliveries | Answers] | None = None

    def Transport(self, host: str, connect_timeout: float, *_: Any, **options: Any) -> Any:  # noqa: N802 - the driver's
        if self._tls is None:
            return super().Transport(host, connect_timeout, **options)
        context, hostname = self._tls
        return Encrypted(host, context, hostname, connect_timeout=connect_timeout, **options)

    def _on_blocked(self, reason: str = "") -> None:
        if self.on_blocked:
            self.on_blocked(reason)

    def watch(self, channel: int, deliver: Callable[[Delivered], None]) -> None:
        """Hand over, whenever events are drained, what is delivered on a channel, whatever its headers are.

        It is to end with the channel on a connection that goes on: the next channel may have its number.
        """
        self._past_the_driver()[channel] = Deliveries(deliver)

    def watch_no_more(self, channel: int) -> None:
        """Leave to the driver what comes on a channel. May be called twice."""
        self._past_the_driver().pop(channel, None)

    def get(self, channel: Any, queue: str, *, keep: bool) -> Got | None:
        """Return the next message of a queue, whatever its headers are, or None when the queue is empty.

        Args:
            channel: of this connection, on which nothing is consumed.
            keep: it is the channel's until it is acknowledged or the channel ends; else it is deleted.

        Raises:
            Refused: there is no such queue, or it is another's.
        """
        answers: list[Got | None] = []
        heard = self._past_the_driver()
        heard[channel.channel_id] = Answers(answers.append)
        try:
            channel.send_method(amqp.spec.Basic.Get, "Bsb", (0, queue, not keep))
            while not answers:
                self.drain_events()
        finally:
            self.watch_no_more(channel.channel_id)
        return answers[0]

    def _past_the_driver(self) -> dict[int, Deliveries | Answers]:
        """Return what takes frames of channels before the driver sees them."""
        if self._heard is not None:
            return self._heard
        heard = self._heard = {}
        pass_on = self.on_inbound_frame

        def take(frame: tuple[int, int, bytes]) -> bool:
            kind, number, payload = frame
            mine = heard.get(number)
            if mine is not None and mine.take(kind, payload, 0, len(payload)):
                return True
            return bool(pass_on(frame))

        self.on_inbound_frame = take
        return heard


def connect(place: AmqpPlace, options: AmqpOptions, *, deadline_at: float, first: int = 0) -> tuple[Any, int]:
    """Connect to the first endpoint that takes us.

    Args:
        deadline_at: monotonic instant.
        first: number of the endpoint to begin with.

    Returns:
        A connection of py-amqp, logged in, and the number of its endpoint.

    Raises:
        BrokerUnavailable: none could be reached; the text has the last reason.
    """
    count = len(place.endpoints)
    last: BrokerUnavailable | None = None
    for number in range(first, first + count):
        endpoint = place.endpoints[number % count]
        left = deadline_at - time.monotonic()
        share = left / (first + count - number)
        until = time.monotonic() + min(share, options.connect_timeout or share)
        try:
            return _connect(endpoint, place, options, until), number % count
        except BrokerUnavailable as error:
            last = error
    assert last is not None
    raise last


def listen(
    place: AmqpPlace,
    options: AmqpOptions,
    needs: Iterable[Declared],
    queue: str,
    receive: Callable[[Delivered], None],
    doing: str,
    *,
    deadline_at: float,
    priority: int = 0,
) -> Any:
    """Connect, and have all that comes into a queue be handed over, which counts as acknowledged.

    Args:
        needs: what is declared before, the queue, too.
        receive: called by whoever reads from the connection.
        doing: what this is for, as errors say it.
        deadline_at: monotonic instant.
        priority: of this consumer among those of the queue.

    Returns:
        A connection of py-amqp.

    Raises:
        BrokerUnavailable: that was not done by the deadline.
        OperationalError: the server does not let this user do it.
    """
    started_at = time.monotonic()
    connection, _ = connect(place, options, deadline_at=deadline_at)
    try:
        with ending_at(deadline_at, lambda: socket_of(connection)):
            channel = connection.channel()
            for need in needs:
                declare(channel, need)
            connection.watch(channel.channel_id, receive)
            channel.basic_consume(queue, no_ack=True, arguments={"x-priority": priority})
    except driver.AccessRefused as error:
        connection.collect()
        raise refusal(error, place.address, doing) from error
    except (*LOST, driver.AMQPError) as error:
        connection.collect()
        told, took = ended_by(error, deadline_at), time.monotonic() - started_at
        raise unanswered(told, place.address, doing, took, sent=False) from error
    return connection


def _connect(endpoint: Endpoint, place: AmqpPlace, options: AmqpOptions, deadline_at: float) -> Any:
    started_at = time.monotonic()
    try:
        addresses = resolve(endpoint.host, endpoint.port, deadline_at)
        last: BaseException | None = None
        for _, address in addresses:
            left = deadline_at - time.monotonic()
            if left <= 0:
                raise TimeoutError("the deadline has passed")
            try:
                return _log_in(address[0], endpoint, place, options, deadline_at, left)
            except OSError as error:
                last = error
        raise last or OSError("no address")
    except (*LOST, driver.AMQPError) as error:
        took = time.monotonic() - started_at
        raise unreachable(ended_by(error, deadline_at), endpoint.address, took) from error


def _log_in(
    address: str, endpoint: Endpoint, place: AmqpPlace, options: AmqpOptions, deadline_at: float, left: float
) -> Any:
    host = f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"
    tls = None if options.tls is None else (options.tls, options.tls_hostname or endpoint.host)
    connection = Connection(
        tls,
        host=host,
        userid=endpoint.username,
        password=endpoint.password,
        login_method=options.login_method or "PLAIN",
        virtual_host=place.virtual_host,
        connect_timeout=left,
        client_properties={"product": "celeriac", **dict(options.client_properties)},
        socket_settings=dict(options.socket_settings) or None,
    )
    with ending_at(deadline_at, lambda: socket_of(connection)):
        connection.connect()
    return connection


def socket_of(connection: Any) -> socket.socket | None:
    """Return the socket of a connection, or None while or when it has none."""
    return getattr(getattr(connection, "_transport", None), "sock", None)


def declare(channel: Any, what: Declared) -> None:
    """Declare one thing on a channel; it is no error that it is there, if it is the same."""
    match what:
        case Exchange():
            channel.exchange_declare(
                what.name, what.type, durable=what.durable, auto_delete=what.auto_delete, arguments=dict(what.arguments)
            )
        case Binding():
            if what.to_exchange:
                channel.exchange_bind(what.target, what.source, what.key)
            elif what.source:
                channel.queue_bind(what.target, what.source, what.key, arguments=dict(what.arguments))
        case _:
            channel.queue_declare(
                what.name,
                durable=what.durable,
                exclusive=what.exclusive,
                auto_delete=what.auto_delete,
                arguments=dict(what.arguments),
            )
