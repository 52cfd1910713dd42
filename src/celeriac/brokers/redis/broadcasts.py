"""Queues that a node has for itself (`Broadcast`): what is said to everybody, and the queues of nodes that have gone.

What is published to a fanout exchange is said on kombu's channel for it, to whoever listens then. A node hears it and
puts it into its own queue at once; from there on it is claimed, settled and recovered like any other message.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from celeriac.brokers.redis.bindings import tables_and_members
from celeriac.brokers.redis.channels import Channels
from celeriac.brokers.redis.depths import Depths
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.listening import Listening, of_kind
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.scripts import script
from celeriac.brokers.topics import Topic
from celeriac.brokers.topology import Binding, Queue
from celeriac.exceptions import DecodeError, OperationalError
from celeriac.ids import new_id
from celeriac.wire.envelope import read_envelope

logger: Final = logging.getLogger("celeriac.redis")

_WITHIN: Final = 10.0
_WAITING_MAX: Final = 10_000
"""What was heard and could not be put into a queue yet."""

_NAP: Final = 0.5

HEARD_FOR: Final = 60
"""Seconds for which it is known that a queue has what was said."""


class Entry(msgspec.Struct, frozen=True):
    """Note whose queue it is, and what leads to it."""

    owner: int
    leads: list[tuple[str, str, str]]


def entry_of(owner: int, leads: Iterable[Binding]) -> bytes:
    """Write what is noted of a node's own queue."""
    return msgspec.json.encode(Entry(owner, [(each.exchange, each.kind, each.routing_key) for each in leads]))


class Broadcasts:
    """End the queues of nodes that have ended.

    Args:
        link: returns this process's connections.
    """

    def __init__(self, link: Callable[[], Link], keys: Keys, depths: Depths) -> None:
        self._link = link
        self._keys = keys
        self._depths = depths

    def end_of(self, owner: int) -> int:
        """End the queues of one owner and say how many they were."""
        return self._end(lambda entry: entry.owner == owner)

    def clean(self) -> int:
        """End the queues of those who are owners no more."""
        living = self._call("HKEYS", self._keys.owners)
        numbers = {int(owner) for owner in living if owner.isdigit()}
        return self._end(lambda entry: entry.owner not in numbers)

    def _end(self, is_over: Callable[[Entry], bool]) -> int:
        ended = 0
        noted = self._call("HGETALL", self._keys.broadcasts)
        for name, value in zip(noted[::2], noted[1::2], strict=True):
            try:
                entry = msgspec.json.decode(value, type=Entry)
            except msgspec.DecodeError:
                entry = Entry(0, [])
            if is_over(entry):
                ended += self._end_queue(name.decode(errors="replace"), value, entry)
        return ended

    def _end_queue(self, queue: str, value: bytes, entry: Entry) -> int:
        self._depths.purge(queue)
        keys, lists = self._keys, self._keys.lists_of(queue)
        tables: list[bytes] = []
        members: list[bytes] = []
        for exchange, kind, routing_key in entry.leads:
            lead = Binding(exchange=exchange, kind=kind, routing_key=routing_key, queue=queue)
            more, each = tables_and_members(keys, [queue], _Leads(lead))
            tables, members = tables + more, members + each
        names = [keys.broadcasts, *lists, *tables, keys.queues]
        args: list[Word] = [queue, value, len(lists), *members, queue]
        return int(self._link().run(script("end_queue"), names, args, deadline_at=self._until()))

    def _call(self, *words: Word) -> Any:
        return self._link().call(*words, deadline_at=self._until(), repeatable=True)

    @staticmethod
    def _until() -> float:
        return time.monotonic() + _WITHIN


class _Leads:
    """Lead to a queue by one binding, whatever anybody has declared."""

    def __init__(self, lead: Binding) -> None:
        self._lead = lead

    def leads_to(self, queue: str) -> list[Binding]:
        return [self._lead]


class Heard(NamedTuple):
    """Put an envelope into a list, unless there is a note that its queue has it."""

    list_name: bytes
    note: bytes
    envelope: bytes


class Hearing(Listening):
    """Hear what is said to fanout exchanges, and have it put into the queues that are bound to them.

    Args:
        queues: those of this node, and their bindings.
        file: puts envelopes into lists, each (list, note, envelope).
    """

    def __init__(
        self,
        place: RedisPlace,
        options: RedisOptions,
        keys: Keys,
        queues: Mapping[str, Sequence[Binding]],
        file: Callable[[Sequence[Heard]], Awaitable[object]],
    ) -> None:
        exchanges = sorted({each.exchange for leads in queues.values() for each in leads if each.kind == "fanout"})
        super().__init__(place, options, [Topic(exchange) for exchange in exchanges], keep=1)
        self._keys = keys
        self._file = file
        self._queues = {
            exchange: sorted(
                name
                for name, leads in queues.items()
                if any(each.kind == "fanout" and each.exchange == exchange for each in leads)
            )
            for exchange in exchanges
        }
        channels = Channels(place, options)
        self._said_on = {channel.encode(): exchange for exchange in exchanges for channel in channels.of(exchange, "")}
        self._waiting: list[Heard] = []
        self._more = asyncio.Event()
        self._filing: asyncio.Task[None] | None = None

    async def start(self, deadline_at: float) -> None:
        await super().start(deadline_at)
        self._filing = asyncio.create_task(self._file_all(), name="celeriac-hearing")

    async def stop(self) -> None:
        """Hear no more. What was heard and is in no queue yet is lost, as it is for whoever does not listen."""
        filing, self._filing = self._filing, None
        if filing is not None:
            filing.cancel()
            with suppress(asyncio.CancelledError):
                await filing
        await self._stop()

    def _put(self, answers: list[Any]) -> None:
        for _, _, channel, raw in of_kind(b"pmessage", answers):
            exchange = self._exchange_of(channel)
            tag = _tag(raw)
            if exchange is None or (tag and self.is_known(tag)):
                continue
            for queue in self._queues[exchange]:
                if len(self._waiting) >= _WAITING_MAX:
                    logger.error("what is said to %s comes faster than Redis keeps it; one is lost", exchange)
                    continue
                list_name = self._keys.list_of(queue, _priority(raw, queue))
                self._waiting.append(Heard(list_name, self._keys.heard(queue, tag or new_id()), raw))
        if self._waiting:
            self._more.set()

    def _exchange_of(self, channel: bytes) -> str | None:
        found = self._said_on.get(channel)
        if found is None:
            found = next((self._said_on[name] for name in self._said_on if channel.startswith(name + b"/")), None)
        return found

    async def _file_all(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                share = self._waiting[:500]
                try:
                    await self._file(share)
                except OperationalError as error:
                    logger.warning("what was said to all nodes is kept here until Redis takes it: %s", error)
                    await asyncio.sleep(_NAP)
                    continue
                del self._waiting[: len(share)]


def _tag(raw: bytes) -> str:
    """Return what tells an envelope from all others, or ""."""
    try:
        return msgspec.json.decode(raw, type=_Tagged).properties.delivery_tag
    except msgspec.DecodeError:
        return ""


class _Tag(msgspec.Struct):
    delivery_tag: str = ""


class _Tagged(msgspec.Struct):
    properties: _Tag


def _priority(raw: bytes, queue: str) -> int:
    try:
        return read_envelope(raw, queue=queue).priority
    except DecodeError:
        return 0  # it is found out when it is claimed


def is_own(queue: Queue | None) -> bool:
    """Say whether a queue hears what is said to everybody."""
    return queue is not None and any(each.kind == "fanout" for each in queue.leads_here())
