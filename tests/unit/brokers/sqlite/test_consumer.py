from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from celeriac.brokers.base import Incarnation, Release, Room, Settlement
from celeriac.brokers.sqlite import SqliteBroker
from celeriac.brokers.sqlite.rows import insertion
from celeriac.brokers.sqlite.store import Store
from celeriac.exceptions import BrokerUnavailable
from celeriac.message import Message
from celeriac.testing.clock import ManualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.db"


@contextlib.contextmanager
def locked(path: Path):
    """Hold a write transaction open, as a careless program would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def publish(broker: SqliteBroker, *task_ids: str) -> None:
    messages = [Message(task_id=task_id, queue="q", headers=b"{}", body=b"[]") for task_id in task_ids]
    broker.publish(messages, deadline_at=time.monotonic() + 10)


def claimed(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM message WHERE owner IS NOT NULL").fetchall()[0][0])


def block_until_claimed(path: Path) -> None:
    """Wait without giving the loop a turn: a claim that another thread commits has not come back then."""
    deadline = time.monotonic() + 60
    while not claimed(path):
        assert time.monotonic() < deadline


async def test_a_claim_that_is_just_coming_back_is_not_taken_for_a_lost_one(path: Path):
    """With FULL every commit takes another thread, so there is a moment in which only the store knows of a claim."""
    broker = SqliteBroker(path, synchronous="FULL")
    consumer = broker.consumer(Incarnation.begin("w1"))
    await consumer.open()
    publish(broker, "a")
    claiming = asyncio.create_task(consumer.claim(["q"], limit=1, wait=0))
    await asyncio.sleep(0)
    block_until_claimed(path)

    released = await consumer.reconcile([])

    assert released == 0
    (delivery,) = (await claiming).deliveries
    assert claimed(path) == 1
    assert await consumer.reconcile([delivery.tag]) == 0
    await consumer.close()
    broker.close()


async def test_who_cannot_write_does_not_judge_others(path: Path):
    """A lock of another program keeps every owner from raising its counter; none of them is dead for that."""
    clock = ManualClock()
    broker = SqliteBroker(path, clock=clock)
    mine, yours = (broker.consumer(Incarnation.begin(name)) for name in ("mine", "yours"))
    await mine.open()
    await yours.open()
    publish(broker, "a")
    await yours.claim(["q"], limit=1, wait=0)
    await mine.recover()

    with locked(path):
        for _ in range(12):
            clock.advance(1.0)
            with contextlib.suppress(BrokerUnavailable):
                await mine.extend()
            with contextlib.suppress(BrokerUnavailable):
                await mine.recover()
    clock.advance(1.0)

    assert await mine.recover() == 0
    assert claimed(path) == 1
    await yours.extend()
    await mine.close()
    await yours.close()
    broker.close()


async def test_a_sleeping_claim_notices_a_commit_that_rang_no_bell(path: Path):
    broker = SqliteBroker(path)
    consumer = broker.consumer(Incarnation.begin("w1"))
    await consumer.open()
    claiming = asyncio.create_task(consumer.claim(["q"], limit=1, wait=20))
    await asyncio.sleep(0.2)
    assert not claiming.done()

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute(*insertion(Message(task_id="a", queue="q", headers=b"{}", body=b"[]")))

    async with asyncio.timeout(60):
        assert [delivery.message.task_id for delivery in (await claiming).deliveries] == ["a"]
    await consumer.close()
    broker.close()


async def test_a_sleeping_claim_is_told_when_the_file_cannot_be_read_any_more(path: Path, monkeypatch):
    broker = SqliteBroker(path)
    consumer = broker.consumer(Incarnation.begin("w1"))
    await consumer.open()
    claiming = asyncio.create_task(consumer.claim(["q"], limit=1, wait=20))
    await asyncio.sleep(0.05)

    def fail(self: Store, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        raise BrokerUnavailable("the disk has gone")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "read", fail)
        async with asyncio.timeout(60):
            with pytest.raises(BrokerUnavailable, match="the disk has gone"):
                await claiming

    await consumer.close()
    broker.close()


async def test_nothing_is_kept_of_who_was_inside_of_a_limit_whose_key_nobody_uses_again(path: Path):
    broker = SqliteBroker(path)
    consumer = broker.consumer(Incarnation.begin("w1"))
    await consumer.open()
    publish(broker, "settled", "given back", "under way")
    runs = [
        (delivery, Room(delivery.message.task_id, 1))
        for delivery in (await consumer.claim(["q"], limit=3, wait=1)).deliveries
    ]
    assert await consumer.enter(runs) == [True, True, True]
    (settled, room), (given_back, _), _ = runs

    assert await consumer.settle([Settlement(delivery=settled, room=room)], None) == []
    after_settling = inside(path)
    await consumer.release([Release(delivery=given_back)])
    broker.clean()

    assert after_settling == ["given back", "under way"]
    assert inside(path) == ["under way"]
    await consumer.close()


def inside(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM inside ORDER BY key").fetchall()]
