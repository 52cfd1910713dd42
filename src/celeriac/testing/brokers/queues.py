"""What people see and do: depths, purging, dead letters, owners."""

from __future__ import annotations

import time

import pytest

from celeriac.brokers.base import Broker, QueueDepth, ReleaseCause, Settlement
from celeriac.message import Message
from celeriac.states import FAILURE, SUCCESS
from celeriac.testing.brokers.suite import WorldSuite, clean, publish
from celeriac.testing.worlds import (
    ANSWER_WITHIN,
    BrokerWorld,
    Node,
    a_message,
    a_result,
    task_ids,
)


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

    def test_what_was_acked_before_its_run_can_be_a_dead_letter_too(self, broker: Broker, node: Node) -> None:
        published = [a_message(f"id-{number}", body=b"[[]", priority=number) for number in range(2)]
        publish(broker, *published)
        node.finish(*node.claim())
        until = time.monotonic() + ANSWER_WITHIN

        broker.bury([(message, f"reason of {message.task_id}") for message in published], deadline_at=until)
        broker.bury([], deadline_at=until)

        letters = broker.dead_letters()
        assert [(letter.task_id, letter.reason) for letter in letters] == [
            ("id-1", "reason of id-1"),
            ("id-0", "reason of id-0"),
        ]
        shown = [broker.dead_letter(letter.number) for letter in letters]
        assert [letter.message for letter in shown if letter is not None] == published[::-1]
        broker.replay([letters[0].number])
        assert [delivery.message for delivery in node.claim()] == [published[1]]

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

    def test_several_letters_are_replayed_at_once(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        results = world.results()
        publish(broker, a_message("a"), a_message("b"), a_message("c", queue="other"))
        deaths = [
            Settlement(delivery=one, dead_reason="poison", result=a_result(one.message.task_id, FAILURE))
            for one in node.claim("q", "other")
        ]
        node.settle(*deaths, results=results)

        broker.replay([letter.number for letter in broker.dead_letters()])

        assert sorted(task_ids(node.claim("q", "other"))) == ["a", "b", "c"]
        assert broker.dead_letters() == []
        assert results is None or results.get_many(["a", "b", "c"]) == {}

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

    def test_a_broker_knows_the_nodes_that_live(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        other = world.node(broker)

        assert [one.token for one in broker.owners()] == [one.token for one in (*other.peers(), *node.peers())], (
            "in the order in which they registered"
        )
        other.close()
        assert len(broker.owners()) == 1
        node.close()
        assert broker.owners() == []

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
