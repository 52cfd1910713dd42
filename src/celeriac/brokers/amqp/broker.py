"""The producer's side of the broker on RabbitMQ, and what people do with queues and dead letters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.brokers.amqp.bus import AmqpBus
from celeriac.brokers.amqp.dead_letters import DeadLetters
from celeriac.brokers.amqp.failures import Refused
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace
from celeriac.brokers.amqp.publisher import Publisher, ask_until
from celeriac.brokers.amqp.revoked import RevokedOnRabbitMQ
from celeriac.brokers.amqp.routes import Routes
from celeriac.brokers.base import (
    DEAD_LETTER_EXPIRES,
    DEAD_LETTER_MAX,
    MESSAGE_MAX_BYTES,
    Broker,
    Capabilities,
    Checkup,
    Conflict,
    Consumer,
    DeadLetter,
    Incarnation,
    QueueDepth,
)
from celeriac.brokers.revocations import FEED_MAX, REVOCATIONS_MAX, Feed, Revocation
from celeriac.brokers.topology import Binding, Queue
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Message

if TYPE_CHECKING:
    from celeriac.brokers.amqp.administration import Administration
    from celeriac.brokers.amqp.checkup import Examination


class AmqpBroker(Broker):
    """Keep messages in one virtual host of RabbitMQ.

    Args:
        place: where.
        options: how connections are made, and queues are declared.
        queues: names that are looked at where nobody names any: a server does not tell which there are.
        dead_letter_max: dead letters kept.
        dead_letter_expires: seconds for which they are kept.
        message_max_bytes: larger messages are not handed to workers.
        revocations_max: ids that are known here as revoked.
        clock: tells what is due; the server has none to ask.
    """

    capabilities = Capabilities(crosses_processes=True, survives_restart=True, has_server=True, keeps_limits=False)

    def __init__(
        self,
        place: AmqpPlace,
        options: AmqpOptions | None = None,
        *,
        queues: Sequence[str] = (),
        dead_letter_max: int = DEAD_LETTER_MAX,
        dead_letter_expires: float = DEAD_LETTER_EXPIRES,
        message_max_bytes: int = MESSAGE_MAX_BYTES,
        revocations_max: int = REVOCATIONS_MAX,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.place = place
        self.options = options if options is not None else AmqpOptions()
        self.message_max_bytes = message_max_bytes
        self.clock = clock
        self._publisher = Publisher(place, self.options)
        self._routes = Routes(self.options)
        self._letters = DeadLetters(self._publisher, self._routes, keep=dead_letter_max, expires=dead_letter_expires)
        self._revoked = RevokedOnRabbitMQ(self._publisher, keep=revocations_max, clock=clock)
        self._queues = dict.fromkeys(queues)

    @property
    def url(self) -> str:
        return self.place.url

    def open(self, *, deadline_at: float) -> None:
        self._publisher.declare((), deadline_at=deadline_at)

    def check_up(self) -> Checkup:
        return self._examination().server()

    def examine(self) -> list[Checkup]:
        from celeriac.brokers.amqp.management import Management

        queues = self._examination().queues(sorted({*self._queues, *self._routes.declared.names()}))
        return [*queues, Management(self.place, self.options).checkup()]

    def _examination(self) -> Examination:
        from celeriac.brokers.amqp.checkup import Examination

        return Examination(self._publisher, self._routes)

    def close(self) -> None:
        self._publisher.close()

    def publish(self, messages: Sequence[Message], *, deadline_at: float) -> Sequence[Conflict]:
        if not messages:
            return []
        now = self.clock.now()
        for message in messages:
            if message.unique is not None:
                raise ImproperlyConfigured(
                    f"message {message.task_id} is unique, which needs a broker that keeps a store, and RabbitMQ has "
                    "none; use redis:// or sqlite:// for this task"
                )
        self._queues |= dict.fromkeys(message.queue for message in messages if message.route is None)
        self._publisher.publish(
            [self._routes.outgoing(message, now=now) for message in messages], deadline_at=deadline_at
        )
        return []

    def declare(self, queues: Iterable[Queue]) -> None:
        self._routes.declare(queues)

    def bindings(self, exchange: str, *, deadline_at: float) -> list[Binding]:
        """Return what this process has declared: a server does not tell strangers what leads where."""
        return self._routes.declared.behind(exchange)

    def depths(self, queues: Collection[str] | None = None) -> list[QueueDepth]:
        """Count what waits: the server does not tell a stranger how many are claimed or on the ladder."""
        names = sorted(self._queues if queues is None else queues)
        dead: dict[str, int] = {}
        if self._letters.count():
            for letter in self._letters.listed(limit=10_000):
                dead[letter.queue] = dead.get(letter.queue, 0) + 1
        names = sorted({*names, *(dead if queues is None else ())})
        ready = self._publisher.call(lambda channel: _ready(channel, names), "counting", deadline_at=ask_until())
        found = [QueueDepth(queue=name, ready=ready[name], dead=dead.get(name, 0)) for name in names]
        return found if queues is not None else [one for one in found if one.ready or one.dead]

    def purge(self, queue: str) -> int:
        def purge(channel: Any) -> int:
            return int(channel.queue_purge(queue) or 0)

        self._publisher.declare(self._routes.needs_of(queue), deadline_at=ask_until())
        return self._publisher.call(purge, f"purging {queue}", deadline_at=ask_until())

    def dead_letters(self, *, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        return self._letters.listed(queue=queue, limit=limit)

    def dead_letter(self, number: int) -> DeadLetter | None:
        return self._letters.get(number)

    def replay(self, numbers: Collection[int]) -> list[str]:
        return self._letters.replay(numbers, now=self.clock.now())

    def bury(self, letters: Collection[tuple[Message, str]], *, deadline_at: float) -> None:
        now = self.clock.now()
        outgoing = [self._letters.outgoing(message, reason, died_at=now) for message, reason in letters]
        if outgoing:
            self._publisher.publish(outgoing, deadline_at=deadline_at)

    def discard(self, numbers: Collection[int]) -> int:
        return self._letters.discard(numbers)

    def revoke(self, revocations: Sequence[Revocation], *, deadline_at: float) -> list[str]:
        return self._revoked.add(revocations, deadline_at=deadline_at)

    def revocations(self, since: int = 0, *, limit: int = FEED_MAX) -> Feed:
        return self._revoked.since(since, limit=limit)

    def revoked(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        return self._revoked.among(task_ids)

    def claimed(self, task_ids: Collection[str]) -> set[str]:
        return set(task_ids)

    def owners(self) -> list[Incarnation]:
        return []

    def clean(self) -> int:
        return 0

    def bus(self) -> AmqpBus:
        return AmqpBus(self.place, self.options, self._publisher)

    def administration(self) -> Administration:
        """Return what gives single commands to the server, for people."""
        from celeriac.brokers.amqp.administration import Administration

        return Administration(self._publisher)

    def consumer(self, incarnation: Incarnation) -> Consumer:
        from celeriac.brokers.amqp.channel import WorkerChannel
        from celeriac.brokers.amqp.consumer import AmqpConsumer

        return AmqpConsumer(
            WorkerChannel(self.place, self.options),
            self._publisher,
            self._routes,
            self._letters,
            self._revoked,
            incarnation,
            clock=self.clock,
            message_max_bytes=self.message_max_bytes,
        )


def _ready(channel: Any, queues: Sequence[str]) -> dict[str, int]:
    """Count what waits in each queue; one that is not there has nothing in it."""
    ready = dict.fromkeys(queues, 0)
    asking = channel.connection.channel()
    for queue in queues:
        try:
            ready[queue] = int(asking.queue_declare(queue, passive=True).message_count)
        except Refused:  # the server closes the channel with it
            asking = channel.connection.channel()
    asking.close()
    return ready
