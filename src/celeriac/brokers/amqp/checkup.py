"""What a RabbitMQ server is, and whether it takes messages; how queues are declared, and what should be otherwise.

Any client may ask for that. What only the server's management plugin tells is in `management.py`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from celeriac.brokers import topology
from celeriac.brokers.amqp.carried import Carried, Outgoing
from celeriac.brokers.amqp.dialing import declare
from celeriac.brokers.amqp.failures import Blocked, Refused, refusal
from celeriac.brokers.amqp.publisher import Publisher, ask_until
from celeriac.brokers.amqp.routes import Routes
from celeriac.brokers.amqp.topology import Exchange, Queue
from celeriac.brokers.base import Checkup, Concern
from celeriac.ids import new_id
from celeriac.wire.properties import PERSISTENT

OLDEST_SERVER: Final = (3, 10)
"""The first version with all that is declared and used."""

HOW_TO_SEE_THE_TIMEOUT: Final = "rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'"

_PROBE_WITHIN: Final = 1.0


class QueueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Say what is known of one queue.

    Attributes:
        declared: as it is declared here.
        is_there: there is a queue of that name.
        ready, consumers: what it has.
        otherwise: how it differs from what is declared, in a sentence; None: it does not.
        exchanges: what leads to it.
        transient: its exchange has messages sent that end with the server.
    """

    declared: Queue
    is_there: bool
    ready: int = 0
    consumers: int = 0
    otherwise: str | None = None
    exchanges: tuple[Exchange, ...] = ()
    transient: bool = False


def checkup_of_server(told: Mapping[str, Any], blocked: str | None, where: str) -> Checkup:
    """Judge a server by what it tells every client.

    Args:
        told: the properties of the server.
        blocked: why it takes no messages now; None: it does.
    """
    version = str(told.get("version") or "")
    product = str(told.get("product") or "a server of AMQP")
    concerns = []
    if product == "RabbitMQ" and _numbers(version) < OLDEST_SERVER:
        needed = ".".join(map(str, OLDEST_SERVER))
        concerns.append(
            Concern(f"version {version} is older than {needed}", f"delays need {needed} or newer: upgrade the server")
        )
    if blocked is not None:
        concerns.append(
            Concern(
                f"it takes no messages now: {blocked}",
                f"free memory or disk on the machine of {where}, or raise its limits: `rabbitmqctl status` shows both",
            )
        )
    platform = f", {told['platform']}" if told.get("platform") else ""
    described = (
        f"{product} {version}{platform}; a run may be longer than its consumer_timeout, which it tells no client "
        f"(30 minutes unless changed): {HOW_TO_SEE_THE_TIMEOUT}"
    )
    return Checkup("rabbitmq", described, tuple(concerns))


def checkup_of_queue(facts: QueueFacts) -> Checkup:
    """Judge a queue."""
    queue = facts.declared
    arguments = dict(queue.arguments)
    kind = str(arguments.pop("x-queue-type", "classic"))
    traits = [kind, "durable" if queue.durable else "transient"]
    traits += [name for name in ("exclusive", "auto_delete") if getattr(queue, name)]
    traits += [f"{name} = {value!r}" for name, value in arguments.items()]
    held = f"{facts.ready:,} ready, {facts.consumers} consumers" if facts.is_there else "not there yet"
    concerns = []
    if facts.otherwise is not None:
        concerns.append(Concern(f"{queue.name} is not as it is declared here", facts.otherwise))
    if not queue.durable and not (queue.exclusive or queue.auto_delete):
        concerns.append(
            Concern(
                f"{queue.name} is transient: it ends with the server, and its messages with it",
                "declare it with durable=True, as RabbitMQ 4.3 wants it; a queue that is there must be deleted before",
            )
        )
    if facts.transient:
        concerns.append(
            Concern(
                f"messages to {queue.name} are transient (delivery_mode 1): they end with the server",
                "leave delivery_mode out, or make it 2",
            )
        )
    concerns += [
        Concern(f"exchange {one.name} is transient: after a restart nothing leads to {queue.name}", "make it durable")
        for one in facts.exchanges
        if not one.durable and queue.durable
    ]
    return Checkup("queue", f"{queue.name}: {', '.join(traits)}; {held}", tuple(concerns))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


class Examination:
    """Ask one server."""

    def __init__(self, publisher: Publisher, routes: Routes) -> None:
        self._publisher = publisher
        self._routes = routes

    def server(self) -> Checkup:
        """Ask what it is, and whether it takes a message.

        Raises:
            BrokerUnavailable: it cannot be asked.
        """
        told = self._publisher.call(
            lambda channel: dict(channel.connection.server_properties), "asking", deadline_at=ask_until()
        )
        return checkup_of_server(told, self._why_blocked(), self._publisher.place.address)

    def _why_blocked(self) -> str | None:
        """Publish what nobody gets: a server that is short of something answers nothing, and says why."""
        probe = Carried({}, {"delivery_mode": PERSISTENT}, b"")
        outgoing = [Outgoing(probe, "", f"celeriac.probe.{new_id()}", mandatory=False)]
        try:
            self._publisher.publish(outgoing, deadline_at=time.monotonic() + _PROBE_WITHIN)
        except Blocked as blocked:
            return blocked.reason
        return None

    def queues(self, names: Iterable[str]) -> list[Checkup]:
        """Ask for queues, and whether they are what is declared here."""
        names = list(names)
        found = self._publisher.call(
            lambda channel: [self._facts(channel.connection, name) for name in names], "asking", deadline_at=ask_until()
        )
        return [checkup_of_queue(one) for one in found]

    def _facts(self, connection: Any, name: str) -> QueueFacts:
        needs = self._routes.needs_of(name)
        declared = next((need for need in needs if isinstance(need, Queue)), Queue(name=name))
        exchanges = tuple(need for need in needs if isinstance(need, Exchange))
        transient = _is_transient(self._routes.declared.queue(name))
        try:
            with connection.channel() as channel:
                told = channel.queue_declare(name, passive=True)
        except Refused:
            return QueueFacts(declared=declared, is_there=False, exchanges=exchanges, transient=transient)
        return QueueFacts(
            declared=declared,
            is_there=True,
            ready=told.message_count,
            consumers=told.consumer_count,
            otherwise=self._otherwise(connection, declared),
            exchanges=exchanges,
            transient=transient,
        )

    def _otherwise(self, connection: Any, queue: Queue) -> str | None:
        channel = connection.channel()
        try:
            declare(channel, queue)
        except Refused as error:
            return str(refusal(error, self._publisher.place.address, f"declaring {queue.name}"))
        with contextlib.suppress(Refused):
            channel.close()
        return None


def _is_transient(queue: topology.Queue | None) -> bool:
    return queue is not None and queue.exchange is not None and queue.exchange.delivery_mode == 1
