"""Priorities, in stores that choose by themselves what is served next."""

from __future__ import annotations

from celeriac.testing.brokers.suite import WorldSuite, publish
from celeriac.testing.worlds import BrokerWorld, a_message, task_ids


class Priorities(WorldSuite):
    """Check the order of priorities."""

    def test_priorities_are_strict_and_none_waits_for_ever_where_they_age(self, world: BrokerWorld) -> None:
        orders: list[list[str]] = []
        for broker in (world.broker(), world.broker(priority_aging=3)):
            node = world.node(broker, name=f"w{len(orders)}@host")
            publish(
                broker, *(a_message(f"{priority}", priority=priority) for priority in (0, 3, 6, 9) for _ in range(7))
            )
            orders.append([task_ids(node.claim(limit=1))[0] for _ in range(28)])
            world.kill(node)

        strict, aged = orders
        assert strict == sorted(strict)
        assert aged[:9] == ["0", "0", "3", "0", "0", "6", "0", "0", "9"]
        assert sorted(aged) == strict
