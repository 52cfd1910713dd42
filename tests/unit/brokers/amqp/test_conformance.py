"""What RabbitMQ does of what a broker must do.

The server leases, recovers and counts by rules of its own, has no clock that tests could move, and tells nobody what is
claimed. So what rests on those is left out here, by name and reason; the fault tests prove it with real processes. What
brokers and nodes decide by their own clocks, such as when a revocation ends, is not.
"""

from __future__ import annotations

import time
from typing import Final

import pytest

from celeriac.testing.brokers.exchanges import Exchanges
from celeriac.testing.brokers.leases import LeasesAndFences
from celeriac.testing.brokers.opening import BrokersThemselves
from celeriac.testing.brokers.publishing import PublishAndClaim
from celeriac.testing.brokers.queues import QueuesAndDeadLetters
from celeriac.testing.brokers.revocations import Revocations, revocation, revoke
from celeriac.testing.brokers.settling import SettleAndRelease
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import a_message, task_ids
from tests.unit.brokers.amqp_world import AmqpWorld

NEEDS_A_CLOCK: Final = (
    "test_a_former_owner_settles_nothing_while_another_one_has_the_message",
    "test_a_successor_of_the_same_name_recovers_its_predecessor",
    "test_the_death_of_a_node_counts_only_against_what_had_started",
    "test_what_a_dead_node_had_is_with_it_until_it_is_recovered",
    "test_a_delayed_message_has_its_old_place_when_it_is_due",
    "test_a_delayed_message_is_never_early",
    "test_a_former_owner_cannot_release_what_it_lost",
    "test_a_former_owner_settles_nothing",
    "test_a_node_that_was_called_dead_is_told_so",
    "test_a_waiting_claim_gets_what_becomes_due",
    "test_a_waiting_claim_of_a_dead_owner_takes_nothing",
    "test_cleaning_deletes_dead_letters_that_are_old",
    "test_every_claim_tells_the_time_of_the_store",
    "test_living_nodes_know_their_peers",
    "test_node_losses_add_up",
    "test_the_queue_of_a_dead_node_ends_when_others_find_out",
    "test_to_end_a_run_once_more_is_news_after_a_while",
    "test_what_a_dead_node_held_comes_back",
    "test_what_follows_may_be_delayed",
    "test_what_was_held_before_opening_again_is_not_parked",
)
"""Those that let time pass for the server, need time to stand still, or wait for what it gives back by itself."""

OTHERWISE_HERE: Final = {
    "test_messages_that_are_released_together_keep_their_order": "each is delivered again as soon as it is back",
    "test_the_oldest_make_room_for_newer_ones": "the stream forgets by age, and by what it weighs",
    "test_what_was_acked_before_its_run_can_be_a_dead_letter_too": "headers are a table, whose JSON is written anew",
    "test_who_has_a_message_is_known": "the server does not tell what is claimed",
    "test_counts_survive_other_owners": "what comes back goes to any consumer, and here all of them stay",
    "test_no_queue_starves_beside_a_full_one": "the server chooses which queue it serves next",
    "test_a_broker_knows_the_nodes_that_live": "the server knows connections, and no nodes",
    "test_a_claim_weighs_no_more_than_its_budget": "properties that AMQP does not know do not travel",
    "test_a_dead_letter_keeps_the_message_and_the_reason": "headers are a table, whose JSON is written anew",
    "test_a_dead_letter_needs_no_readable_headers": "headers that are no table cannot be published at all",
    "test_a_message_that_reaches_nothing_is_an_error_that_says_so": "the server tells not what is bound",
    "test_a_queue_keeps_its_newest_dead_letters": "one queue holds all dead letters, and one limit holds for it",
    "test_a_release_may_be_delayed": "the ladder counts whole seconds, and does not tell what is on it",
    "test_a_replayed_message_starts_from_nothing": "likewise",
    "test_a_waiting_claim_is_woken_by_a_release": "what comes back goes to any consumer, this one too",
    "test_an_oversized_message_can_be_dead_lettered": "likewise",
    "test_depths_count_every_message_once": "the server does not tell what is claimed or delayed",
    "test_lower_priority_numbers_are_served_first": "higher numbers are served first, where a queue has x-max-priority",
    "test_purging_deletes_what_waits_and_leaves_claims": "what is on the ladder is in no queue yet",
    "test_ten_thousand_are_published_and_claimed_at_once": "a look sees what the server has pushed by then",
    "test_what_one_broker_publishes_another_one_sees": "the server does not tell which queues there are",
}
"""Those that are otherwise on RabbitMQ, and why."""


class TestRabbitMQ(
    PublishAndClaim, SettleAndRelease, LeasesAndFences, QueuesAndDeadLetters, Exchanges, Revocations, BrokersThemselves
):
    @pytest.fixture
    def world(self, amqp_url):
        world = AmqpWorld(amqp_url)
        yield world
        world.end()

    def test_messages_are_claimed_in_the_order_of_publishing(self, broker, node):
        ids = [f"id-{number:02}" for number in range(25)]
        publish(broker, *(a_message(task_id) for task_id in ids[:10]))
        for task_id in ids[10:]:
            publish(broker, a_message(task_id))

        taken: list[str] = []
        while len(taken) < len(ids):
            found = node.claim(limit=12, wait=20.0)  # the server may push fewer at a time
            assert found
            taken += task_ids(found)

        assert taken == ids

    def test_a_released_message_keeps_its_place(self, broker, node):
        """Mostly: the queue may hear that more may go out before it hears that this is back."""
        publish(broker, *(a_message(task_id) for task_id in ("first", "second", "third")))

        node.release(*node.claim(limit=1))

        taken: list[str] = []
        while len(taken) < 3:
            found = node.claim(limit=10, wait=20.0)
            assert found
            taken += task_ids(found)
        assert sorted(taken) == ["first", "second", "third"]
        assert taken.index("second") < taken.index("third")

    def test_a_claim_tells_of_what_was_revoked_before_it(self, broker, node):
        """The stream has a channel of its own, and no order holds between two: soon is what is promised here."""
        version = 0
        for number in range(3):
            revoke(broker, revocation(node, f"revoked-{number}"))
            until = time.monotonic() + 60
            while (told := node.look(limit=1).revocations) <= version:
                assert time.monotonic() < until, "it was not told"
            version = told

        assert broker.revocations().version == version

    def test_a_revocation_ends_at_its_time(self, world, broker, node):
        """The stream forgets it 180 days later, by itself: there is nothing to clean."""
        revoke(broker, revocation(node, "short", lasts=10.0), revocation(node, "long", lasts=1000.0))
        world.advance(20.0)

        for one in (broker, world.broker()):
            assert [each.task_id for each in one.revocations().revocations] == ["long"]
            assert set(one.revoked(["short", "long"])) == {"long"}

    def test_what_is_too_large_keeps_its_body_when_it_comes_back_from_a_dead_node(self, world, broker):
        publish(broker, a_message("big", body=bytes(2000)))
        small = world.broker(message_max_bytes=1000)
        first = world.node(small)
        assert task_ids(first.claim()) == ["big"]
        world.kill(first)

        second = world.node(small)
        [again] = second.claim()
        second.bury(again)

        assert again.fault is not None
        [letter] = broker.dead_letters()
        shown = broker.dead_letter(letter.number)
        assert shown is not None
        assert shown.message is not None
        assert shown.message.body == bytes(2000)


for name in (*NEEDS_A_CLOCK, *OTHERWISE_HERE):
    assert hasattr(TestRabbitMQ, name), name
    setattr(TestRabbitMQ, name, None)
