from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from celeriac.wire.elections import Ack, Candidate, leader_of, read_heard
from tests.golden import vector


def candidate(clock: int, name: str = "w1@here.1", *, is_ours: bool = True) -> Candidate:
    return Candidate(clock=clock, name=name, topic="task", action=None, is_ours=is_ours)


@given(st.permutations([candidate(3, "a"), candidate(2, "c"), candidate(2, "b"), Ack(), Ack()]))
def test_the_lowest_clock_wins_and_the_lower_name_of_two_whatever_comes_first(heard):
    assert leader_of(heard) == candidate(2, "b")


def test_nobody_wins_where_nobody_stands():
    assert leader_of([]) is None
    assert leader_of([Ack()]) is None


def test_beside_celery_counts_who_was_known_when_its_workers_chose():
    early, late, theirs = candidate(5, "early"), candidate(1, "late"), candidate(7, "theirs", is_ours=False)

    assert leader_of([theirs, early, Ack(), Ack(), late]) == early  # two others: chosen at the second answer
    assert leader_of([theirs, early, Ack(), late, Ack()]) == late
    assert leader_of([theirs, early, late]) == late
    assert leader_of([Ack(), theirs]) == theirs


def test_what_celery_says_is_understood():
    said = [message["decoded"]["body"] for message in vector.load("event-worker-elect")["messages"]]

    heard = [found for found in map(read_heard, said) if found is not None]

    assert len(heard) == len(said)
    assert len({id for id, _ in heard}) == 1
    stood = [one for _, one in heard if isinstance(one, Candidate)]
    assert len(stood) == 3
    assert {(one.name.split("@")[0][0], one.topic, one.is_ours) for one in stood} == {("w", "task", False)}
    assert {one.action["task"] for one in stood} == {"proj.tasks.add"}


def test_what_is_no_part_of_an_election_is_not_taken_for_one():
    event = {"type": "worker-elect", "hostname": "w1@here", "pid": 1, "clock": 2, "id": "e", "topic": "task"}
    strange: list[object] = [None, 7, "", [], {}, "x" * 2_000]

    assert read_heard(event) is not None
    for key, value in itertools.product(("id", "topic"), strange):
        assert read_heard({**event, key: value}) is None, (key, value)
    for key in ("pid", "clock"):
        assert read_heard({**event, key: "1"}) is None
    assert read_heard({**event, "type": "worker-online"}) is None
