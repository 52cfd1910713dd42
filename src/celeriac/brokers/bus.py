"""What the bus is: the second port of a broker's technology, for control commands, their replies and events.

A *broker* keeps messages and must not lose them. The *bus* says things to whoever listens at that moment: it may lose
them, and must never hold anybody up. It has two sides. Programs use the `Bus`: blocking calls, from any thread, each
with a deadline. Who lives in an event loop uses a `Station` that `Bus.station` makes. `celeriac.testing.buses` says
what every method must do, as a suite that each adapter passes.

A `Notice` that is *broadcast* reaches every listener who has subscribed to its exchange and routing key, and nobody who
subscribes later. A *reply* reaches the one inbox whose address it bears, if that is open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import msgspec

from celeriac.brokers.base import MESSAGE_MAX_BYTES
from celeriac.brokers.mailbox import MAILBOX, Mailbox
from celeriac.brokers.subscription import KEEP, Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import MessageTooLarge
from celeriac.wire.notices import Notice

REPLY_EXPIRES: Final = 300.0
"""Seconds for which an inbox whose asker has gone silent, and what is in it, are kept."""


class BusCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Say how far a bus reaches, so that callers ask instead of guessing.

    Attributes:
        crosses_processes: other processes hear what is said.
        crosses_machines: other machines do, too.
        reaches_celery: Celery's own workers, clients and monitors take part.
        has_mailboxes: each listener has a queue of its own, which is kept as its `Mailbox` says.
    """

    crosses_processes: bool
    crosses_machines: bool
    reaches_celery: bool
    has_mailboxes: bool = False


class Bus(ABC):
    """Say things to listeners, and ask them. The blocking side; safe to use from any thread, and after a fork."""

    capabilities: BusCapabilities

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the bus is, for people: without a password."""

    @abstractmethod
    def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        """Say things to all who listen now, in this order. Nobody may be listening.

        Args:
            notices: each at most `MESSAGE_MAX_BYTES`.
            deadline_at: monotonic instant by which the call has ended.

        Raises:
            BrokerUnavailable: they could not be said by then; some may have been.
            MessageTooLarge: one of them is over the limit; nothing was said.
        """

    @abstractmethod
    def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        """Put answers into the inboxes that their exchanges and routing keys name; drop those whose inbox has gone.

        Raises as `broadcast` does.
        """

    @abstractmethod
    def inbox(
        self, exchange: str, *, deadline_at: float, expires: float = REPLY_EXPIRES, mailbox: Mailbox = MAILBOX
    ) -> Inbox:
        """Open an inbox of the caller's own, before it asks.

        Args:
            exchange: the conversation in which answers are given, such as ``reply.celery.pidbox``.
            deadline_at: monotonic instant by which the call has ended.
            expires: seconds after which it is forgotten when its asker has died: neither closed it nor collected.
            mailbox: how its queue is kept, where there is one; its `expires` counts if it is less.

        Raises:
            BrokerUnavailable: it is not open by then.
        """

    @abstractmethod
    def station(self) -> Station:
        """Make the side for an event loop, without connecting it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. May be called twice; a later call of another method connects again."""


class Inbox(ABC):
    """Receive answers. It belongs to whoever has asked; used from one thread at a time.

    An asker in an event loop calls `collect` in a thread (`asyncio.to_thread`).

    Attributes:
        exchange: with `routing_key`, the address that answers must bear.
        routing_key: an id that nobody else has.
    """

    exchange: str
    routing_key: str

    @abstractmethod
    def collect(self, *, deadline_at: float) -> list[Notice]:
        """Return the answers that have come, in their order; wait while there is none.

        Returns:
            Nothing when none has come by `deadline_at`, a monotonic instant.

        Raises:
            BrokerUnavailable: there is no connection, and none can be made by then.
        """

    @abstractmethod
    def close(self) -> None:
        """Drop what is in it and what comes later. May be called twice; what cannot be reached expires by itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Station(ABC):
    """Say things, and listen, in one event loop. What is said and heard is as for the `Bus` that made it."""

    @abstractmethod
    async def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        """Say things to all who listen now, as `Bus.broadcast` does."""

    @abstractmethod
    async def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        """Put answers into inboxes, as `Bus.reply` does."""

    @abstractmethod
    async def subscribe(
        self, topics: Sequence[Topic], *, deadline_at: float, keep: int = KEEP, mailbox: Mailbox = MAILBOX
    ) -> Subscription:
        """Begin to listen. What is said after this has returned is heard.

        Args:
            topics: what to hear; what several of them include comes once.
            deadline_at: monotonic instant by which the call has ended.
            keep: notices that may wait to be fetched; the oldest make room for newer ones.
            mailbox: how its queue is kept, where there is one.

        Raises:
            BrokerUnavailable: it could not begin by then.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the subscriptions and let go of connections. May be called twice."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def check_sizes(notices: Sequence[Notice]) -> None:
    """Refuse what is too large to be said.

    Raises:
        MessageTooLarge: one of them is over `MESSAGE_MAX_BYTES`; the text names it.
    """
    for notice in notices:
        if notice.size_bytes > MESSAGE_MAX_BYTES:
            raise MessageTooLarge(
                f"a notice to {notice.exchange!r} (routing key {notice.routing_key!r}) has {notice.size_bytes} bytes, "
                f"over the limit of {MESSAGE_MAX_BYTES}; say less at once"
            )
