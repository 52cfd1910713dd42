"""What is revoked: for how long, who is told, and who holds the messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celeriac.brokers.base import Broker
from celeriac.brokers.revocations import Revocation
from celeriac.testing.brokers.suite import WorldSuite, clean, publish
from celeriac.testing.worlds import ANSWER_WITHIN, BrokerWorld, Node, a_message

LASTS = 600.0


def revocation(node: Node, task_id: str, *, lasts: float = LASTS, **said: Any) -> Revocation:
    """Revoke an id now, by the store's clock."""
    now = node.look().now
    return Revocation(task_id=task_id, at=now, expires_at=now + lasts, **said)


def revoke(broker: Broker, *revocations: Revocation) -> list[str]:
    """Revoke with a deadline that no working broker misses."""
    return broker.revoke(revocations, deadline_at=time.monotonic() + ANSWER_WITHIN)


def look_until(node: Node, claim: Callable[[int], bool]) -> None:
    """Have a node hear which version is there now; RabbitMQ tells of it only moments after the revocation."""
    deadline_at = time.monotonic() + ANSWER_WITHIN
    while not claim(heard := node.look().revocations):
        assert time.monotonic() < deadline_at, f"the node has heard of version {heard}, and of no other"
        time.sleep(0.001)


def ids(revocations: list[Revocation]) -> list[str]:
    """Name what was revoked, in order."""
    return [one.task_id for one in revocations]


