"""Who owns what, and what becomes of it when an owner dies."""

from __future__ import annotations

import pytest

from celeriac.brokers.base import Broker, QueueDepth, ReleaseCause
from celeriac.exceptions import BrokerUnavailable, LeaseLost
from celeriac.testing.brokers.suite import WorldSuite, end_of, publish
from celeriac.testing.worlds import (
    ANSWER_WITHIN,
    LEASE_OUTLASTED,
    BrokerWorld,
    Node,
    a_message,
    task_ids,
)


class LeasesAndFences(WorldSuite):
    """Check that what a dead node held comes back, and that nobody else's does."""

    def test_every_opening_has_a_new_owner_number(self, world: BrokerWorld) -> None:
        first, second = world.node(), world.node()
        numbers = [first.consumer.owner, second.consumer.owner]

        second.close()
        second.open()
        numbers.append(second.consumer.owner)
        numbers.append(world.node().consumer.owner)

        assert len(set(numbers)) == 4

    def test_what_a_dead_node_held_comes_back(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message("a"), a_message("b"))
        node.claim()
        watcher = world.node(name="w2@host")

        world.kill(node)
        recovered = world.outlast_lease(watcher)

        deliveries = watcher.claim()
        assert recovered == 2
        assert task_ids(deliveries) == ["a", "b"]
        assert all(delivery.redelivered for delivery in deliveries)

    def test_a_successor_of_the_same_name_recovers_its_predecessor(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, a_message())
        node.claim()

        world.kill(node)
        successor = world.node(broker)
        world.outlast_lease(successor)

        assert task_ids(successor.claim()) == ["id-1"]

    def test_recovery_wakes_a_waiting_claim(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        node.claim()
        watcher, idle = world.node(name="w2@host"), world.node(name="w3@host")
        waiting = idle.start(idle.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))

        world.kill(node)
        for _ in range(LEASE_OUTLASTED):
            idle.extend()
            world.advance(1.0)
            watcher.recover()

        assert task_ids(waiting.result(ANSWER_WITHIN).deliveries) == ["id-1"]

    def test_a_node_that_extends_is_never_called_dead(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        held = node.claim()
        watcher = world.node(name="w2@host")

        for second in range(30):
            world.advance(1.0)
            if second % 2:
                node.extend()
            assert watcher.recover() == 0

        assert node.finish(*held) == []

    def test_time_in_which_nobody_looked_proves_no_death(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        held = node.claim()
        watcher = world.node(name="w2@host")
        watcher.recover()

        world.advance(3600.0)
        recovered = watcher.recover()

        assert recovered == 0
        assert node.finish(*held) == []

    def test_a_node_that_was_called_dead_is_told_so(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message("a"), a_message("b"))
        node.claim(limit=1)

        world.outlast_lease(world.node(name="w2@host"))

        with pytest.raises(LeaseLost):
            node.extend()
        with pytest.raises(LeaseLost):
            node.claim()
        assert broker.depths() == [QueueDepth(queue="q", ready=2)]

    def test_a_waiting_claim_of_a_dead_owner_takes_nothing(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        waiting = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))
        watcher = world.node(name="w2@host")

        world.outlast_lease(watcher)
        publish(broker, a_message())

        with pytest.raises(LeaseLost):
            waiting.result(ANSWER_WITHIN)
        assert task_ids(watcher.claim()) == ["id-1"]

    def test_after_a_lost_lease_a_node_becomes_a_new_owner(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        before = node.consumer.owner
        world.outlast_lease(world.node(name="w2@host"))

        node.open()
        publish(broker, a_message())

        node.extend()
        [delivery] = node.claim()
        assert node.consumer.owner != before
        assert node.consumer.holds(delivery)

    def test_what_was_held_before_opening_again_is_not_parked(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, a_message())
        node.claim()

        node.open()
        world.outlast_lease(node)

        assert task_ids(node.claim()) == ["id-1"]

    def test_a_former_owner_settles_nothing(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message("a"))
        [delivery] = node.claim()
        watcher = world.node(name="w2@host")
        world.outlast_lease(watcher)
        results = world.results()
        late = end_of(delivery, a_message("follow-up"))

        refused = node.settle(late, results=results)

        assert refused == [late]
        assert task_ids(watcher.claim()) == ["a"]
        if results is not None:
            assert results.get("a") is None

    def test_a_former_owner_settles_nothing_while_another_one_has_the_message(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, a_message())
        held = node.claim()
        watcher = world.node(name="w2@host")
        world.outlast_lease(watcher)
        taken_over = watcher.claim()

        refused = node.bury(*held)

        assert len(refused) == 1
        assert broker.dead_letters() == []
        assert watcher.finish(*taken_over) == []

    def test_a_former_owner_cannot_release_what_it_lost(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        held = node.claim()
        watcher = world.node(name="w2@host")
        world.outlast_lease(watcher)
        watcher.claim()

        node.release(*held, cause=ReleaseCause.CRASH)

        assert broker.depths() == [QueueDepth(queue="q", claimed=1)]

    def test_the_death_of_a_node_counts_only_against_what_had_started(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, a_message("started"), a_message("ended"), a_message("waiting"))
        started, ended, _ = node.claim()
        for delivery in (started, ended):
            node.consumer.note_started(delivery)
        node.consumer.note_ended(ended)
        node.extend()
        watcher = world.node(name="w2@host")

        world.kill(node)
        world.outlast_lease(watcher)

        losses = {delivery.message.task_id: delivery.node_losses for delivery in watcher.claim()}
        assert losses == {"started": 1, "ended": 0, "waiting": 0}

    def test_node_losses_add_up(self, world: BrokerWorld, broker: Broker) -> None:
        publish(broker, a_message())
        watcher = world.node(name="watcher@host")

        for number in range(2):
            node = world.node(name=f"w{number}@host")
            node.consumer.note_started(*node.claim())
            node.extend()
            world.kill(node)
            world.outlast_lease(watcher)

        [delivery] = watcher.claim()
        assert delivery.node_losses == 2
        assert delivery.crashes == 0

    def test_living_nodes_know_their_peers(self, world: BrokerWorld, node: Node) -> None:
        second, third = world.node(name="w2@host"), world.node(name="w3@host")
        before = {peer.node for peer in node.peers()}

        second.close()
        world.kill(third)
        world.outlast_lease(node)

        assert before == {"w2@host", "w3@host"}
        assert node.peers() == []

    def test_reconcile_gives_back_what_the_node_does_not_know_of(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("known"), a_message("unknown"))
        known, _ = node.claim()

        released = node.reconcile([known.tag])

        [again] = node.claim()
        assert released == 1
        assert (again.message.task_id, again.crashes, again.node_losses, again.releases) == ("unknown", 0, 0, 0)
        assert node.finish(known, again) == []

    def test_reconcile_leaves_other_owners_alone(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        held = node.claim()

        released = world.node(name="w2@host").reconcile([])

        assert released == 0
        assert node.finish(*held) == []

    def test_closing_gives_back_uncounted(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        node.consumer.note_started(*node.claim())

        node.close()

        [delivery] = world.node(name="w2@host").claim()
        assert (delivery.crashes, delivery.node_losses, delivery.releases) == (0, 0, 0)

    def test_closing_twice_is_allowed(self, node: Node) -> None:
        node.close()
        node.close()

    def test_a_closed_node_claims_nothing(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())

        node.close()

        with pytest.raises((LeaseLost, BrokerUnavailable)):
            node.claim()
        assert broker.depths() == [QueueDepth(queue="q", ready=1)]
