"""Looks into the database behind a consumer, and what several tests of consumers do."""

from __future__ import annotations

import time

from celeriac.brokers.base import Settlement
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.scripts import script
from celeriac.testing.brokers.suite import MIB
from celeriac.testing.worlds import ANSWER_WITHIN, a_result

KEYS = Keys()


def held_by(client, node) -> dict[bytes, bytes]:
    return client.hgetall(KEYS.held(node.consumer.owner))


def ours(client) -> set[bytes]:
    """Name the keys of ours that stay although nothing waits or runs."""
    lasting = {b"format", b"queues", b"alive", b"dead:last"}
    names = {name.removeprefix(b"celeriac:") for name in client.keys("celeriac:*")}
    return {name for name in names - lasting if not name.startswith(b"sent:")}


def iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))


def wait_until(claim) -> None:
    until = time.monotonic() + ANSWER_WITHIN
    while not claim():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.01)


def claim_script(owner, *, epoch):
    names = [KEYS.epochs, KEYS.held(owner), KEYS.started(owner), KEYS.counts, KEYS.delayed, KEYS.delayed_counts]
    names += [KEYS.bookings, KEYS.replaced, KEYS.revoked_version, b"q"]
    args = [owner, epoch, 0, 1, 10, MIB, MIB, MIB, "", ""]
    return lambda client: client.eval(script("claim").text, len(names), *names, *args)


async def lose_an_answer(consumer) -> None:
    consumer._own._unsure = True


async def note(consumer, delivery) -> None:
    consumer.note_started(delivery)


def a_settlement(delivery) -> Settlement:
    return Settlement(delivery=delivery, result=a_result(delivery.message.task_id))
