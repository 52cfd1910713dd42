from __future__ import annotations

import pytest

from celeriac.brokers.base import QueueDepth
from celeriac.worker.burst import Burst


def burst(*depths: QueueDepth, said: list[str] | None = None) -> Burst:
    heard: list[str] = [] if said is None else said
    return Burst(lambda: depths, end=heard.append)


def test_what_is_ready_keeps_the_node():
    assert burst(QueueDepth(queue="a"), QueueDepth(queue="b", ready=1)).look() is None


@pytest.mark.parametrize(
    ("delayed", "left"),
    [
        (0, "the queues are empty"),
        (1, "the queues are empty but for 1 message to run later"),
        (3, "the queues are empty but for 3 messages to run later"),
    ],
)
def test_what_waits_for_its_time_does_not_and_is_counted(delayed, left):
    assert burst(QueueDepth(queue="a", delayed=delayed, claimed=2, dead=4)).look() == left


def test_the_node_is_ended_once():
    said: list[str] = []
    ending = burst(said=said)

    ending.finish("first")
    ending.finish("second")

    assert said == ["first"]


def test_claims_wait_longer_for_what_may_follow_from_runs_and_longest_when_it_is_over():
    ending = burst()

    empty, holding = ending.wait(held=0), ending.wait(held=1)
    ending.finish("over")

    assert empty < holding < ending.wait(held=0)
