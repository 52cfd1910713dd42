"""Copies that stand for long runs, where a server does what real ones do seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from celeriac.brokers.amqp import hold as hold_module
from celeriac.brokers.amqp.carried import COPY, Counts, Outgoing
from celeriac.brokers.amqp.channel import ChannelRefused
from celeriac.brokers.amqp.claims import Claims
from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.amqp.hold import Hold
from celeriac.brokers.base import Delivery
from celeriac.exceptions import BrokerUnavailable, EncodeError, OperationalError, Unroutable
from celeriac.testing.worlds import a_message


class Channel:
    """Be a connection that only notes what is asked of it."""

    def __init__(self) -> None:
        self.serial = 1
        self.is_open = True
        self.acked: list[int] = []
        self.acked_copies: list[int] = []
        self.given_back: list[int] = []
        self.listened: list[str] = []
        self.refuses = False

    async def ack(self, tags: Collection[int], *, oldest: int | None) -> None:
        self._need_it_open()
        self.acked += tags

    async def ack_copies(self, tags: Collection[int]) -> None:
        self._need_it_open()
        self.acked_copies += tags

    async def give_back(self, tags: Collection[int]) -> None:
        self._need_it_open()
        self.given_back += tags

    async def receive_copies(self, needed: Any) -> None:
        await asyncio.sleep(0)
        self._need_it_open()
        if self.refuses:
            self.is_open = False
            raise ChannelRefused("access refused")
        self.listened.append(needed.name)

    async def count_copies(self, names: Collection[str]) -> int:
        return 0

    async def end_copies(self, names: Collection[str]) -> None:
        pass

    def connect_anew(self) -> None:
        self.is_open = True
        self.serial += 1

    def _need_it_open(self) -> None:
        if not self.is_open:
            raise BrokerUnavailable("lost")


def a_channel() -> Any:
    """Return a channel that passes for a worker's."""
    return Channel()


class Kept:
    """Be what keeps copies, with all that it needs."""

    def __init__(self) -> None:
        self.channel = a_channel()
        self.holdings = Holdings()
        self.claims = Claims(self.channel, self.holdings)
        self.published: list[Outgoing] = []
        self.declared = 0
        self.on_publish: Callable[[Sequence[Outgoing]], None] = lambda outgoing: None
        self.declare_error: Exception | None = None
        self.hold = Hold(
            self.channel,
            self.holdings,
            self.claims,
            self._publish,
            self._declare,
            lambda held: Counts(),
            timeout=0.0,
            queue_type="quorum",
        )

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        self.on_publish(outgoing)
        self.published += outgoing

    async def _declare(self, needs: Sequence[Any]) -> None:
        self.declared += 1
        if self.declare_error is not None:
            raise self.declare_error

    def add(self, tag: int, *, queue: str = "q") -> Held:
        delivery = Delivery(tag=tag, owner=1, message=a_message(f"id-{tag}", queue=queue))
        held = Held(delivery, f"run-{tag}", Place(self.channel.serial, tag))
        self.holdings.add(held)
        self.hold.runs.note(tag, 0.0)
        return held

    async def look(self) -> None:
        self.hold.look(waiting=frozenset())
        if self.hold._renewal is not None:
            await self.hold._renewal

    def come(self, outgoing: Outgoing, wire_tag: int, *, is_copy: bool = True) -> None:
        """Let a copy that was published come."""
        assert self.hold.take(outgoing.carried.headers, Place(self.channel.serial, wire_tag, is_copy=is_copy))

    def lose_channel(self) -> None:
        self.channel.is_open = False
        self.holdings.lose_channel()
        self.hold.lose_channel()


@pytest.fixture
def kept():
    return Kept()


async def test_a_message_is_acknowledged_when_its_copy_is_confirmed_and_not_when_that_comes(kept):
    kept.add(1)

    def comes_sooner(outgoing: Sequence[Outgoing]) -> None:
        kept.come(outgoing[0], 51)
        assert kept.claims._spent == [], "the copy may be lost yet"

    kept.on_publish = comes_sooner
    await kept.look()
    await kept.claims.swept()

    assert kept.channel.acked == [1]


async def test_a_message_whose_copy_came_and_was_never_confirmed_is_acknowledged_with_the_next(kept):
    held = kept.add(1)

    def comes_and_fails(outgoing: Sequence[Outgoing]) -> None:
        kept.come(outgoing[0], 51)
        raise BrokerUnavailable("no confirm")

    kept.on_publish = comes_and_fails
    await kept.look()
    await kept.claims.swept()
    assert kept.channel.acked == []

    kept.on_publish = lambda outgoing: None
    held.place = Place(1, 51, is_copy=True)
    await kept.look()
    await kept.claims.swept()

    assert kept.channel.acked == [1]


