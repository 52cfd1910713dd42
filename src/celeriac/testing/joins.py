"""What every result backend that counts the members of chords must do, as suites for pytest.

`JoinsConformance` is for backends alone, with the world of `ResultBackendConformance`; `JoinsInOneStore` for those that
settle with their broker, with the world of the broker suites. See `celeriac.testing.backends` for how they are used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Delivery, Settlement
from celeriac.brokers.joins import JOIN_EXPIRES, JOINED_EXPIRES, JoinAddition, JoinEffects, JoinStart, Member
from celeriac.message import Message
from celeriac.states import FAILURE, REVOKED, SUCCESS
from celeriac.testing.backends import ResultWorld, expire
from celeriac.testing.worlds import ANSWER_WITHIN, BrokerWorld, Node, a_message
from celeriac.wire.members import read_item, write_item


def internal(name: str = "body") -> Message:
    """Make what a join publishes when it is complete."""
    return a_message(name, queue="joins", task="celery.join")


def starting(size: int, *, group_id: str = "g", header: bytes | None = None, told: bool = True) -> JoinEffects:
    """Start a join of so many members; `told` with a message of its own."""
    start = JoinStart(group_id, size, internal("started") if told else None, header)
    return JoinEffects(starts=(start,))


def counting(
    *task_ids: str, group_id: str = "g", index: int | None = 0, state: str = SUCCESS, told: bool = True
) -> JoinEffects:
    """Count members whose indexes go on from `index`, each with its id for a value."""
    members = tuple(
        Member(
            group_id,
            task_id,
            None if index is None else index + place,
            state,
            write_item(task_id, state, task_id),
            internal(task_id) if told else None,
        )
        for place, task_id in enumerate(task_ids)
    )
    return JoinEffects(counts=members)


def joining(*group_ids: str) -> JoinEffects:
    """Say that bodies are published."""
    return JoinEffects(joined=group_ids)


def join(backend: ResultBackend, *effects: JoinEffects) -> list[str]:
    """Do something to joins, and name the internal messages that are to be published."""
    return [message.task_id for message in backend.join(effects)]


def values(backend: ResultBackend, group_id: str = "g") -> list[str]:
    """Return the values of a join's members, in order."""
    return [read_item(one.item).value for chunk in backend.members(group_id) for one in chunk]


