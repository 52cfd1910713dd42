from __future__ import annotations

import pytest

from celeriac.brokers.redis.claims import BELIEVED_MAX, FEW, Lists, read_claim
from celeriac.brokers.redis.keys import Keys
from celeriac.testing.worlds import a_message
from celeriac.wire.envelope import write_envelope

MANY = [f"q{number:03}" for number in range(1000)]


def lists(order: str = "round_robin") -> Lists:
    return Lists(Keys(steps=(0, 5)), order)


def step(queue: str) -> bytes:
    return Keys(steps=(0, 5)).list_of(queue, 5)


def test_priority_goes_before_queues():
    assert lists().choose(["a", "b"]) == [b"a", b"b", step("a"), step("b")]


def test_the_queue_that_was_served_comes_last_in_the_next_claim():
    chosen = lists()
    named = chosen.choose(["a", "b", "c"])

    chosen.learn(named, empty=0, served=b"b")

    assert chosen.choose(["a", "b", "c"])[:3] == [b"c", b"a", b"b"]


@pytest.mark.parametrize(("order", "first"), [("priority", [b"b", b"a"]), ("sorted", [b"a", b"b"])])
def test_queues_may_have_a_fixed_order(order, first):
    chosen = lists(order)
    named = chosen.choose(["b", "a"])
    chosen.learn(named, empty=0, served=named[0])

    assert chosen.choose(["b", "a"])[:2] == first


def test_a_queue_that_is_named_twice_is_looked_at_once():
    assert lists().choose(["a", "a"]) == [b"a", step("a")]


def test_no_queues_are_no_lists():
    assert lists().choose([]) == []


def test_of_many_queues_all_are_looked_at_in_turn():
    """A15: few at a time, none for ever."""
    chosen, seen = lists(), set()

    for _ in range(-(-len(MANY) // FEW)):
        named = chosen.choose(MANY)
        assert len(named) <= 2 * FEW
        chosen.learn(named, empty=len(named), served=None)
        seen.update(named)

    assert seen == set(chosen.all())


def test_lists_that_are_believed_to_hold_something_are_named_until_they_are_empty():
    chosen = lists()
    chosen.choose(MANY)
    chosen.believe([b"q500", step("q501"), b"of nobody"])

    named = chosen.choose(MANY)
    assert {b"q500", step("q501")} <= set(named)
    chosen.learn(named, empty=named.index(b"q500"), served=b"q500")

    assert b"q500" in chosen.choose(MANY)
    named = chosen.choose(MANY)
    chosen.learn(named, empty=len(named), served=None)
    assert b"q500" not in chosen.choose(MANY)


def test_when_all_are_believed_to_hold_something_none_is_left_out_for_ever():
    chosen, served = lists(), set()
    chosen.choose(MANY)
    chosen.believe(name.encode() for name in MANY)

    for _ in range(len(MANY)):
        named = chosen.choose(MANY)
        assert len(named) <= BELIEVED_MAX + 2 * FEW
        served.add(named[0])
        chosen.learn(named, empty=0, served=named[0])

    assert served == {name.encode() for name in MANY}


def test_other_queues_begin_anew():
    chosen = lists()
    chosen.choose(["a", "b"])
    chosen.believe([b"a"])

    assert chosen.choose(["c"]) == [b"c", step("c")]


def test_a_claim_hands_over_what_each_list_gave():
    chosen = lists()
    named = chosen.choose(["a", "b"])
    envelopes = [write_envelope(a_message(name, queue=name), delivery_tag="x") for name in "abb"]
    answer = [0, b"1000.5", b"", 0, 1, [1, 1, 2, 2], [2, b"1,2,3,1,999"], [], [4, b"WRONGTYPE"], envelopes]
    answer += [0, [], 0, b"7"]

    taken = read_claim(answer, named, chosen, first=40, owner=7, max_bytes=10_000)

    assert taken.revocations == 7
    assert [(one.tag, one.owner, one.message.queue) for one in taken.deliveries] == [
        (40, 7, "a"), (41, 7, "b"), (42, 7, "b"),
    ]  # fmt: skip
    counted = taken.deliveries[1]
    assert (counted.crashes, counted.node_losses, counted.releases, counted.redelivered) == (1, 2, 3, True)
    assert (taken.now, taken.next_due_at, taken.more_due) == (1000.5, None, False)
    assert taken.errors == [(step("b"), "WRONGTYPE")]
