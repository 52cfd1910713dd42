from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from celeriac.brokers.base import ResultMeta, Settlement
from celeriac.brokers.memory import MemoryBroker
from celeriac.testing.brokers import BrokerConformance, clean, publish
from celeriac.testing.worlds import a_message, a_result, task_ids
from tests.unit.brokers.memory_world import MemoryWorld


@pytest.fixture
def world():
    world = MemoryWorld()
    yield world
    world.end()


class TestMemoryBroker(BrokerConformance):
    @pytest.fixture
    def world(self, world):
        return world


def test_brokers_of_one_name_share_a_store_and_others_do_not(world):
    publish(MemoryBroker(world.name), a_message())

    assert MemoryBroker(world.name).depths()
    assert not MemoryBroker(f"{world.name}-other").depths()


def test_a_forked_copy_says_that_its_messages_would_be_lost():
    program = """
import os, time
from celeriac.brokers.memory import MemoryBroker
from celeriac.exceptions import BrokerUnavailable
from celeriac.testing.worlds import a_message
broker = MemoryBroker()
if os.fork() == 0:
    try:
        broker.publish([a_message()], deadline_at=time.monotonic() + 1)
    except BrokerUnavailable as exc:
        print(exc, flush=True)
    os._exit(0)
os.wait()
"""

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert "sqlite://" in answer.stdout


def test_setting_the_wall_clock_kills_nobody(world):
    publish(world.broker(), a_message())
    node, watcher = world.node(), world.node(name="w2@host")
    held = node.claim()
    watcher.recover()

    for hours in (1, -2, 5):
        world.clock.jump(hours * 3600.0)
        assert watcher.recover() == 0

    assert node.finish(*held) == []


def test_threads_that_publish_claim_and_settle_at_once_lose_and_double_nothing(world):
    broker = world.broker()
    nodes = [world.node(name=f"w{number}@host") for number in range(3)]
    ids = [[f"{thread}-{number}" for number in range(200)] for thread in range(3)]

    def produce(mine):
        for task_id in mine:
            publish(broker, a_message(task_id))

    def work(node):
        done = []
        while deliveries := node.claim(limit=9, wait=0.5):
            assert node.finish(*deliveries) == []
            done += task_ids(deliveries)
        return done

    with ThreadPoolExecutor(6) as threads:
        produced = [threads.submit(produce, mine) for mine in ids]
        worked = [threads.submit(work, node) for node in nodes]
        for future in produced:
            future.result(60)
        done = [task_id for future in worked for task_id in future.result(60)]

    left = [task_id for node in nodes for task_id in work(node)]
    assert sorted(done + left) == sorted(task_id for mine in ids for task_id in mine)


def test_a_settlement_whose_result_cannot_be_stored_settles_nothing(world):
    broker, node, results = world.broker(), world.node(), world.results()
    publish(broker, a_message("a"), a_message("b"))
    good, bad = node.claim()
    batch = [
        Settlement(delivery=good, result=a_result("a"), publish=(a_message("follow-up"),)),
        Settlement(delivery=bad, result=cast(ResultMeta, "no result at all")),
    ]

    with pytest.raises(AttributeError):
        node.settle(*batch, results=results)

    assert results.get("a") is None
    assert node.claim() == []
    assert node.finish(good, bad) == []


def test_what_was_purged_leaves_nothing_in_the_indexes(world):
    broker = world.broker()
    now = world.clock.now()
    publish(broker, *(a_message(f"id-{number}", eta_at=now + number % 2 * 60) for number in range(100)))

    broker.purge("q")

    assert not broker.store._ready
    assert not broker.store._delayed


def test_cleaning_takes_a_bounded_share_at_a_time(world):
    broker = world.broker(dead_letter_expires=60.0)
    node = world.node(broker)
    publish(broker, *(a_message(f"id-{number}") for number in range(1500)))
    node.bury(*node.claim(limit=1500))
    world.advance(61.0)

    first = broker.clean()

    assert 0 < first < 1500
    assert first + clean(broker) == 1500
