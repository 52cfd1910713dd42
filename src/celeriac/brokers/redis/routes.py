"""What follows runs and goes to an exchange: which queues it reaches, and saying it to everybody."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from celeriac.brokers.base import Settlement
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import is_said, spread
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.bindings import read_members
from celeriac.brokers.redis.channels import Channels
from celeriac.brokers.redis.dead_letters import DeadLetters
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.ownership import ASK_WITHIN
from celeriac.brokers.redis.settling import SETTLE_WITHIN
from celeriac.brokers.topology import Binding
from celeriac.exceptions import BrokerUnavailable, OperationalError
from celeriac.ids import new_id
from celeriac.message import Message

logger: Final = logging.getLogger("celeriac.redis")


class Routes:
    """Know where exchanges lead, as far as a node has to."""

    def __init__(
        self, link: AsyncLink, keys: Keys, declared: Declared, letters: DeadLetters, envelopes: Envelopes
    ) -> None:
        self._link = link
        self._keys = keys
        self._declared = declared
        self._letters = letters
        self._envelopes = envelopes
        self._channels = Channels(link.place, link.options)

    async def routed(self, settlements: Sequence[Settlement]) -> tuple[list[Settlement], list[tuple[int, Message]]]:
        """Return settlements that publish into queues, and what they say to everybody, each with the tag of its run.

        What goes to an exchange that leads nowhere becomes a dead letter.
        """
        following = [message for one in settlements for message in one.publish]
        known: dict[str, list[Binding]] = {}
        for message in following:
            route = message.route
            if route is not None and route.exchange not in known:
                table = self._keys.bindings + route.exchange.encode()
                stored = await self._link.call("SMEMBERS", table, timeout=ASK_WITHIN)
                bindings = self._declared.behind(route.exchange)
                bindings += read_members(route.exchange, stored, self._keys.separator)
                known[route.exchange] = list(dict.fromkeys(bindings))
        lost: list[tuple[Message, str]] = []
        routed: list[Settlement] = []
        said: list[tuple[int, Message]] = []
        for one in settlements:
            found = spread(one.publish, known.__getitem__, keep=is_said, lost=lost).messages
            said += [(one.delivery.tag, message) for message in found if message.route is not None]
            queued = tuple(message for message in found if message.route is None)
            routed.append(msgspec.structs.replace(one, publish=queued))
        if lost:
            until = time.monotonic() + SETTLE_WITHIN
            await asyncio.to_thread(self._letters.bury, lost, deadline_at=until)
        return routed, said

    async def say(self, messages: Iterable[Message]) -> None:
        """Say to everybody what follows runs that are settled; like all that is said it may be lost."""
        for message in messages:
            assert message.route is not None, "others go into queues"
            envelope = self._envelopes.write(message, new_id())
            for channel in self._channels.of(message.route.exchange, message.route.routing_key):
                try:
                    await self._say(channel, envelope)
                except OperationalError as exc:  # the runs are settled: nobody may take this for their outcome
                    logger.warning("message %s was not said to %s: %s", message.task_id, message.route.exchange, exc)

    async def _say(self, channel: str, envelope: bytes) -> None:
        """Publish an envelope, and once more when nobody knows whether it was: who hears knows it by its tag."""
        try:
            await self._link.call("PUBLISH", channel, envelope, timeout=ASK_WITHIN)
        except BrokerUnavailable:
            await self._link.call("PUBLISH", channel, envelope, timeout=ASK_WITHIN)
