"""How many runs of a key go on at a time."""

from __future__ import annotations

import msgspec

from celeriac.brokers.base import Broker, Delivery, QueueDepth, Room
from celeriac.testing.brokers.suite import WorldSuite, clean, end_of, publish
from celeriac.testing.worlds import ANSWER_WITHIN, BrokerWorld, Node, a_message, task_ids

ROOM = Room("k", 2)


def enter(node: Node, *deliveries: Delivery, room: Room = ROOM) -> list[str]:
    """Let deliveries in as far as there is room, and return which of them are."""
    entered = node.enter(*((delivery, room) for delivery in deliveries))
    return [delivery.message.task_id for delivery, is_in in zip(deliveries, entered, strict=True) if is_in]


def leave(node: Node, *deliveries: Delivery, room: Room = ROOM) -> None:
    """Settle deliveries that were inside."""
    assert node.settle(*(msgspec.structs.replace(end_of(delivery), room=room) for delivery in deliveries)) == []


class Rooms(WorldSuite):
    """Check how many runs of a key go on at a time."""

    def test_so_many_get_in_as_there_is_room_for(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(5)))

        assert enter(node, *node.claim()) == ["id-0", "id-1"]

    def test_the_others_wait_in_the_store(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(5)))
        enter(node, *node.claim())

        assert node.claim() == []
        assert broker.depths() == [QueueDepth(queue="q", delayed=3, claimed=2)]

    def test_one_that_leaves_lets_the_next_one_in(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(5)))
        first, second, *_ = deliveries = node.claim()
        enter(node, *deliveries)

        leave(node, first)
        called = node.claim()
        entered = enter(node, *called)
        leave(node, second, *called)

        assert task_ids(called) == entered == ["id-2"]
        assert task_ids(node.claim()) == ["id-3", "id-4"]

    def test_a_waiting_claim_is_woken_by_one_that_leaves(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(3)))
        first, *_ = deliveries = node.claim()
        enter(node, *deliveries)
        other = world.node(name="w2@host")
        waiting = other.start(other.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))

        leave(node, first)

        assert task_ids(waiting.result(ANSWER_WITHIN).deliveries) == ["id-2"]

    def test_all_of_many_get_in_in_turn(self, broker: Broker, node: Node) -> None:
        ids = [f"id-{number:02}" for number in range(25)]
        publish(broker, *map(a_message, ids))
        begun: list[str] = []
        claims = 0
        while deliveries := node.claim(limit=7):
            claims += len(deliveries)
            entered = enter(node, *deliveries)
            begun += entered
            leave(node, *(delivery for delivery in deliveries if delivery.message.task_id in entered))

        assert begun == ids
        assert claims <= 50

    def test_who_comes_later_does_not_go_before_those_who_wait(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(3)))
        first, *_ = deliveries = node.claim()
        enter(node, *deliveries)
        publish(broker, a_message("later", priority=0, queue="other"))
        later = node.claim("other")
        leave(node, first)

        assert enter(node, *later) == []
        assert enter(node, *node.claim()) == ["id-2"]

    def test_other_keys_have_room_of_their_own(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(4)))
        a, b, c, d = node.claim()

        entered = node.enter((a, Room("one", 1)), (b, Room("one", 1)), (c, Room("two", 1)), (d, Room("two", 1)))

        assert entered == [True, False, True, False]

    def test_all_nodes_share_the_room(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(4)))
        other = world.node(name="w2@host")
        mine, others = node.claim(limit=2), other.claim(limit=2)

        assert enter(node, *mine) == ["id-0", "id-1"]
        assert enter(other, *others) == []

    def test_who_is_inside_may_ask_again(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("a"), a_message("b"), a_message("c"))
        deliveries = node.claim()
        enter(node, *deliveries)

        assert enter(node, *deliveries[:2]) == ["a", "b"]

    def test_a_release_ends_the_stay(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("a"), a_message("b"), a_message("c"))
        a, b, c = node.claim()
        enter(node, a, b)

        node.release(a)

        assert enter(node, c) == ["c"]
        assert enter(node, *node.claim()) == []

    def test_the_death_of_a_node_ends_its_stay(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(4)))
        enter(node, *node.claim())
        other = world.node(name="w2@host")
        world.kill(node)

        world.outlast_lease(other)
        turns = []
        while deliveries := other.claim():
            entered = enter(other, *deliveries)
            turns.append(len(entered))
            leave(other, *(one for one in deliveries if one.message.task_id in entered))

        assert sum(turns) == 4
        assert max(turns) == 2

    def test_who_lost_the_claim_does_not_get_in(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        [late] = node.claim()
        node.release(late)
        other = world.node(name="w2@host")
        [now] = other.claim()

        assert enter(node, late) == []
        assert enter(other, now) == ["id-1"]
        assert other.finish(now) == []

    def test_more_room_lets_more_in(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(6)))
        first, *_ = deliveries = node.claim()
        enter(node, *deliveries)

        leave(node, first, room=Room("k", 4))

        assert task_ids(node.claim()) == ["id-2", "id-3", "id-4"]

    def test_purging_what_waits_lets_nobody_wait_for_it(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(5)))
        first, second, *_ = deliveries = node.claim()
        enter(node, *deliveries)
        leave(node, first)

        broker.purge("q")
        leave(node, second)
        publish(broker, a_message("new"))

        clean(broker)
        assert enter(node, *node.claim()) + enter(node, *node.claim()) == ["new"]