async def test_what_ends_while_its_copy_is_not_confirmed_is_acknowledged_whole(kept):
    kept.add(1)

    def comes_and_fails(outgoing: Sequence[Outgoing]) -> None:
        kept.come(outgoing[0], 51)
        raise BrokerUnavailable("no confirm")

    kept.on_publish = comes_and_fails
    await kept.look()
    await kept.claims.end([1])
    await kept.look()
    await kept.claims.swept()

    assert (kept.channel.acked, kept.channel.acked_copies) == ([1], [51])


@pytest.mark.parametrize("error", [OperationalError("refuses"), ChannelRefused("refuses")])
async def test_a_server_that_refuses_a_queue_of_copies_is_not_asked_each_time(kept, error, monkeypatch):
    kept.add(1, queue="refused")
    kept.declare_error = error
    for _ in range(3):
        await kept.look()
    assert kept.declared == 1
    assert kept.published == []
    assert kept.channel.is_open

    kept.declare_error = None
    kept.add(2, queue="another")
    await kept.look()
    assert len(kept.published) == 1, "others are copied"

    monkeypatch.setitem(kept.hold._refused, "refused", 0.0)
    await kept.look()
    assert len(kept.published) == 2


async def test_a_lost_connection_is_no_refusal(kept):
    kept.add(1)
    kept.declare_error = BrokerUnavailable("lost")
    await kept.look()
    kept.declare_error = None
    await kept.look()

    assert len(kept.published) == 1


async def test_a_queue_that_is_refused_on_the_next_connection_is_left(kept):
    kept.add(1)
    await kept.look()
    kept.lose_channel()
    kept.channel.connect_anew()
    kept.channel.refuses = True

    with pytest.raises(BrokerUnavailable):
        await kept.hold.resume()

    kept.channel.connect_anew()
    await kept.hold.resume()


async def test_who_connects_and_who_copies_listen_once(kept):
    kept.add(1)
    await kept.look()
    kept.lose_channel()
    kept.channel.connect_anew()
    kept.channel.listened.clear()

    await asyncio.gather(kept.hold.resume(), kept.hold._listen("q"), kept.hold._listen("other"))

    assert len(kept.channel.listened) == 2


async def test_a_copy_that_cannot_be_made_keeps_no_others_from_being_made(kept):
    for tag in (1, 2, 3):
        kept.add(tag)
    tries = []

    def cannot(outgoing: Sequence[Outgoing]) -> None:
        tries.append(len(outgoing))
        if any(one.carried.headers[COPY][2] == 2 for one in outgoing):
            raise EncodeError("a header is too long")

    kept.on_publish = cannot
    await kept.look()
    assert [one.carried.headers[COPY][2] for one in kept.published] == [1, 3]

    for one in kept.published:
        kept.come(one, 50 + one.carried.headers[COPY][2])
    tries.clear()
    kept.hold.runs.timeout = 1000.0
    await kept.look()
    assert tries == [], "it is not tried again"


@pytest.mark.parametrize(("error", "again"), [(Unroutable("no queue"), 2), (BrokerUnavailable("lost"), 1)])
async def test_queues_are_declared_again_only_where_one_is_missing(kept, error, again):
    kept.add(1)

    def fail(outgoing: Sequence[Outgoing]) -> None:
        raise error

    kept.on_publish = fail
    await kept.look()
    await kept.look()

    assert kept.declared == again


async def test_a_message_that_comes_again_after_its_first_copy_is_known(kept):
    held = kept.add(1)
    await kept.look()
    kept.lose_channel()
    kept.channel.connect_anew()

    kept.come(kept.published[0], 7)

    assert held.place == Place(2, 7, is_copy=True)
    assert kept.holdings.is_spare("run-1", 2), "its acknowledgement never left"


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_copied_run_that_goes_on_elsewhere_has_not_ended(kept, goes_on):
    held = kept.add(1)
    await kept.look()
    kept.come(kept.published[0], 51)
    assert held.acked_on
    kept.lose_channel()

    await kept.claims.end([1], goes_on=goes_on)

    assert kept.holdings.has_ended("run-1") is not goes_on


async def test_closing_ends_soon_whatever_hangs(kept, monkeypatch):
    monkeypatch.setattr(hold_module, "_ENDS_WITHIN", 0.1)
    kept.add(1)
    await kept.look()

    async def hangs(names: Collection[str]) -> int:
        await asyncio.sleep(30)
        return 0

    kept.channel.count_copies = hangs
    async with asyncio.timeout(5):
        await kept.hold.close()


async def test_what_was_given_back_is_not_known_for_ever(kept):
    for number in range(10_001):
        kept.claims.note_given_back(f"run-{number}", claimed=bool(number % 2))

    assert kept.claims.given_back == 10_000
    assert kept.claims.take_given_back("run-0") is None
    assert kept.claims.take_given_back("run-1") is True
    assert kept.claims.take_given_back("run-1") is None, "it comes once"
    assert kept.claims.take_given_back("run-2") is False
