"""Commands through sentinels: found by any of them, and going on at a new master."""

from __future__ import annotations

import time

import pytest
import redis

from bench.redis_server import free_port
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import Reading, read_options
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import BrokerUnavailable
from tests.servers.sentinel import MASTER_NAME, Sentinels, sentinels
from tests.unit.brokers.redis.test_link import ONCE

__all__ = ["sentinels"]

pytestmark = [pytest.mark.fault, pytest.mark.waits]


def reading(url: str, **options: object) -> Reading:
    return read_options(read_place(url, "broker_url"), {"master_name": MASTER_NAME, **options}, setting="options")


def link_to(url: str, **options: object) -> Link:
    found = reading(url, **options)
    return Link(found.place, found.options)


def soon(seconds: float = 3.0) -> float:
    return time.monotonic() + seconds


async def test_any_sentinel_leads_to_the_master(sentinels: Sentinels):
    url = f"sentinel://127.0.0.1:{free_port()}/2;{sentinels.url(2)}"
    found = reading(url, min_other_sentinels=2)
    alink = AsyncLink(found.place, found.options, name="w1")

    assert link_to(url).call("SET", "key", "value", deadline_at=soon(30)) == b"OK"
    assert await alink.call("GET", "key", timeout=30) == b"value"
    with redis.Redis(port=sentinels.master.port, db=2) as master:
        assert master.get("key") == b"value"
    await alink.close()


def test_a_master_that_nobody_knows_and_sentinels_that_know_too_few_others_are_named(sentinels: Sentinels):
    with pytest.raises(BrokerUnavailable, match="No such master with that name"):
        link_to(sentinels.url(), master_name="other").call("PING", deadline_at=soon())
    with pytest.raises(BrokerUnavailable, match="min_other_sentinels"):
        link_to(sentinels.url(), min_other_sentinels=5).call("PING", deadline_at=soon())


def test_publishing_goes_on_at_the_new_master_and_doubles_nothing(sentinels: Sentinels):
    link = link_to(sentinels.url())
    confirmed = []

    with link.session() as session:

        def publish(number: int) -> bool:
            batch = session.next_number()
            keys = [f"sent:{session.producer}", "queue"]
            try:
                session.run(ONCE, keys, [batch, number], deadline_at=soon(2.0))
            except BrokerUnavailable:
                return False
            confirmed.append(number)
            return True

        assert all(publish(number) for number in range(50))
        with redis.Redis(port=sentinels.master.port) as master:
            assert master.wait(1, 2_000) == 1
        sentinels.master.kill()
        killed_at = time.monotonic()
        number = 50
        while not publish(number):
            number += 1
            assert time.monotonic() - killed_at < 20, "nothing could be published after the failover"
        assert all(publish(number) for number in range(number + 1, number + 50))

    with redis.Redis(port=sentinels.replica.port) as master:
        stored = [int(value) for value in reversed(master.lrange("queue", 0, -1))]
    assert stored == sorted(set(stored))
    assert set(confirmed) <= set(stored)
