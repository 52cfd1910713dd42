"""What every broker must do, as a suite for pytest.

    class TestMemoryBroker(BrokerConformance):
        @pytest.fixture
        def world(self):
            world = MemoryWorld()
            yield world
            world.end()

pytest shows the values in failed assertions when `pytest.register_assert_rewrite("celeriac.testing.brokers")` runs
before the import.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from celeriac.brokers.base import Broker, Delivery, Incarnation, QueueDepth, ReleaseCause, Settlement
from celeriac.exceptions import BrokerUnavailable, LeaseLost
from celeriac.message import Message
from celeriac.states import FAILURE, SUCCESS
from celeriac.testing.worlds import (
    ANSWER_WITHIN,
    LEASE_OUTLASTED,
    BrokerWorld,
    Node,
    a_message,
    a_result,
    task_ids,
)

MIB = 1024 * 1024


def publish(broker: Broker, *messages: Message) -> None:
    """Publish with a deadline that no working broker misses."""
    broker.publish(messages, deadline_at=time.monotonic() + ANSWER_WITHIN)


def clean(broker: Broker) -> int:
    """Clean until nothing is left to do, and say how much that was."""
    total = 0
    while cleaned := broker.clean():
        total += cleaned
    return total


def end_of(delivery: Delivery, *publish: Message) -> Settlement:
    """Settle a delivery as a success whose record names its message."""
    message = delivery.message
    return Settlement(delivery=delivery, result=a_result(message.task_id, record=message.body), publish=publish)


class WorldSuite:
    """Give the suites below their fixtures; an adapter's test class overrides `world`."""

    @pytest.fixture
    def world(self) -> BrokerWorld:
        raise NotImplementedError(f"{type(self).__name__} must have a fixture `world` that returns a BrokerWorld")

    @pytest.fixture
    def broker(self, world: BrokerWorld) -> Broker:
        return world.broker()

    @pytest.fixture
    def node(self, world: BrokerWorld, broker: Broker) -> Node:
        return world.node(broker)


