"""A bus on Redis, in Celery's channels, binding tables and lists: its workers, clients and monitors take part."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from celeriac.brokers.bus import REPLY_EXPIRES, Bus, BusCapabilities, Inbox, Station, check_sizes
from celeriac.brokers.mailbox import MAILBOX, Mailbox
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.channels import Channels, Inboxes
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.listening import Listening
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.scripts import script
from celeriac.brokers.subscription import KEEP, Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import BrokerFull, BrokerUnavailable, DecodeError, OperationalError
from celeriac.ids import new_id
from celeriac.wire.notices import Notice, read_notice, write_notice

logger: Final = logging.getLogger("celeriac.bus")

_TABLE_KEPT: Final = 3600.0
"""Seconds for which a binding table is kept at least, as kombu does."""

_STEP: Final = 1.0
"""Seconds for which one command waits for answers, and a command may take beyond the deadline of who only looks."""

_SHORTEST: Final = 0.001
"""Seconds that are not written as 0, which waits for ever."""

_AT_ONCE: Final = 1_000

_NAPS: Final = (0.0, 0.01, 0.05, 0.1)

Address = tuple[str, str]
"""Exchange and routing key of an inbox."""


class RedisBus(Bus):
    """Say things to whoever listens on one database of a Redis server.

    Args:
        place: where.
        options: the prefixes and names of keys and channels, which must be those of all who take part.
    """

    capabilities = BusCapabilities(crosses_processes=True, crosses_machines=True, reaches_celery=True)

    def __init__(self, place: RedisPlace, options: RedisOptions) -> None:
        self.place = place
        self.options = options
        self.channels = Channels(place, options)
        keys = Keys(options.global_keyprefix, separator=options.sep, steps=options.priority_steps)
        self.inboxes = Inboxes(keys)

    @property
    def url(self) -> str:
        return self.place.url

    @property
    def link(self) -> Link:
        """This process's connections."""
        return Link.at(self.place, self.options)

    def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        if commands := [("PUBLISH", *pair) for pair in self.said(notices)]:
            # Listeners know what they have heard already by its tag; Celery's do not, and its clients repeat, too.
            self.link.pipeline(commands, deadline_at=deadline_at, repeatable=True)

    def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        link = self.link
        for (exchange, routing_key), envelopes in by_address(notices).items():
            members = link.call("SMEMBERS", self.inboxes.table(exchange), deadline_at=deadline_at, repeatable=True)
            for key, args in self.answers(members, routing_key, envelopes):
                link.run(script("answer"), [key], args, deadline_at=deadline_at, repeatable=False)

    def inbox(
        self, exchange: str, *, deadline_at: float, expires: float = REPLY_EXPIRES, mailbox: Mailbox = MAILBOX
    ) -> RedisInbox:
        inbox = RedisInbox(self, exchange, expires)
        inbox.stay(deadline_at)
        return inbox

    def station(self) -> RedisStation:
        return RedisStation(self)

    def close(self) -> None:
        self.link.close()

    def said(self, notices: Sequence[Notice]) -> list[tuple[str, bytes]]:
        """Return channels and what is said on them."""
        pairs = []
        for notice in notices:
            envelope = write_notice(notice, delivery_tag=new_id())
            pairs += [(channel, envelope) for channel in self.channels.of(notice.exchange, notice.routing_key)]
        return pairs

    def answers(
        self, members: Sequence[bytes], routing_key: str, envelopes: Sequence[bytes]
    ) -> list[tuple[bytes, tuple[Word, ...]]]:
        """Return list and arguments of the script that puts answers into each inbox."""
        args: tuple[Word, ...] = (int(REPLY_EXPIRES * 1000), *envelopes)
        return [(key, args) for key in self.inboxes.lists_for(members, routing_key)]


