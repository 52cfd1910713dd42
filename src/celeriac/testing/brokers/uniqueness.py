"""Who has a unique key, from the publish to the end of the run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from celeriac.brokers.base import Broker, Conflict, Delivery, QueueDepth, Settlement
from celeriac.message import Message, OnConflict, Unique
from celeriac.testing.brokers.suite import WorldSuite, clean, end_of, publish
from celeriac.testing.worlds import BrokerWorld, Node, a_message, task_ids

LASTS = 600.0


def unique(
    task_id: str,
    on_conflict: OnConflict = OnConflict.SKIP,
    *,
    key: str = "k",
    lasts: float = LASTS,
    eta_at: float | None = None,
    queue: str = "q",
) -> Message:
    """Make a message that wants a key."""
    wanted = Unique(key=key, lasts=lasts, on_conflict=on_conflict)
    return a_message(task_id, queue=queue, eta_at=eta_at, unique=wanted)


def ended(delivery: Delivery, *publish: Message) -> Settlement:
    """Settle a unique run so that its key ends with it."""
    return msgspec.structs.replace(end_of(delivery, *publish), frees="k")


def claimed(node: Node) -> list[tuple[str, str | None]]:
    """Claim, and return of each message its id and the run that has replaced it."""
    return [(delivery.message.task_id, delivery.replaced_by) for delivery in node.claim()]


class UniqueKeys(WorldSuite):
    """Check who has a unique key."""

    def test_a_second_message_of_a_key_is_left_out(self, broker: Broker, node: Node) -> None:
        first = publish(broker, unique("first"))

        second = publish(broker, unique("second"))

        assert list(first) == []
        assert list(second) == [Conflict(0, "k", "first")]
        assert task_ids(node.claim()) == ["first"]

    def test_a_claimed_unique_message_is_a_message_like_others(self, broker: Broker, node: Node) -> None:
        message = unique("id-1")
        publish(broker, message)

        [delivery] = node.claim()

        assert delivery.message == msgspec.structs.replace(message, unique=None)
        assert delivery.replaced_by is None

    def test_other_keys_are_other_runs(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("a", key="one"), unique("b", key="two"), a_message("c"))

        assert task_ids(node.claim()) == ["a", "b", "c"]

    def test_the_rest_of_a_batch_is_published(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))

        conflicts = publish(broker, a_message("x"), unique("second"), unique("other", key="o"))

        assert list(conflicts) == [Conflict(1, "k", "first")]
        assert task_ids(node.claim()) == ["first", "x", "other"]

    def test_one_key_twice_in_a_batch_is_one_run(self, broker: Broker, node: Node) -> None:
        conflicts = publish(broker, unique("first"), unique("second"))

        assert list(conflicts) == [Conflict(1, "k", "first")]
        assert task_ids(node.claim()) == ["first"]

    def test_one_that_is_to_raise_keeps_its_batch_out(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))

        conflicts = publish(broker, unique("other", key="o"), a_message("x"), unique("second", OnConflict.RAISE))

        assert list(conflicts) == [Conflict(2, "k", "first")]
        assert task_ids(node.claim()) == ["first"]
        assert list(publish(broker, unique("third", key="o"))) == []

    def test_the_same_id_is_a_second_call_too(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("same"))

        conflicts = publish(broker, unique("same"))

        assert list(conflicts) == [Conflict(0, "k", "same")]
        assert task_ids(node.claim()) == ["same"]

    def test_the_key_is_kept_while_its_run_is_claimed(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        node.claim()

        assert list(publish(broker, unique("second"))) == [Conflict(0, "k", "first")]

    def test_the_key_ends_with_the_settlement(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))

        node.settle(*map(ended, node.claim()))

        assert list(publish(broker, unique("second"))) == []
        assert task_ids(node.claim()) == ["second"]

    def test_the_key_ends_with_a_dead_letter(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))

        node.settle(*(Settlement(delivery=one, dead_reason="poison", frees="k") for one in node.claim()))

        assert list(publish(broker, unique("second"))) == []

    def test_a_refused_settlement_frees_nothing(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        [late] = node.claim()
        node.release(late)
        other = world.node(name="w2@host")
        assert task_ids(other.claim()) == ["first"]

        refused = node.settle(ended(late))

        assert len(refused) == 1
        assert list(publish(broker, unique("second"))) == [Conflict(0, "k", "first")]

    def test_a_settlement_frees_the_key_of_its_own_run_only(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, unique("first", lasts=10.0))
        [slow] = node.claim()
        world.advance(11.0)
        assert list(publish(broker, unique("second"))) == []

        node.settle(ended(slow))

        assert list(publish(broker, unique("third"))) == [Conflict(0, "k", "second")]

    def test_a_release_keeps_the_key(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))

        node.release(*node.claim())

        assert list(publish(broker, unique("second"))) == [Conflict(0, "k", "first")]

    def test_a_dead_node_keeps_no_key_beyond_its_run(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        node.claim()
        other = world.node(name="w2@host")
        world.kill(node)

        world.outlast_lease(other)
        while_it_waits = list(publish(broker, unique("second")))
        other.settle(*map(ended, other.claim()))

        assert while_it_waits == [Conflict(0, "k", "first")]
        assert list(publish(broker, unique("third"))) == []

    def test_the_next_attempt_keeps_the_key(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        [attempt] = node.claim()

        node.settle(end_of(attempt, unique("first", OnConflict.KEEP)))

        assert list(publish(broker, unique("second"))) == [Conflict(0, "k", "first")]
        assert task_ids(node.claim()) == ["first"]

    def test_the_next_attempt_keeps_the_key_as_long_as_it_lasts_anew(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, unique("first", lasts=10.0))
        claim = node.look()
        [attempt] = claim.deliveries

        node.settle(end_of(attempt, unique("first", OnConflict.KEEP, lasts=10.0, eta_at=claim.now + 30.0)))

        world.advance(35.0)
        assert list(publish(broker, unique("second"))) == [Conflict(0, "k", "first")]
        world.advance(10.0)
        assert list(publish(broker, unique("third"))) == []

    def test_an_attempt_whose_key_was_lost_is_published_without_it(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, unique("first", lasts=10.0))
        [attempt] = node.claim()
        world.advance(11.0)
        publish(broker, unique("second"))

        node.settle(end_of(attempt, unique("first", OnConflict.KEEP)))

        assert claimed(node) == [("second", None), ("first", None)]
        assert list(publish(broker, unique("third"))) == [Conflict(0, "k", "second")]

    def test_the_key_ends_by_itself(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, unique("first", lasts=10.0))

        world.advance(9.0)
        before = list(publish(broker, unique("second")))
        world.advance(2.0)
        after = list(publish(broker, unique("third")))

        assert before == [Conflict(0, "k", "first")]
        assert after == []
        assert claimed(node) == [("first", None), ("third", None)]

    def test_a_delayed_run_has_its_key_from_its_eta_on(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, unique("first", lasts=10.0, eta_at=node.look().now + 100.0))

        world.advance(105.0)

        assert list(publish(broker, unique("second"))) == [Conflict(0, "k", "first")]

    def test_what_replaces_another_run_has_the_key(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))

        replaced = list(publish(broker, unique("second", OnConflict.REPLACE)))

        assert replaced == []
        assert list(publish(broker, unique("third"))) == [Conflict(0, "k", "second")]
        assert claimed(node) == [
            ("first", "second"),
            ("second", None),
        ]

    def test_a_replaced_run_that_ends_frees_nothing(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        [running] = node.claim()
        publish(broker, unique("second", OnConflict.REPLACE))

        node.settle(ended(running))

        assert list(publish(broker, unique("third"))) == [Conflict(0, "k", "second")]

    def test_a_replaced_run_that_comes_back_is_replaced_still(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        running = node.claim()
        publish(broker, unique("second", OnConflict.REPLACE))

        node.release(*running)

        assert claimed(node) == [
            ("first", "second"),
            ("second", None),
        ]

    def test_the_next_attempt_of_a_replaced_run_is_replaced_too(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        [running] = node.claim()
        publish(broker, unique("second", OnConflict.REPLACE))

        node.settle(end_of(running, unique("first", OnConflict.KEEP)))

        assert claimed(node) == [
            ("second", None),
            ("first", "second"),
        ]

    def test_the_next_attempt_of_a_replaced_run_is_in_nobodys_way(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        [running] = node.claim()
        publish(broker, unique("second", OnConflict.REPLACE))
        node.settle(*map(ended, node.claim()))

        node.settle(end_of(running, unique("first", OnConflict.KEEP)))

        assert list(publish(broker, unique("third"))) == []
        assert claimed(node) == [("first", "second"), ("third", None)]

    def test_nothing_is_kept_of_a_replaced_run_that_has_ended(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        publish(broker, unique("second", OnConflict.REPLACE))
        node.settle(*map(ended, node.claim()))

        publish(broker, unique("first"))

        assert claimed(node) == [("first", None)]

    def test_each_of_a_row_of_replacements_replaces_the_one_before(self, broker: Broker, node: Node) -> None:
        for number in range(4):
            publish(broker, unique(f"id-{number}", OnConflict.REPLACE))

        assert [one.replaced_by for one in node.claim()] == ["id-1", "id-2", "id-3", None]

    def test_what_follows_yields_to_the_run_that_has_its_key(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"), a_message("parent"))
        [first, parent] = node.claim()

        node.settle(end_of(parent, unique("child", OnConflict.YIELD)))
        [child] = node.claim()
        node.settle(ended(child), ended(first))

        assert (child.message.task_id, child.replaced_by) == ("child", "first")
        assert list(publish(broker, unique("second"))) == []

    def test_what_follows_does_not_yield_to_itself(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("child", OnConflict.YIELD))

        publish(broker, unique("child", OnConflict.YIELD))

        assert claimed(node) == [("child", None), ("child", None)]

    def test_what_follows_may_have_the_key_of_the_run_that_ends(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))

        node.settle(*(ended(one, unique("next", OnConflict.YIELD)) for one in node.claim()))

        assert claimed(node) == [("next", None)]
        assert list(publish(broker, unique("second"))) == [Conflict(0, "k", "next")]

    def test_a_key_is_freed_without_a_delivery(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("first"))
        node.finish(*node.claim())

        node.free(("k", "another"))
        still = list(publish(broker, unique("second")))
        node.free(("k", "first"))

        assert still == [Conflict(0, "k", "first")]
        assert list(publish(broker, unique("third"))) == []

    def test_of_many_that_publish_at_once_one_has_the_key(self, world: BrokerWorld, node: Node) -> None:
        brokers = [world.broker() for _ in range(4)]

        def publish_each(number: int) -> list[Conflict]:
            return [
                conflict
                for turn in range(25)
                for conflict in publish(brokers[number], unique(f"{number}-{turn}", key=f"k{turn}"))
            ]

        with ThreadPoolExecutor(4) as threads:
            conflicts = [conflict for found in threads.map(publish_each, range(4)) for conflict in found]

        holders = {delivery.message.task_id for delivery in node.claim()}
        assert len(holders) == 25
        assert len(conflicts) == 75
        assert {conflict.task_id for conflict in conflicts} <= holders

    def test_purging_frees_keys(self, broker: Broker, node: Node) -> None:
        publish(broker, unique("claimed", key="c"))
        node.claim()
        publish(broker, unique("waits"), unique("later", key="l", eta_at=node.look().now + 60.0))

        broker.purge("q")

        assert list(publish(broker, unique("a"), unique("b", key="l"))) == []
        assert list(publish(broker, unique("d", key="c"))) == [Conflict(0, "c", "claimed")]

    @pytest.mark.parametrize("taken", [True, False])
    def test_a_replayed_dead_letter_has_its_key_when_that_is_free(
        self, broker: Broker, node: Node, taken: bool
    ) -> None:
        publish(broker, unique("first"))
        node.settle(*(Settlement(delivery=one, dead_reason="poison", frees="k") for one in node.claim()))
        if taken:
            publish(broker, unique("second"))

        broker.replay([letter.number for letter in broker.dead_letters()])

        assert set(claimed(node)) >= {("first", None)}
        holder = "second" if taken else "first"
        assert list(publish(broker, unique("third"))) == [Conflict(0, "k", holder)]

    def test_cleaning_forgets_keys_that_have_ended(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, unique("first", lasts=10.0))
        node.finish(*node.claim())
        world.advance(11.0)

        clean(broker)

        assert list(publish(broker, unique("second"))) == []
        assert broker.depths() == [QueueDepth(queue="q", ready=1)]