class Revocations(WorldSuite):
    """Check what is kept of what was revoked."""

    def test_nothing_is_revoked_at_first(self, broker: Broker, node: Node) -> None:
        feed = broker.revocations()

        assert (feed.version, feed.revocations, feed.more) == (0, [], False)
        assert node.look().revocations == 0
        assert broker.revoked(["id-1"]) == {}

    def test_all_that_a_revocation_says_is_kept(self, broker: Broker, node: Node) -> None:
        plain = revocation(node, "plain")
        said: dict[str, Any] = {"reason": 'wrong "price" \u00e9', "by": "ann@host", "signal": "SIGKILL", "grace": 2.5}
        full = revocation(node, "full", terminate=True, cancel=True, **said)

        news = revoke(broker, plain, full)

        assert news == ["plain", "full"]
        assert broker.revocations().revocations == [plain, full]
        assert broker.revoked(["full", "other", "plain"]) == {"full": full, "plain": plain}

    def test_a_claim_tells_of_what_was_revoked_before_it(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message("id-1"), a_message("id-2"))
        versions = []
        for number in range(3):
            revoke(broker, revocation(node, f"revoked-{number}"))
            versions.append(node.look(limit=1).revocations)

        assert versions[0] > 0
        assert versions == sorted(set(versions))
        assert broker.revocations().version == versions[-1]

    def test_every_broker_and_node_of_a_store_is_told(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        other = world.broker()
        revoke(broker, revocation(node, "id-1"))

        assert ids(other.revocations().revocations) == ["id-1"]
        assert world.node(other, name="w2@host").look().revocations == other.revocations().version

    def test_what_was_revoked_since_a_version_is_told(self, broker: Broker, node: Node) -> None:
        revoke(broker, revocation(node, "first"))
        seen = broker.revocations().version
        revoke(broker, revocation(node, "second"), revocation(node, "third"))

        feed = broker.revocations(seen)

        assert ids(feed.revocations) == ["second", "third"]
        assert feed.version > seen
        assert broker.revocations(feed.version).revocations == []

    def test_much_is_told_in_several_answers(self, broker: Broker, node: Node) -> None:
        revoke(broker, *(revocation(node, f"id-{number}") for number in range(7)))

        told, version, answers, more = [], 0, 0, True
        while more:
            feed = broker.revocations(version, limit=3)
            told += ids(feed.revocations)
            version, more = feed.version, feed.more
            answers += 1

        assert told == [f"id-{number}" for number in range(7)]
        assert answers == 3
        look_until(node, lambda heard: heard == version)

    def test_what_is_known_is_no_news(self, broker: Broker, node: Node) -> None:
        first = revocation(node, "id-1", reason="late")
        revoke(broker, first)
        seen = broker.revocations().version

        assert revoke(broker, revocation(node, "id-1", reason="late")) == []
        assert broker.revocations().version == seen
        assert broker.revoked(["id-1"])["id-1"].reason == "late"

    def test_to_end_a_run_once_more_is_news_after_a_while(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        revoke(broker, revocation(node, "id-1", terminate=True), revocation(node, "id-2", cancel=True))
        at_once = revoke(broker, revocation(node, "id-1", terminate=True))
        world.advance(2.0)

        later = revoke(broker, revocation(node, "id-1", terminate=True), revocation(node, "id-2", cancel=True))

        assert at_once == []
        assert later == ["id-1", "id-2"]

    def test_the_last_revocation_of_an_id_counts(self, broker: Broker, node: Node) -> None:
        revoke(broker, revocation(node, "id-1"), revocation(node, "id-2"))
        seen = broker.revocations().version

        again = revocation(node, "id-1", terminate=True)
        news = revoke(broker, again)

        assert news == ["id-1"]
        assert broker.revocations(seen).revocations == [again]
        assert ids(broker.revocations().revocations) == ["id-2", "id-1"]

    def test_an_id_that_is_named_twice_is_news_once(self, broker: Broker, node: Node) -> None:
        one = revocation(node, "id-1")

        assert revoke(broker, one, one) == ["id-1"]
        assert ids(broker.revocations().revocations) == ["id-1"]

    def test_thousands_are_revoked_in_one_step(self, broker: Broker, node: Node) -> None:
        many = [revocation(node, "id-0")]
        many += [Revocation(task_id=f"id-{n}", at=many[0].at, expires_at=many[0].expires_at) for n in range(1, 3000)]

        assert len(revoke(broker, *many)) == 3000
        assert len(broker.revocations(limit=10_000).revocations) == 3000
        assert len(broker.revoked([one.task_id for one in many])) == 3000

    def test_revoking_nothing_changes_nothing(self, broker: Broker, node: Node) -> None:
        assert revoke(broker) == []
        assert broker.revoked([]) == {}
        assert broker.claimed([]) == set()
        assert node.look().revocations == 0

    def test_a_revocation_ends_at_its_time(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        revoke(broker, revocation(node, "short", lasts=10.0), revocation(node, "long", lasts=1000.0))
        world.advance(20.0)

        assert ids(broker.revocations().revocations) == ["long"]
        assert set(broker.revoked(["short", "long"])) == {"long"}
        assert clean(broker) == 1
        assert ids(broker.revocations().revocations) == ["long"]

    def test_what_has_ended_can_be_revoked_again(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        revoke(broker, revocation(node, "id-1", lasts=10.0))
        world.advance(90_000.0)
        clean(broker)

        assert revoke(broker, revocation(node, "id-1")) == ["id-1"]
        assert ids(broker.revocations().revocations) == ["id-1"]

    def test_a_store_that_has_forgotten_all_tells_another_version_for_what_comes_next(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        revoke(broker, revocation(node, "old", lasts=10.0))
        seen = broker.revocations().version
        look_until(node, lambda heard: heard == seen)
        world.advance(20.0)
        clean(broker)

        revoke(broker, revocation(node, "new"))

        look_until(node, lambda heard: heard not in (0, seen))

    def test_the_oldest_make_room_for_newer_ones(self, world: BrokerWorld, node: Node) -> None:
        broker = world.broker(revocations_max=5)
        revoke(broker, *(revocation(node, f"id-{number}") for number in range(8)))

        assert clean(broker) == 3
        assert ids(broker.revocations().revocations) == [f"id-{number}" for number in range(3, 8)]

    def test_who_has_a_message_is_known(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        publish(broker, a_message("ended"), a_message("claimed"), a_message("given-back"))
        ended, _, given_back = node.claim()
        other = world.node(name="w2@host")
        publish(broker, a_message("of-another"))
        other.claim()
        publish(broker, a_message("waits"))
        node.finish(ended)
        node.release(given_back)

        wanted = ["ended", "claimed", "given-back", "of-another", "waits", "unknown"]

        assert broker.claimed(wanted) == {"claimed", "of-another"}

    def test_what_a_dead_node_had_is_with_it_until_it_is_recovered(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        publish(broker, a_message("id-1"))
        node.claim()
        other = world.node(name="w2@host")
        world.kill(node)
        before = broker.claimed(["id-1"])

        world.outlast_lease(other)

        assert before == {"id-1"}
        assert broker.claimed(["id-1"]) == set()

    def test_odd_ids_are_ids_like_others(self, broker: Broker, node: Node) -> None:
        odd = ['a "quoted" \\ id', "\u5b9a\u5355:1", "with space", "%*?[x]", "1"]
        publish(broker, *(a_message(task_id) for task_id in odd))

        revoke(broker, *(revocation(node, task_id) for task_id in odd))
        node.claim()

        assert ids(broker.revocations().revocations) == odd
        assert set(broker.revoked(odd)) == set(odd)
        assert broker.claimed(odd) == set(odd)