class JoinsConformance:
    """Be the suite of joins of one backend: subclass it, and give it a fixture `world`."""

    @pytest.fixture
    def world(self) -> ResultWorld:
        raise NotImplementedError(f"{type(self).__name__} must have a fixture `world` that returns a ResultWorld")

    @pytest.fixture
    def backend(self, world: ResultWorld) -> Iterator[ResultBackend]:
        backend = world.backend()
        yield backend
        backend.close()

    def test_it_says_that_it_counts_members(self, backend: ResultBackend) -> None:
        assert backend.counts_members

    def test_the_last_member_completes_a_join(self, backend: ResultBackend) -> None:
        answers = [join(backend, each) for each in (starting(3), counting("a"), counting("b", index=1))]

        assert answers == [[], [], []]
        assert join(backend, counting("c", index=2)) == ["c"]

    def test_nothing_is_kept_of_what_nobody_began(self, backend: ResultBackend) -> None:
        assert backend.kept_join("unknown") is None
        assert values(backend, "unknown") == []
        assert join(backend) == []

    def test_a_member_that_is_counted_again_counts_once(self, backend: ResultBackend) -> None:
        join(backend, starting(2))

        assert [join(backend, counting("a")) for _ in range(3)] == [[], [], []]
        assert join(backend, counting("a"), counting("a")) == []
        assert values(backend) == ["a"]
        assert join(backend, counting("b", index=1)) == ["b"]

    def test_the_first_outcome_of_a_member_stands(self, backend: ResultBackend) -> None:
        join(backend, starting(2), counting("a", state=FAILURE))
        again = Member("g", "a", 0, SUCCESS, write_item("a", SUCCESS, "later"), None)

        join(backend, JoinEffects(counts=(again,)))

        assert [one.item for chunk in backend.members("g") for one in chunk] == [write_item("a", FAILURE, "a")]

    def test_one_run_in_two_places_is_two_members(self, backend: ResultBackend) -> None:
        join(backend, starting(2))

        assert join(backend, counting("a", index=0)) == []
        assert join(backend, counting("a", index=1)) == ["a"]

    def test_a_complete_join_answers_each_time_until_it_is_joined(self, backend: ResultBackend) -> None:
        join(backend, starting(2), counting("a"))

        answers = [join(backend, counting("b", index=1)) for _ in range(3)]

        assert answers == [["b"], ["b"], ["b"]]
        assert join(backend, counting("a")) == ["a"]
        join(backend, joining("g"))
        assert join(backend, counting("b", index=1)) == []

    def test_members_of_a_batch_complete_a_join_once(self, backend: ResultBackend) -> None:
        assert join(backend, starting(3), counting("a", "b"), counting("c", index=2)) == ["c"]

    def test_members_may_end_before_the_join_is_started(self, backend: ResultBackend) -> None:
        assert join(backend, counting("a", "b")) == []

        assert join(backend, starting(2, told=False)) == []
        assert join(backend, counting("b", index=1)) == ["b"]

    def test_a_start_that_finds_all_members_completes_the_join(self, backend: ResultBackend) -> None:
        join(backend, counting("a", "b"))

        assert join(backend, starting(2)) == ["started"]

    def test_a_member_that_cannot_tell_has_what_the_start_told_published(self, backend: ResultBackend) -> None:
        join(backend, starting(2), counting("a"))

        assert join(backend, counting("b", index=1, told=False)) == ["started"]

    def test_a_second_start_changes_nothing(self, backend: ResultBackend) -> None:
        join(backend, starting(2))

        join(backend, starting(5))

        assert join(backend, counting("a", "b")) == ["b"]

    def test_a_join_that_is_done_is_not_started_again(self, backend: ResultBackend) -> None:
        join(backend, starting(2), counting("a", "b"))
        join(backend, joining("g"))

        assert join(backend, starting(2)) == []
        assert join(backend, counting("a", "b")) == []
        kept = backend.kept_join("g")
        assert kept is not None
        assert kept.is_joined
        assert values(backend) == []

    def test_joins_know_nothing_of_each_other(self, backend: ResultBackend) -> None:
        join(backend, starting(2), starting(1, group_id="other"))

        assert join(backend, counting("a"), counting("x", group_id="other")) == ["x"]
        assert values(backend) == ["a"]
        assert values(backend, "other") == ["x"]

    def test_items_come_in_the_order_of_their_index(self, backend: ResultBackend) -> None:
        join(backend, starting(5), counting("last", index=None))
        for index in (2, 0, 10, 1):
            join(backend, counting(f"m{index}", index=index))

        assert values(backend) == ["m0", "m1", "m2", "m10", "last"]

    def test_members_say_how_they_ended(self, backend: ResultBackend) -> None:
        join(backend, starting(3), counting("a"), counting("b", index=1, state=FAILURE))
        join(backend, counting("c", index=2, state=REVOKED))

        found = [(one.task_id, one.index, one.state) for chunk in backend.members("g") for one in chunk]

        assert found == [("a", 0, SUCCESS), ("b", 1, FAILURE), ("c", 2, REVOKED)]

    def test_many_members_are_read_a_part_at_a_time(self, backend: ResultBackend) -> None:
        ids = [f"m{number:04}" for number in range(2500)]
        join(backend, starting(2500))
        answers = [join(backend, counting(*ids[start : start + 500], index=start)) for start in range(0, 2500, 500)]

        assert answers == [[], [], [], [], ["m2499"]]
        assert values(backend) == ids

    def test_many_members_of_a_join_that_is_done_are_deleted(self, world: ResultWorld, backend: ResultBackend) -> None:
        join(backend, starting(2500), counting(*(f"m{number}" for number in range(2500))))
        join(backend, joining("g"))

        expire(backend)

        assert values(backend) == []
        kept = backend.kept_join("g")
        assert kept is not None
        assert kept.is_joined

    def test_a_join_waits_for_what_was_added_to_it(self, backend: ResultBackend) -> None:
        added = JoinEffects(additions=(JoinAddition("g", "more", 0),))
        join(backend, starting(2), counting("a"))

        join(backend, added)
        join(backend, added)  # a run that is done again adds nothing

        assert join(backend, counting("b", index=1)) == []
        assert join(backend, counting("more")) == ["more"]

    def test_a_header_is_kept_until_the_body_is_published(self, backend: ResultBackend) -> None:
        join(backend, starting(1, header=b"lists"))

        kept = backend.kept_join("g")

        assert kept is not None
        assert (kept.header, kept.is_joined) == (b"lists", False)

    def test_a_join_outlives_the_expiry_of_results(self, world: ResultWorld) -> None:
        backend = world.backend(expires=60.0)
        join(backend, starting(2, header=b"lists"), counting("a"))
        world.advance(JOIN_EXPIRES - 10.0)
        expire(backend)

        assert values(backend) == ["a"]
        kept = backend.kept_join("g")
        assert kept is not None
        assert kept.header == b"lists"
        assert join(backend, counting("b", index=1)) == ["b"]
        backend.close()

    def test_each_member_renews_the_life_of_its_join(self, world: ResultWorld, backend: ResultBackend) -> None:
        join(backend, starting(3))
        for number in range(2):
            world.advance(JOIN_EXPIRES - 10.0)
            join(backend, counting(f"m{number}", index=number))
        world.advance(JOIN_EXPIRES - 10.0)

        assert join(backend, counting("m2", index=2)) == ["m2"]

    def test_a_join_without_news_expires(self, world: ResultWorld, backend: ResultBackend) -> None:
        join(backend, starting(2), counting("a"))
        world.advance(JOIN_EXPIRES + 10.0)

        assert backend.kept_join("g") is None
        assert join(backend, starting(2), counting("b")) == []
        assert values(backend) == ["b"]

    def test_expired_joins_are_deleted(self, world: ResultWorld, backend: ResultBackend) -> None:
        join(backend, starting(3000), counting(*(f"m{number}" for number in range(2500))))
        join(backend, starting(1, group_id="done"), counting("x", group_id="done"), joining("done"))
        world.advance(JOIN_EXPIRES + JOINED_EXPIRES)

        expire(backend)

        assert (values(backend), backend.kept_join("g"), backend.kept_join("done")) == ([], None, None)
        assert backend.expire() == 0

    def test_threads_that_count_at_once_complete_a_join_together(
        self, world: ResultWorld, backend: ResultBackend
    ) -> None:
        others = [world.backend() for _ in range(4)]
        join(backend, starting(80))
        began = threading.Barrier(4)

        def count(number: int) -> list[str]:
            began.wait(ANSWER_WITHIN)
            ids = [(f"m{index}", index) for index in range(number, 80, 4)]
            return [name for task_id, index in ids for name in join(others[number], counting(task_id, index=index))]

        with ThreadPoolExecutor(4) as threads:
            answers = [name for names in threads.map(count, range(4)) for name in names]

        assert len(answers) == 1
        assert len(values(backend)) == 80
        for other in others:
            other.close()