class PublishAndClaim(WorldSuite):
    """Check how messages get from producers to owners."""

    def test_a_message_arrives_as_it_was_published(self, broker: Broker, node: Node) -> None:
        message = Message(
            task_id="id-1",
            queue="q",
            headers=b'{"task": "shop.pay", "id": "id-1"}',
            body=b"\x00\xff not text",
            priority=7,
            content_type="application/x-other",
            content_encoding="binary",
            properties=b'{"reply_to": "r"}',
        )

        publish(broker, message)

        [delivery] = node.claim()
        assert delivery.message == message
        assert node.consumer.holds(delivery)
        assert (delivery.crashes, delivery.node_losses, delivery.releases) == (0, 0, 0)
        assert not delivery.redelivered
        assert delivery.fault is None

    def test_messages_are_claimed_in_the_order_of_publishing(self, broker: Broker, node: Node) -> None:
        ids = [f"id-{number:02}" for number in range(25)]
        publish(broker, *(a_message(task_id) for task_id in ids[:10]))
        for task_id in ids[10:]:
            publish(broker, a_message(task_id))

        first, then = node.claim(limit=12), node.claim()

        assert task_ids(first) == ids[:12]
        assert task_ids(then) == ids[12:]

    def test_lower_priority_numbers_are_served_first(self, broker: Broker, node: Node) -> None:
        for task_id, priority in [("late", 9), ("first", 0), ("middle", 3), ("second", 0), ("last", 255)]:
            publish(broker, a_message(task_id, priority=priority))

        assert task_ids(node.claim()) == ["first", "second", "middle", "late", "last"]

    def test_publishing_nothing_is_allowed(self, broker: Broker, node: Node) -> None:
        publish(broker)

        assert node.claim() == []

    def test_one_task_id_may_be_published_twice(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("same"), a_message("same"))

        first, second = node.claim()
        node.finish(first)

        assert first.tag != second.tag
        assert node.finish(second) == []

    def test_only_the_named_queues_are_claimed(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("a", queue="qa"), a_message("b", queue="qb"))

        assert task_ids(node.claim("qb")) == ["b"]
        assert node.claim("q") == []

    def test_a_claim_takes_no_more_than_its_limit(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(5)))

        assert [len(node.claim(limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    def test_what_one_node_has_claimed_nobody_else_gets(self, world: BrokerWorld, broker: Broker) -> None:
        publish(broker, a_message())
        first, second = world.node(), world.node()

        assert len(first.claim()) == 1
        assert second.claim() == []
        assert first.claim() == []

    def test_nodes_that_claim_at_once_share_without_overlap(self, world: BrokerWorld, broker: Broker) -> None:
        ids = {f"id-{number}" for number in range(300)}
        publish(broker, *map(a_message, ids))
        nodes = [world.node(name=f"w{number}@host") for number in range(3)]

        def drain(node: Node) -> list[str]:
            got: list[str] = []
            while claimed := node.claim(limit=7):
                got += task_ids(claimed)
            return got

        with ThreadPoolExecutor(3) as threads:
            claimed = [task_id for got in threads.map(drain, nodes) for task_id in got]

        assert len(claimed) == 300
        assert set(claimed) == ids

    def test_what_many_threads_publish_is_all_there(self, broker: Broker, node: Node) -> None:
        batches = [[a_message(f"{thread}-{number}") for number in range(50)] for thread in range(4)]

        def publish_each(batch: list[Message]) -> None:
            for message in batch:
                publish(broker, message)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(publish_each, batches))

        assert Counter(task_ids(node.claim(limit=1000))) == Counter(m.task_id for batch in batches for m in batch)

    def test_a_waiting_claim_is_woken_by_a_publish(self, broker: Broker, node: Node) -> None:
        for number in range(20):
            waiting = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))

            publish(broker, a_message(f"id-{number}"))

            claim = waiting.result(ANSWER_WITHIN)
            assert task_ids(claim.deliveries) == [f"id-{number}"]

    def test_a_waiting_claim_is_woken_by_a_release(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        held = node.claim()
        other = world.node(name="w2@host")
        waiting = other.start(other.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))

        node.release(*held)

        assert task_ids(waiting.result(ANSWER_WITHIN).deliveries) == ["id-1"]

    def test_a_claim_that_finds_nothing_returns_after_its_wait(self, node: Node) -> None:
        claim = node.look(wait=0.05)

        assert claim.deliveries == []

    def test_every_claim_tells_the_time_of_the_store(self, world: BrokerWorld, node: Node) -> None:
        before = node.look().now

        world.advance(100.0)

        assert node.look().now == pytest.approx(before + 100.0, abs=5.0)

    def test_a_delayed_message_is_never_early(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        due_at = node.look().now + 60.0
        publish(broker, a_message("later", eta_at=due_at), a_message("now"))

        assert task_ids(node.claim()) == ["now"]
        world.advance(50.0)
        assert node.claim() == []
        world.advance(11.0)
        claim = node.look()
        assert task_ids(claim.deliveries) == ["later"]
        assert claim.now >= due_at

    def test_a_delayed_message_has_its_old_place_when_it_is_due(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        due_at = node.look().now + 10.0
        publish(broker, a_message("first", eta_at=due_at), a_message("second"))

        world.advance(11.0)

        assert task_ids(node.claim()) == ["first", "second"]

    def test_a_waiting_claim_gets_what_becomes_due(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message(eta_at=node.look().now + 0.2))
        waiting = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))

        world.advance(1.0)

        assert task_ids(waiting.result(ANSWER_WITHIN).deliveries) == ["id-1"]

    @pytest.mark.parametrize("limit", [1, 10])
    def test_no_queue_starves_beside_a_full_one(self, broker: Broker, node: Node, limit: int) -> None:
        publish(broker, *(a_message(f"full-{number}", queue="full") for number in range(100)))
        publish(broker, a_message("lonely", queue="other"))

        first_two = task_ids(node.claim("full", "other", limit=limit) + node.claim("full", "other", limit=limit))

        assert "lonely" in first_two

    def test_a_claim_weighs_no_more_than_its_budget(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}", body=bytes(6 * MIB)) for number in range(3)))

        assert [len(node.claim()) for _ in range(3)] == [2, 1, 0]

    def test_an_oversized_message_arrives_as_a_fault(self, world: BrokerWorld, broker: Broker) -> None:
        publish(broker, a_message("big", body=bytes(2000)), a_message("small"))
        node = world.node(world.broker(message_max_bytes=1000))

        big, small = node.claim()

        assert big.message.task_id == "big"
        assert big.message.body == b""
        assert big.fault is not None
        assert "message_max_bytes" in big.fault
        assert (small.message.task_id, small.fault) == ("small", None)

    def test_an_oversized_message_can_be_dead_lettered(self, world: BrokerWorld, broker: Broker) -> None:
        message = a_message("big", body=bytes(2000))
        publish(broker, message)
        strict = world.broker(message_max_bytes=1000)
        node = world.node(strict)

        node.bury(*node.claim(), reason="too large")

        [letter] = strict.dead_letters()
        shown = strict.dead_letter(letter.number)
        assert letter.size_bytes == message.size_bytes
        assert shown is not None
        assert shown.message in (None, message)


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


