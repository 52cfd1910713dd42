"""Starts under a rate limit that all nodes share."""

from __future__ import annotations

import msgspec
import pytest

from celeriac.brokers.base import Booking, Broker, Delivery, RateRequest
from celeriac.testing.brokers.suite import WorldSuite, publish
from celeriac.testing.worlds import BrokerWorld, Node, a_message, task_ids

SECONDS = pytest.approx


def requests(count: int, *, key: str = "k", interval: float = 10.0) -> list[RateRequest]:
    """Ask for the starts of so many new runs."""
    return [RateRequest(key, interval) for _ in range(count)]


def starts(node: Node, *asked: RateRequest) -> list[float]:
    """Ask, and return the seconds until each start."""
    bookings, now = node.book(*asked)
    return [booking.at - now for booking in bookings]


class RateLimits(WorldSuite):
    """Check when runs may start under a rate limit."""

    def test_the_first_start_is_now_and_the_others_an_interval_apart(self, node: Node) -> None:
        assert starts(node, *requests(4)) == SECONDS([0.0, 10.0, 20.0, 30.0], abs=0.5)

    def test_the_time_of_a_booking_is_that_of_claims(self, node: Node) -> None:
        _, now = node.book(*requests(1))

        assert now == SECONDS(node.look().now, abs=5.0)

    def test_all_nodes_share_the_starts(self, world: BrokerWorld, node: Node) -> None:
        other = world.node(name="w2@host")

        found = [starts(each, *requests(1))[0] for each in (node, other, node, other)]

        assert found == SECONDS([0.0, 10.0, 20.0, 30.0], abs=2.0)

    def test_each_key_has_its_own_starts(self, node: Node) -> None:
        asked = [*requests(2, key="a"), *requests(2, key="b", interval=3.0)]

        assert starts(node, *asked) == SECONDS([0.0, 10.0, 0.0, 3.0], abs=0.5)

    def test_time_in_which_nothing_started_is_not_saved_up(self, world: BrokerWorld, node: Node) -> None:
        starts(node, *requests(1))
        world.advance(1000.0)

        assert starts(node, *requests(3)) == SECONDS([0.0, 10.0, 20.0], abs=0.5)

    def test_what_waited_for_its_start_begins_then(self, world: BrokerWorld, node: Node) -> None:
        [_, booking], _ = node.book(*requests(2))
        world.advance(10.1)

        again, now = node.book(RateRequest("k", 10.0, booking))

        assert again[0].at <= now

    def test_those_that_are_late_together_begin_apart(self, world: BrokerWorld, node: Node) -> None:
        booked, _ = node.book(*requests(5))
        world.advance(1000.0)

        late = starts(node, *(RateRequest("k", 10.0, booking) for booking in booked[1:]))

        assert late == SECONDS([0.0, 9.0, 19.0, 29.0], abs=0.5)

    def test_those_that_are_late_go_before_those_that_come_new(self, world: BrokerWorld, node: Node) -> None:
        booked, _ = node.book(*requests(100))
        world.advance(500.0)

        [late] = starts(node, RateRequest("k", 10.0, booked[10]))
        [new] = starts(node, *requests(1))

        assert late == SECONDS(0.0, abs=0.5)
        assert new == SECONDS(500.0, abs=1.0)

    def test_a_released_message_keeps_its_booking(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message("first"), a_message("second"))
        [first, second] = node.claim()
        [_, booking], _ = node.book(*requests(2))
        booked = msgspec.structs.replace(second, booking=booking)

        node.release(booked, eta_at=booking.at)

        assert node.claim() == []
        world.advance(10.1)
        [again] = node.claim()
        assert (again.message.task_id, again.booking is not None and again.booking.is_final) == ("second", False)
        assert first.booking is None

    def test_a_booking_outlives_releases_and_owners(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        [delivery] = node.claim()
        booking = Booking(node.look().now, True)
        node.release(msgspec.structs.replace(delivery, booking=booking))
        node.release(*node.claim())
        node.claim()
        other = world.node(name="w2@host")
        world.kill(node)

        world.outlast_lease(other)

        [again] = other.claim()
        assert again.booking == booking

    def test_a_final_booking_counts_once(self, world: BrokerWorld, node: Node) -> None:
        booked, _ = node.book(*requests(2))
        world.advance(10.1)
        [final], _ = node.book(RateRequest("k", 10.0, booked[1]))

        assert [final] == node.book(RateRequest("k", 10.0, final))[0]
        assert starts(node, RateRequest("k", 10.0, Booking(0.0, False))) == SECONDS([9.0], abs=0.5)

    def test_many_messages_are_touched_twice_each(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, *(a_message(f"id-{number}") for number in range(30)))
        begun: list[str] = []
        claimed = 0
        for _ in range(40):
            deliveries = node.claim()
            claimed += len(deliveries)
            begun += self._begin(node, deliveries)
            world.advance(10.0)

        assert begun == [f"id-{number}" for number in range(30)]
        assert claimed <= 61

    def _begin(self, node: Node, deliveries: list[Delivery]) -> list[str]:
        """Do what a node does with limited messages; return which of them start now."""
        if not deliveries:
            return []
        bookings, now = node.book(*(RateRequest("k", 10.0, one.booking) for one in deliveries))
        begun = []
        for delivery, booking in zip(deliveries, bookings, strict=True):
            if booking.at <= now:
                begun.append(delivery)
            else:
                node.release(msgspec.structs.replace(delivery, booking=booking), eta_at=booking.at)
        node.finish(*begun)
        return task_ids(begun)
