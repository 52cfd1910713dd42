"""How claims end."""

from __future__ import annotations

import pytest

from celeriac.brokers.base import Broker, QueueDepth, ReleaseCause
from celeriac.testing.brokers.suite import WorldSuite, end_of, publish
from celeriac.testing.worlds import (
    BrokerWorld,
    Node,
    a_message,
    task_ids,
)


class SettleAndRelease(WorldSuite):
    """Check how claims end."""

    def test_what_was_settled_is_gone(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())

        refused = node.finish(*node.claim())

        assert refused == []
        assert broker.depths() == []
        world.outlast_lease(world.node(name="w2@host"))
        assert broker.depths() == []

    def test_a_delivery_is_settled_once(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        [delivery] = node.claim()
        end = end_of(delivery, a_message("follow-up"))

        first, second = node.settle(end), node.settle(end)

        assert (first, second) == ([], [end])
        assert task_ids(node.claim()) == ["follow-up"]

    def test_a_delivery_that_is_named_twice_is_settled_once(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        results = world.results()
        publish(broker, a_message())
        [delivery] = node.claim()
        end = end_of(delivery, a_message("follow-up"))

        refused = node.settle(end, end, results=results)

        assert refused == [end]
        assert task_ids(node.claim()) == ["follow-up"]
        if results is not None:
            assert results.get("id-1") is not None

    def test_a_delivery_from_before_cannot_settle_another_message(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("old"))
        old = node.claim()
        node.finish(*old)
        publish(broker, a_message("new"))
        new = node.claim()

        refused = node.finish(*old)

        assert len(refused) == 1
        assert node.finish(*new) == []

    def test_a_delivery_of_an_earlier_claim_settles_nothing(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        before = node.claim()
        node.release(*before)
        now = node.claim()

        node.release(*before)
        refused = node.finish(*before)

        assert len(refused) == 1
        assert node.finish(*now) == []

    def test_settling_nothing_is_allowed(self, node: Node) -> None:
        assert node.settle() == []

    def test_what_follows_is_published(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("parent"))
        [parent] = node.claim()

        node.settle(end_of(parent, a_message("child", queue="other"), a_message("second child", queue="other")))

        assert task_ids(node.claim("other")) == ["child", "second child"]

    def test_what_follows_may_be_delayed(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message("id-1"))
        claim = node.look()
        [delivery] = claim.deliveries

        node.settle(end_of(delivery, a_message("id-1", eta_at=claim.now + 30.0)))

        assert node.claim() == []
        world.advance(31.0)
        assert task_ids(node.claim()) == ["id-1"]

    def test_results_are_stored_with_the_settlement(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        results = world.results()
        if results is None:
            return
        publish(broker, a_message("a", body=b"1"), a_message("b", body=b"2"))

        node.settle(*map(end_of, node.claim()), results=results)

        assert {id_: found.record for id_, found in results.get_many(["a", "b"]).items()} == {"a": b"1", "b": b"2"}
        assert results.wait(["b"], timeout=0).keys() == {"b"}

    def test_one_refusal_does_not_stop_the_rest_of_a_batch(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(3)))
        deliveries = node.claim()
        node.finish(deliveries[1])

        refused = node.settle(*(end_of(delivery, a_message("child", queue="other")) for delivery in deliveries))

        assert [settlement.delivery for settlement in refused] == [deliveries[1]]
        assert len(node.claim("other")) == 2
        assert broker.depths(["q"]) == [QueueDepth(queue="q")]

    def test_only_results_in_the_same_store_are_settled_with_it(self, world: BrokerWorld, node: Node) -> None:
        results = world.results()

        assert results is None or node.consumer.shares_store_with(results)
        assert not node.consumer.shares_store_with(None)
        assert not node.consumer.shares_store_with(object())

    def test_a_released_message_keeps_its_place(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("first"), a_message("second"))

        node.release(*node.claim(limit=1))

        assert task_ids(node.claim()) == ["first", "second"]

    def test_messages_that_are_released_together_keep_their_order(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(task_id) for task_id in "abcd"))
        first, second, third = node.claim(limit=3)

        node.release(third, first, second)

        assert task_ids(node.claim()) == ["a", "b", "c", "d"]

    def test_two_messages_of_one_id_count_apart(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("same", body=b"[1]"), a_message("same", body=b"[2]"))
        one, other = node.claim()

        node.release(one, cause=ReleaseCause.CRASH)
        node.release(other)

        counted = {delivery.message.body: delivery.crashes for delivery in node.claim()}
        assert counted == {b"[1]": 1, b"[2]": 0}

    def test_refusals_come_in_the_order_of_what_was_asked_for(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(task_id) for task_id in "abcd"))
        first, second, third, fourth = node.claim()
        node.finish(first, third)
        batch = [end_of(delivery) for delivery in (third, fourth, first, second)]

        assert node.settle(*batch) == [batch[0], batch[2]]

    def test_a_node_holds_what_it_claimed_under_its_present_lease(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, a_message("a"), a_message("b"))
        [first] = node.claim(limit=1)
        other = world.node(name="w2@host")
        [second] = other.claim(limit=1)
        world.outlast_lease(other)
        held_before_opening = node.consumer.holds(first)

        node.open()

        assert held_before_opening
        assert not node.consumer.holds(first)
        assert not node.consumer.holds(second)
        assert other.consumer.holds(second)

    def test_a_release_may_be_delayed(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message("first"), a_message("second"))
        claim = node.look(limit=1)

        node.release(*claim.deliveries, eta_at=claim.now + 20.0)

        assert broker.depths() == [QueueDepth(queue="q", ready=1, delayed=1)]
        assert task_ids(node.claim()) == ["second"]
        world.advance(21.0)
        assert task_ids(node.claim()) == ["first"]

    @pytest.mark.parametrize(
        ("cause", "crashes", "releases"),
        [
            (ReleaseCause.UNCOUNTED, 0, 0),
            (ReleaseCause.CRASH, 1, 0),
            (ReleaseCause.UNKNOWN_TASK, 0, 1),
        ],
    )
    def test_a_release_counts_as_what_caused_it(
        self, broker: Broker, node: Node, cause: ReleaseCause, crashes: int, releases: int
    ) -> None:
        publish(broker, a_message())

        node.release(*node.claim(), cause=cause)

        [delivery] = node.claim()
        assert (delivery.crashes, delivery.releases, delivery.node_losses) == (crashes, releases, 0)

    @pytest.mark.parametrize("cause", ReleaseCause)
    def test_what_was_released_is_delivered_as_what_somebody_has_had(
        self, broker: Broker, node: Node, cause: ReleaseCause
    ) -> None:
        publish(broker, a_message())

        node.release(*node.claim(), cause=cause)

        [delivery] = node.claim()
        assert delivery.redelivered

    def test_counts_survive_other_owners(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        node.release(*node.claim(), cause=ReleaseCause.CRASH)
        node.release(*node.claim(), cause=ReleaseCause.UNKNOWN_TASK)
        second = world.node(name="w2@host")
        second.release(*second.claim(), cause=ReleaseCause.CRASH)
        second.release(*second.claim())

        [delivery] = world.node(name="w3@host").claim()

        assert (delivery.crashes, delivery.releases) == (2, 1)
        assert delivery.redelivered

    def test_releasing_what_was_settled_changes_nothing(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        held = node.claim()
        node.finish(*held)

        node.release(*held)

        assert broker.depths() == []

    def test_releasing_twice_counts_once(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        held = node.claim()

        node.release(*held, cause=ReleaseCause.CRASH)
        node.release(*held, cause=ReleaseCause.CRASH)

        assert [delivery.crashes for delivery in node.claim()] == [1]
