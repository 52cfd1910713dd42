from __future__ import annotations

import math

import pytest

from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.amqp.long_runs import LongRuns, batches, timeout_told
from celeriac.brokers.base import Delivery
from celeriac.testing.worlds import a_message

MIB = 1024 * 1024


def held(tag: int, *, body: bytes = b"[]", fault: str | None = None) -> Held:
    delivery = Delivery(tag=tag, owner=1, message=a_message(f"id-{tag}", body=body), fault=fault)
    return Held(delivery, f"run-{tag}", Place(1, tag))


def holding(*all_held: Held) -> Holdings:
    holdings = Holdings()
    for one in all_held:
        holdings.add(one)
    return holdings


def due(runs: LongRuns, holdings: Holdings, now: float, **waiting: frozenset[int]) -> list[int]:
    return [one.delivery.tag for one in runs.due(holdings, now, **waiting)]


def copied(runs: LongRuns, holdings: Holdings, tag: int, at: float) -> None:
    """Let a copy of a message be made and come."""
    runs.note_published([tag], at)
    runs.note_come(tag)
    holdings.move(tag, Place(1, 1000 + tag, is_copy=True))


def test_a_message_is_due_after_a_third_of_the_servers_time_and_not_before():
    runs, holdings = LongRuns(1800.0), holding(held(1), held(2))
    for at in range(0, 1200, 2):
        runs.note(1 if at < 100 else 2, float(at))

    assert due(runs, holdings, 599.0) == []
    assert due(runs, holdings, 600.0) == [1]
    assert due(runs, holdings, 699.0) == [1]
    assert due(runs, holdings, 712.0) == [1, 2]


def test_the_next_copy_is_due_seconds_after_the_last():
    runs, holdings = LongRuns(1800.0), holding(held(1))
    runs.note(1, 0.0)
    copied(runs, holdings, 1, at=600.0)

    assert due(runs, holdings, 606.9) == []
    assert due(runs, holdings, 607.0) == [1]


def test_with_an_impatient_server_copies_follow_each_other_sooner():
    runs, holdings = LongRuns(6.0), holding(held(1))
    runs.note(1, 0.0)
    copied(runs, holdings, 1, at=2.0)

    assert due(runs, holdings, 3.9) == []
    assert due(runs, holdings, 4.0) == [1]


def test_what_is_large_is_copied_only_as_often_as_it_must():
    runs, holdings = LongRuns(1800.0), holding(held(1, body=bytes(MIB)))
    runs.note(1, 0.0)
    copied(runs, holdings, 1, at=600.0)

    assert due(runs, holdings, 1199.0) == []
    assert due(runs, holdings, 1200.0) == [1]


def test_a_server_that_waits_for_ever_is_left_in_peace():
    runs, holdings = LongRuns(math.inf), holding(held(1))
    for at in range(0, 1_000_000, 1000):
        runs.note(1, float(at))

    assert due(runs, holdings, 1e9) == []


def test_no_copy_is_made_of_what_has_lost_its_channel_is_unclaimed_or_cannot_be_copied_whole():
    runs, holdings = LongRuns(1800.0), holding(held(1), held(2), held(3, fault="too large"))
    runs.note(3, 0.0)
    lost = holdings.get(1)
    assert lost is not None
    lost.place = None

    assert due(runs, holdings, 600.0, waiting=frozenset([2])) == []
    assert due(runs, holdings, 600.0) == [2]


def test_one_copy_is_under_way_at_a_time_and_a_failed_one_is_made_again():
    runs, holdings = LongRuns(1800.0), holding(held(1))
    runs.note(1, 0.0)
    runs.note_published([1], 600.0)

    assert due(runs, holdings, 615.0) == []
    assert runs.awaited == 1
    assert runs.overdue(615.0) == 0
    assert runs.overdue(621.0) == 1

    runs.note_failed([1])

    assert due(runs, holdings, 615.0) == [1]
    assert runs.awaited == 0


def test_a_copy_that_came_back_by_the_queue_is_followed_by_another_at_once():
    runs, holdings = LongRuns(1800.0), holding(held(1))
    runs.note(1, 0.0)
    copied(runs, holdings, 1, at=600.0)

    holdings.lose_channel()
    runs.lose_channel()
    holdings.move(1, Place(2, 7))

    assert due(runs, holdings, 601.0) == [1]


def test_nothing_is_remembered_of_runs_that_have_ended():
    runs, holdings = LongRuns(1800.0), holding(held(1))
    runs.note(1, 0.0)
    copied(runs, holdings, 1, at=600.0)
    assert runs.any_left(holdings)

    holdings.remove(1)

    assert due(runs, holdings, 607.0) == []
    assert not runs.any_left(holdings)
    assert runs.awaited == 0


def test_ages_are_told_by_few_notes():
    runs = LongRuns(1800.0)
    for at in range(600):
        runs.note(at, float(at))

    assert len(runs._notes) <= 65


def test_batches_are_neither_too_many_nor_too_heavy():
    many = [held(tag) for tag in range(1200)]
    heavy = [held(tag, body=bytes(10 * MIB)) for tag in range(3)]

    assert [len(batch) for batch in batches(many)] == [500, 500, 200]
    assert [len(batch) for batch in batches(heavy)] == [1, 1, 1]
    assert [one for batch in batches(many) for one in batch] == many
    assert list(batches([])) == []


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        (
            "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. "
            "This timeout value can be configured, see consumers doc guide to learn more",
            1800.0,
        ),
        ("PRECONDITION_FAILED - unknown delivery tag 7", None),
        ("", None),
    ],
)
def test_a_server_tells_how_long_it_waits_when_it_waits_no_longer(reason: str, seconds: float | None):
    assert timeout_told(reason) == seconds