class QueuesAndDeadLetters(WorldSuite):
    """Check what people see and do: depths, purging, dead letters."""

    def test_depths_count_every_message_once(self, broker: Broker, node: Node) -> None:
        claim_now = node.look().now
        publish(broker, *(a_message(f"b-{number}", queue="b") for number in range(4)))
        publish(broker, a_message("later", queue="b", eta_at=claim_now + 60.0), a_message("a", queue="a"))
        claimed = node.claim("b", limit=3)

        node.bury(claimed[0])

        assert broker.depths() == [
            QueueDepth(queue="a", ready=1),
            QueueDepth(queue="b", ready=1, delayed=1, claimed=2, dead=1),
        ]
        assert broker.depths(["a", "empty"]) == [QueueDepth(queue="a", ready=1), QueueDepth(queue="empty")]

    def test_purging_deletes_what_waits_and_leaves_claims(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(4)), a_message("other", queue="other"))
        publish(broker, a_message("later", eta_at=node.look("none").now + 60.0))
        held = node.claim(limit=1)

        purged = broker.purge("q")

        assert purged == 4
        assert broker.depths() == [QueueDepth(queue="other", ready=1), QueueDepth(queue="q", claimed=1)]
        assert node.finish(*held) == []

    def test_a_purged_queue_can_be_used_again(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("old"))
        broker.purge("q")

        publish(broker, a_message("new"))

        assert task_ids(node.claim()) == ["new"]

    def test_a_dead_letter_keeps_the_message_and_the_reason(self, broker: Broker, node: Node) -> None:
        message = a_message("id-1", task="shop.pay", body=b"[[1], {}, {}]")
        publish(broker, message)
        claim = node.look()

        node.bury(*claim.deliveries, reason="3 crashes: signal 9")

        [letter] = broker.dead_letters()
        assert (letter.queue, letter.task_id, letter.task) == ("q", "id-1", "shop.pay")
        assert letter.reason == "3 crashes: signal 9"
        assert letter.size_bytes == message.size_bytes
        assert letter.died_at == pytest.approx(claim.now, abs=5.0)
        assert letter.message is None
        shown = broker.dead_letter(letter.number)
        assert shown is not None
        assert shown.message == message
        assert node.claim() == []

    def test_a_dead_letter_needs_no_readable_headers(self, broker: Broker, node: Node) -> None:
        publish(broker, Message(task_id="id-1", queue="q", headers=b"\xff{", body=b""))

        node.bury(*node.claim())

        assert [(letter.task_id, letter.task) for letter in broker.dead_letters()] == [("id-1", None)]

    def test_dead_letters_are_listed_newest_first(self, broker: Broker, node: Node) -> None:
        for task_id, queue in [("a", "q1"), ("b", "q2"), ("c", "q1")]:
            publish(broker, a_message(task_id, queue=queue))
            node.bury(*node.claim(queue))

        assert [letter.task_id for letter in broker.dead_letters()] == ["c", "b", "a"]
        assert [letter.task_id for letter in broker.dead_letters(queue="q1")] == ["c", "a"]
        assert [letter.task_id for letter in broker.dead_letters(limit=2)] == ["c", "b"]
        assert broker.dead_letters(queue="q3") == []

    def test_an_unknown_dead_letter_is_none(self, broker: Broker) -> None:
        assert broker.dead_letter(12345) is None
        assert broker.replay([12345]) == []
        assert broker.discard([12345]) == 0

    def test_what_a_dead_letter_publishes_is_published(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        [delivery] = node.claim()

        node.settle(Settlement(delivery=delivery, dead_reason="poison", publish=(a_message("errback"),)))

        assert task_ids(node.claim()) == ["errback"]

    def test_a_replayed_message_starts_from_nothing(self, broker: Broker, node: Node) -> None:
        message = a_message()
        publish(broker, message)
        node.release(*node.claim(), cause=ReleaseCause.CRASH)
        node.release(*node.claim(), cause=ReleaseCause.UNKNOWN_TASK)
        node.bury(*node.claim())

        replayed = broker.replay([letter.number for letter in broker.dead_letters()])

        [delivery] = node.claim()
        assert replayed == ["id-1"]
        assert delivery.message == message
        assert (delivery.crashes, delivery.node_losses, delivery.releases) == (0, 0, 0)
        assert broker.dead_letters() == []

    def test_replaying_wakes_a_waiting_claim(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        node.bury(*node.claim())
        waiting = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))

        broker.replay([letter.number for letter in broker.dead_letters()])

        assert task_ids(waiting.result(ANSWER_WITHIN).deliveries) == ["id-1"]

    def test_replaying_forgets_the_failure_of_the_death(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        results = world.results()
        if results is None:
            return
        publish(broker, a_message())
        [delivery] = node.claim()
        death = Settlement(delivery=delivery, dead_reason="poison", result=a_result(state=FAILURE, retries=9))
        node.settle(death, results=results)
        assert results.wait(["id-1"], timeout=0).keys() == {"id-1"}

        broker.replay([letter.number for letter in broker.dead_letters()])

        assert results.wait(["id-1"], timeout=0) == {}
        results.store([a_result(state=SUCCESS)], once=True)
        found = results.get("id-1")
        assert found is not None
        assert found.state == SUCCESS

    def test_discarding_deletes_only_what_was_named(self, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(3)))
        node.bury(*node.claim())
        newest, *_ = broker.dead_letters()

        discarded = broker.discard([newest.number, 12345])

        assert discarded == 1
        assert len(broker.dead_letters()) == 2
        assert newest.number not in {letter.number for letter in broker.dead_letters()}

    def test_a_queue_keeps_its_newest_dead_letters(self, world: BrokerWorld) -> None:
        broker = world.broker(dead_letter_max=5)
        node = world.node(broker)
        publish(broker, a_message("other", queue="other"), *(a_message(f"id-{number}") for number in range(12)))
        for delivery in node.claim("q", "other"):
            node.bury(delivery)

        clean(broker)

        assert len(broker.dead_letters(queue="q")) == 5
        assert broker.dead_letters(queue="q")[0].task_id == "id-11"
        assert len(broker.dead_letters(queue="other")) == 1

    def test_cleaning_deletes_dead_letters_that_are_old(self, world: BrokerWorld) -> None:
        broker = world.broker(dead_letter_expires=3600.0)
        node = world.node(broker)
        publish(broker, a_message("old"))
        node.bury(*node.claim())
        world.advance(1800.0)
        publish(broker, a_message("young"))
        node.bury(*node.claim())
        world.advance(1900.0)

        cleaned = clean(broker)

        assert cleaned == 1
        assert [letter.task_id for letter in broker.dead_letters()] == ["young"]
        assert broker.clean() == 0