class RedisInbox(Inbox):
    """Receive answers in a list of Redis."""

    def __init__(self, bus: RedisBus, exchange: str, expires: float) -> None:
        self.exchange = exchange
        self.routing_key = new_id()
        self._bus = bus
        self._expires = expires
        self._lists = bus.inboxes.lists(exchange, self.routing_key)
        self._stay_at = 0.0

    def stay(self, deadline_at: float) -> None:
        """Say that the asker lives, and forget those who have gone silent."""
        names = self._bus.inboxes
        expired = self._bus.link.run(
            script("open_inbox"),
            [names.table(self.exchange), names.deadlines, names.all],
            [
                names.member(self.exchange, self.routing_key),
                self.exchange,
                int(max(2 * self._expires, _TABLE_KEPT) * 1000),
                names.entry(self.exchange, self.routing_key),
                int(self._expires * 1000),
            ],
            deadline_at=deadline_at,
        )
        self._stay_at = time.monotonic() + self._expires / 3
        if expired:
            addresses = [names.address(entry) for entry in expired]
            self._forget(addresses, deadline_at)

    def collect(self, *, deadline_at: float) -> list[Notice]:
        link = self._bus.link
        while True:
            step_ends_at = max(deadline_at, time.monotonic()) + _STEP
            if time.monotonic() >= self._stay_at:
                self.stay(step_ends_at)
            popped = link.pipeline([("RPOP", key, _AT_ONCE) for key in self._lists], deadline_at=step_ends_at)
            found = [notice for raws in popped for notice in _readable(raws or ())]
            left = deadline_at - time.monotonic()
            if found or left <= 0:
                return found
            wait = max(min(left, _STEP), _SHORTEST)
            answer = link.call("BRPOP", *self._lists, f"{wait:.3f}", deadline_at=step_ends_at, repeatable=True)
            if answer is not None and (found := _readable(answer[1:])):
                return found

    def close(self) -> None:
        try:
            self._forget([(self.exchange, self.routing_key)], time.monotonic() + _STEP)
        except OperationalError as exc:
            logger.debug("an inbox is left to expire: %s", exc)

    def _forget(self, addresses: Sequence[Address], deadline_at: float) -> None:
        names = self._bus.inboxes
        commands: list[tuple[Word, ...]] = []
        for address in addresses:
            commands.append(("SREM", names.table(address[0]), names.member(*address)))
            commands.append(("DEL", *names.lists(*address)))
            commands.append(("ZREM", names.all, names.entry(*address)))
        self._bus.link.pipeline(commands, deadline_at=deadline_at, repeatable=True)


class RedisStation(Station):
    """Say things, and listen, in one event loop."""

    def __init__(self, bus: RedisBus) -> None:
        self._bus = bus
        self._link = AsyncLink(bus.place, bus.options, name="celeriac-bus")
        self._listening: list[Listening] = []

    async def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        pairs = self._bus.said(notices)
        if len(pairs) == 1:
            await self._patiently(lambda left: self._link.call("PUBLISH", *pairs[0], timeout=left), deadline_at)
        elif pairs:
            words = [word for pair in pairs for word in pair]
            await self._patiently(lambda left: self._link.run(script("say"), [], words, timeout=left), deadline_at)

    async def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        for (exchange, routing_key), envelopes in by_address(notices).items():
            table = self._bus.inboxes.table(exchange)
            members = await self._patiently(partial(self._look_up, table), deadline_at)
            for key, args in self._bus.answers(members, routing_key, envelopes):
                await self._link.run(script("answer"), [key], args, timeout=deadline_at - time.monotonic())

    async def subscribe(
        self, topics: Sequence[Topic], *, deadline_at: float, keep: int = KEEP, mailbox: Mailbox = MAILBOX
    ) -> Subscription:
        listening = Listening(self._bus.place, self._bus.options, topics, keep)
        self._listening.append(listening)
        await listening.start(deadline_at)
        return listening.subscription

    async def close(self) -> None:
        while self._listening:
            await self._listening.pop().subscription.close()
        await self._link.close()

    async def _look_up(self, table: bytes, left: float) -> Any:
        return await self._link.call("SMEMBERS", table, timeout=left)

    async def _patiently(self, command: Callable[[float], Awaitable[Any]], deadline_at: float) -> Any:
        """Return the answer to a command, given the seconds that are left; send it again while there is none."""
        attempt = 0
        while True:
            try:
                return await command(deadline_at - time.monotonic())
            except BrokerFull:
                raise
            except BrokerUnavailable:
                nap = _NAPS[min(attempt, len(_NAPS) - 1)]
                if time.monotonic() + nap >= deadline_at:
                    raise
            await asyncio.sleep(nap)
            attempt += 1


def by_address(notices: Sequence[Notice]) -> dict[Address, list[bytes]]:
    """Return the envelopes of answers, in their order, for each inbox."""
    found: dict[Address, list[bytes]] = {}
    for notice in notices:
        envelope = write_notice(notice, delivery_tag=new_id())
        found.setdefault((notice.exchange, notice.routing_key), []).append(envelope)
    return found


def _readable(raws: Sequence[Any]) -> list[Notice]:
    found = []
    for raw in raws:
        try:
            found.append(read_notice(raw)[0])
        except DecodeError as error:
            logger.warning("left out an answer that is none: %s", error)
    return found
