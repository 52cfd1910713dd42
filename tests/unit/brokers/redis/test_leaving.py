"""The way back to Celery: who lives, what dead nodes held, what lay apart until its time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis

from celeriac.brokers.base import Incarnation
from celeriac.brokers.redis.keys import FORMAT, Keys
from celeriac.brokers.redis.leaving import RedisLeaving
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.brokers.redis.records import make_record
from celeriac.brokers.redis.scripts import script

KEYS = Keys()


class World:
    """A database with nodes in it, and a clock that only sleeping moves."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.link = Link(read_place(url, "broker_url"), RedisOptions())
        self.now = 1000.0
        self.beating: list[int] = []
        self.leaving = RedisLeaving(lambda: self.link, KEYS, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for owner in self.beating:
            self.client.hincrby(KEYS.beats.decode(), str(owner), 1)

    def register(self, owner: int, *, beating: bool) -> Incarnation:
        node = Incarnation.begin(f"w{owner}@here")
        keys = [KEYS.owners, KEYS.epochs, KEYS.beats, KEYS.alive, KEYS.format]
        text = msgspec.json.encode(node)
        assert self.client.eval(script("register").text, 5, *keys, owner, 1, text, FORMAT, 0) == [0]
        if beating:
            self.beating.append(owner)
        return node

    def hold(self, owner: int, tag: int, text: str, *, key: str = "celery") -> None:
        self.client.hset(KEYS.held(owner).decode(), str(tag), make_record(key.encode(), text.encode()))

    def delay(self, due: float, text: str, *, key: str = "celery") -> None:
        self.client.zadd(KEYS.delayed, {b"tag-" + text.encode() + b":" + make_record(key.encode(), text.encode()): due})
        self.client.hincrby(KEYS.delayed_counts.decode(), key, 1)

    def served(self, key: str = "celery") -> list[str]:
        """Return a list in the order in which it will be served."""
        return [str(text) for text in self.client.lrange(key, 0, -1)[::-1]]


@pytest.fixture
def world(redis_db: str) -> Iterator[World]:
    world = World(redis_db)
    yield world
    world.link.close()
    world.client.close()


def test_where_no_node_is_registered_nobody_is_waited_for(world: World) -> None:
    assert world.leaving.living() == []
    assert world.now == 1000.0


def test_a_node_that_beats_lives_and_is_known_soon(world: World) -> None:
    node = world.register(5, beating=True)

    assert world.leaving.living() == [node]
    assert world.now < 1003.0


def test_a_node_that_stands_still_is_dead_and_what_it_held_goes_back(world: World) -> None:
    world.register(5, beating=False)
    for tag in range(3):
        world.hold(5, tag, f"held-{tag}")
    world.hold(5, 3, "other", key="slow\x06\x163")
    world.client.lpush("celery", "waiting")

    living, recovered = world.leaving.living(), world.leaving.recover()

    assert (living, recovered) == ([], 4)
    assert world.now >= 1008.0
    assert world.served() == ["held-0", "held-1", "held-2", "waiting"]
    assert world.served("slow\x06\x163") == ["other"]
    assert world.client.exists(*map(bytes.decode, (KEYS.owners, KEYS.epochs, KEYS.beats, KEYS.dying))) == 0


def test_the_dead_are_told_from_the_living(world: World) -> None:
    world.register(5, beating=False)
    alive = world.register(6, beating=True)
    world.hold(5, 1, "of the dead")
    world.hold(6, 1, "of the living")

    assert world.leaving.living() == [alive]
    assert world.leaving.recover() == 1
    assert world.served() == ["of the dead"]


def test_more_than_one_share_goes_back_in_order(world: World) -> None:
    world.register(5, beating=False)
    for tag in range(1203):
        world.hold(5, tag, f"{tag}")
    world.leaving.living()

    assert world.leaving.recover() == 1203
    assert world.served() == [f"{tag}" for tag in range(1203)]


def test_future_messages_go_behind_what_waits_the_next_one_first(world: World) -> None:
    world.client.lpush("celery", "waiting")
    for due in (30.0, 10.0, 20.0):
        world.delay(due, f"due-{due:.0f}")
    world.delay(5.0, "urgent", key="celery\x06\x163")

    moved = world.leaving.undelay()

    assert moved == {"celery": 4}
    assert world.served() == ["waiting", "due-10", "due-20", "due-30"]
    assert world.served("celery\x06\x163") == ["urgent"]
    assert world.client.exists(KEYS.delayed.decode(), KEYS.delayed_counts.decode()) == 0


def test_queues_are_chosen_by_name_with_all_their_priorities(world: World) -> None:
    for index in range(1300):
        world.delay(index, f"{index}", key=["celery", "celery\x06\x169", "slow"][index % 3])

    assert world.leaving.undelay(["slow", "empty"]) == {"slow": 433}
    assert world.served("slow") == [f"{index}" for index in range(2, 1300, 3)]
    assert world.leaving.undelay([]) == {}
    assert world.leaving.undelay(["celery"]) == {"celery": 867}
    assert world.client.exists(KEYS.delayed.decode(), KEYS.delayed_counts.decode()) == 0


def test_a_key_that_is_no_list_keeps_its_messages_and_stops_nobody(world: World) -> None:
    world.client.set("wrong", "text")
    for index in range(700):
        world.delay(index, f"{index}", key="wrong" if index < 600 else "celery")

    assert world.leaving.undelay() == {"celery": 100}
    assert world.client.zcard(KEYS.delayed.decode()) == 600
    assert world.client.hgetall(KEYS.delayed_counts.decode()) == {"wrong": "600"}


def test_publishers_are_told_that_nobody_lives(world: World) -> None:
    world.register(5, beating=False)

    world.leaving.announce_end()

    assert world.client.exists(KEYS.alive.decode()) == 0


@pytest.mark.parametrize("times", [2])
def test_every_step_may_be_taken_again(world: World, times: int) -> None:
    world.register(5, beating=False)
    world.hold(5, 1, "held")
    world.delay(1.0, "later")
    world.leaving.living()

    seen: list[Any] = [(world.leaving.recover(), dict(world.leaving.undelay())) for _ in range(times)]

    assert seen == [(1, {"celery": 1}), (0, {})]
    assert world.served() == ["held", "later"]