class BrokersThemselves(WorldSuite):
    """Check opening and closing."""

    def test_a_broker_may_be_closed_twice_and_used_again(self, broker: Broker, node: Node) -> None:
        broker.open(deadline_at=time.monotonic() + ANSWER_WITHIN)
        broker.close()
        broker.close()

        publish(broker, a_message())

        assert task_ids(node.claim()) == ["id-1"]

    def test_what_one_broker_publishes_another_one_sees(self, world: BrokerWorld, broker: Broker) -> None:
        other = world.broker()

        publish(broker, a_message())

        assert other.depths() == [QueueDepth(queue="q", ready=1)]
        assert other.url == broker.url

    def test_a_consumer_that_was_never_opened_owns_nothing(self, world: BrokerWorld, broker: Broker) -> None:
        publish(broker, a_message())
        node = Node(broker.consumer(Incarnation.begin("w1@host")))

        try:
            with pytest.raises((LeaseLost, BrokerUnavailable)):
                node.claim()
            node.close()
        finally:
            node.stop()
        assert broker.depths() == [QueueDepth(queue="q", ready=1)]


class BrokerConformance(PublishAndClaim, LeasesAndFences, SettleAndRelease, QueuesAndDeadLetters, BrokersThemselves):
    """Be the whole suite: subclass it, give it a fixture `world`, and every promise of the port is checked."""
