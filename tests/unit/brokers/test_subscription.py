from __future__ import annotations

import asyncio

import pytest

from celeriac.brokers.subscription import Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import DecodeError
from celeriac.testing.buses import CONTROL, EVENTS, a_command, an_event
from celeriac.wire.notices import Notice


async def nothing():
    pass


def subscription(*topics, keep=100, keep_bytes=10_000):
    return Subscription(topics or [Topic(EVENTS)], keep, nothing, keep_bytes=keep_bytes)


def event(size, routing_key="a"):
    return Notice(exchange=EVENTS, routing_key=routing_key, body=b"x" * size, headers=b"")


async def test_what_waits_weighs_no_more_than_it_may():
    ear = subscription()
    ear.put([event(4_000, "1"), event(4_000, "2"), event(4_000, "3")])

    assert [notice.routing_key for notice in await ear.hear()] == ["2", "3"]
    assert ear.dropped == 1


async def test_what_was_fetched_weighs_no_more():
    ear = subscription()
    for _ in range(10):
        ear.put([event(9_000)])
        await ear.hear()

    assert ear.dropped == 0


async def test_a_single_notice_may_weigh_more():
    ear = subscription()
    ear.put([event(1), event(50_000, "large")])

    assert [notice.routing_key for notice in await ear.hear()] == ["large"]


async def test_other_topics_neither_wake_nor_count():
    ear = subscription(keep=1)
    waiting = asyncio.ensure_future(ear.hear())
    await asyncio.sleep(0)
    ear.put([a_command()] * 10)

    assert await asyncio.wait([waiting], timeout=0.05) == (set(), {waiting})

    ear.put([an_event()])
    assert await waiting == [an_event()]
    assert ear.dropped == 0


async def test_a_put_while_the_wait_times_out_is_not_lost():
    ear = subscription()
    waiting = asyncio.ensure_future(ear.hear(timeout=0.01))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, ear.put, [an_event()])

    assert await waiting + await ear.hear(timeout=1 if not waiting.result() else 0) == [an_event()]


async def test_a_listener_must_keep_something():
    with pytest.raises(ValueError, match="keep=0"):
        subscription(keep=0)


async def test_the_first_thing_that_is_no_notice_is_logged_and_all_are_counted(caplog):
    ear = subscription(Topic(CONTROL))

    for number in range(3):
        ear.leave_out(DecodeError(f"bad {number}"))

    assert ear.unreadable == 3
    assert [record.getMessage() for record in caplog.records] == [
        "left out what is no notice: bad 0; more of them are only counted"
    ]


def test_a_closed_loop_does_not_hinder_who_speaks():
    async def listen():
        ear = subscription()
        waiting = asyncio.ensure_future(ear.hear())
        await asyncio.sleep(0)
        return ear, waiting

    loop = asyncio.new_event_loop()
    ear, waiting = loop.run_until_complete(listen())
    waiting.cancel()
    loop.close()

    ear.put([an_event()])
    ear.end()
