"""Whatever nodes do and whenever they die, no room has too many inside, and nobody waits for ever."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from celeriac.brokers.base import Delivery, Room, Settlement
from celeriac.testing.brokers import clean, publish
from celeriac.testing.worlds import BrokerWorld, Node, a_message
from tests.unit.brokers.memory_world import MemoryWorld
from tests.unit.brokers.redis_world import RedisWorld
from tests.unit.brokers.sqlite_world import SqliteWorld

ROOMS = {"a": Room("a", 1), "b": Room("b", 3)}
CALL_FORGOTTEN = 61.0


@pytest.fixture(params=["memory", "sqlite", "redis"])
def world(request, tmp_path):
    match request.param:
        case "memory":
            world: BrokerWorld = MemoryWorld()
        case "sqlite":
            world = SqliteWorld(tmp_path)
        case _:
            world = RedisWorld(request.getfixturevalue("redis_db"))
    yield world
    world.end()


class Fleet:
    """Nodes that claim, enter, leave, give back and die."""

    def __init__(self, world: BrokerWorld, random: Random) -> None:
        self.world = world
        self.random = random
        self.broker = world.broker()
        self.nodes = [world.node(name=f"w{number}@host") for number in range(2)]
        self.inside: dict[int, list[tuple[Node, Delivery]]] = {id(node): [] for node in self.nodes}
        self.published = 0
        self.done: list[str] = []

    def room_of(self, delivery: Delivery) -> Room:
        return ROOMS[delivery.message.task_id[0]]

    def publish(self) -> None:
        for _ in range(self.random.randrange(1, 6)):
            publish(self.broker, a_message(f"{self.random.choice('ab')}-{self.published}"))
            self.published += 1

    def claim(self) -> None:
        node = self.random.choice(self.nodes)
        deliveries = node.claim(limit=self.random.randrange(1, 8))
        if deliveries:
            entered = node.enter(*((delivery, self.room_of(delivery)) for delivery in deliveries))
            self.inside[id(node)] += [(node, one) for one, is_in in zip(deliveries, entered, strict=True) if is_in]
        for key, room in ROOMS.items():
            inside = [one for held in self.inside.values() for _, one in held if one.message.task_id[0] == key]
            assert len(inside) <= room.limit

    def leave(self) -> None:
        for held in self.inside.values():
            if held:
                node, delivery = held.pop(self.random.randrange(len(held)))
                end = Settlement(delivery=delivery, room=self.room_of(delivery))
                assert node.settle(end) == []
                self.done.append(delivery.message.task_id)

    def release(self) -> None:
        held = self.inside[id(self.random.choice(self.nodes))]
        if held:
            node, delivery = held.pop()
            node.release(delivery)

    def die(self) -> None:
        victim, survivor = self.random.sample(self.nodes, 2)
        self.world.kill(victim)
        self.world.outlast_lease(survivor)
        del self.inside[id(victim)]
        successor = self.world.node(name="w9@host")
        self.nodes = [survivor, successor]
        self.inside[id(successor)] = []

    def drain(self) -> None:
        for _ in range(40 + 4 * self.published):
            if len(self.done) == self.published:
                return
            before = len(self.done)
            self.claim()
            self.leave()
            if len(self.done) == before:
                self.world.advance(CALL_FORGOTTEN / 10)
                for node in self.nodes:
                    node.extend()
                clean(self.broker)


@pytest.mark.parametrize("seed", range(12))
def test_no_room_is_too_full_and_everybody_gets_in(world, seed):
    random = Random(seed)
    fleet = Fleet(world, random)
    for _ in range(60):
        step = random.choices(["publish", "claim", "leave", "release", "die"], weights=[3, 6, 4, 1, 0.4])[0]
        getattr(fleet, step)()

    fleet.drain()

    assert sorted(fleet.done) == sorted(set(fleet.done))
    assert len(fleet.done) == fleet.published
    assert msgspec.structs.asdict(fleet.broker.depths(["q"])[0]) == {
        "queue": "q",
        "ready": 0,
        "delayed": 0,
        "claimed": 0,
        "dead": 0,
    }