class JoinsInOneStore:
    """Be the suite of joins that are settled with their runs: subclass it, and give it a fixture `world`."""

    @pytest.fixture
    def world(self) -> Iterator[BrokerWorld]:
        raise NotImplementedError(f"{type(self).__name__} must have a fixture `world` that yields a BrokerWorld")

    @pytest.fixture
    def backend(self, world: BrokerWorld) -> Iterator[ResultBackend]:
        backend = world.results()
        assert backend is not None, "these are promises of brokers that keep results too"
        yield backend
        backend.close()

    @pytest.fixture
    def node(self, world: BrokerWorld) -> Node:
        return world.node()

    def claimed(self, world: BrokerWorld, node: Node, *task_ids: str) -> list[Delivery]:
        """Publish messages, and have a node claim them."""
        broker = world.broker()
        broker.publish([a_message(task_id) for task_id in task_ids], deadline_at=time.monotonic() + ANSWER_WITHIN)
        return node.claim()

    def test_the_settlement_that_completes_a_join_publishes_its_message(
        self, world: BrokerWorld, node: Node, backend: ResultBackend
    ) -> None:
        a, b = self.claimed(world, node, "a", "b")
        join(backend, starting(2))

        node.settle(Settlement(delivery=a, joins=counting("a")), results=backend)
        assert node.claim("joins") == []
        node.settle(Settlement(delivery=b, joins=counting("b", index=1)), results=backend)

        assert [each.message for each in node.claim("joins")] == [internal("b")]

    def test_a_batch_that_completes_a_join_publishes_its_message_once(
        self, world: BrokerWorld, node: Node, backend: ResultBackend
    ) -> None:
        a, b, c = self.claimed(world, node, "a", "b", "c")
        join(backend, starting(2))

        node.settle(
            Settlement(delivery=a, joins=counting("a")),
            Settlement(delivery=b, joins=counting("b", index=1)),
            Settlement(delivery=c, joins=counting("b", index=1)),
            results=backend,
        )

        assert len(node.claim("joins")) == 1

    def test_a_member_that_runs_twice_has_its_join_announced_once(
        self, world: BrokerWorld, node: Node, backend: ResultBackend
    ) -> None:
        once, again = self.claimed(world, node, "a", "a")
        join(backend, starting(1))

        for delivery in (once, again):
            node.settle(Settlement(delivery=delivery, joins=counting("a")), results=backend)

        assert len(node.claim("joins")) == 1

    def test_what_a_former_owner_counts_is_refused(
        self, world: BrokerWorld, node: Node, backend: ResultBackend
    ) -> None:
        [held] = self.claimed(world, node, "a")
        join(backend, starting(2))
        node.release(held)

        refused = node.settle(
            Settlement(delivery=held, joins=JoinEffects(counts=counting("a").counts, joined=("other",))),
            results=backend,
        )

        assert len(refused) == 1
        assert values(backend) == []
        assert backend.kept_join("other") is None

    def test_a_settlement_starts_the_joins_of_what_it_publishes(
        self, world: BrokerWorld, node: Node, backend: ResultBackend
    ) -> None:
        [held] = self.claimed(world, node, "a")

        node.settle(Settlement(delivery=held, publish=(a_message("m"),), joins=starting(1)), results=backend)
        [member] = node.claim()
        node.settle(Settlement(delivery=member, joins=counting("m")), results=backend)

        assert [each.message for each in node.claim("joins")] == [internal("m")]

    def test_a_body_and_the_end_of_its_join_are_settled_together(
        self, world: BrokerWorld, node: Node, backend: ResultBackend
    ) -> None:
        [held] = self.claimed(world, node, "a")
        join(backend, starting(1))
        node.settle(Settlement(delivery=held, joins=counting("a")), results=backend)
        [announced] = node.claim("joins")

        node.settle(Settlement(delivery=announced, publish=(a_message("body"),), joins=joining("g")), results=backend)

        assert [each.message.task_id for each in node.claim()] == ["body"]
        kept = backend.kept_join("g")
        assert kept is not None
        assert kept.is_joined
        assert join(backend, starting(1), counting("a")) == []
