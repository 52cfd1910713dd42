"""How messages get from producers to owners."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from celeriac.brokers.base import Broker
from celeriac.message import Message
from celeriac.testing.brokers.suite import MIB, WorldSuite, publish
from celeriac.testing.worlds import (
    ANSWER_WITHIN,
    BrokerWorld,
    Node,
    a_message,
    task_ids,
)


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

    def test_ten_thousand_are_published_and_claimed_at_once(self, broker: Broker, node: Node) -> None:
        ids = [f"id-{number}" for number in range(10_000)]

        publish(broker, *map(a_message, ids))
        claimed = node.claim(limit=10_000)

        assert task_ids(claimed) == ids
        assert node.finish(*claimed) == []
        assert broker.depths() == []

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

    @pytest.mark.parametrize("part", [{"body": bytes(6 * MIB)}, {"properties": b'{"x": "%b"}' % (b"x" * 6 * MIB)}])
    def test_a_claim_weighs_no_more_than_its_budget(self, broker: Broker, node: Node, part: dict[str, Any]) -> None:
        heavy = [msgspec.structs.replace(a_message(f"id-{n}"), **part) for n in range(3)]
        publish(broker, *heavy)

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
