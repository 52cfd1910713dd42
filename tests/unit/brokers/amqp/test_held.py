from __future__ import annotations

import pytest

from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.base import Delivery
from celeriac.testing.worlds import a_message

COPY = Place(1, 50, is_copy=True)


def held(tag: int, *, serial: int = 1, wire_tag: int | None = None) -> Held:
    delivery = Delivery(tag=tag, owner=serial, message=a_message(f"id-{tag}"))
    return Held(delivery, f"run-{tag}", Place(serial, tag if wire_tag is None else wire_tag))


def end(holdings: Holdings, tag: int, place: Place | None) -> None:
    """Hold a message no longer, where it was expected to be."""
    ended = holdings.remove(tag)
    assert ended is not None
    assert ended.place == place
    if place is not None:
        holdings.leave(place)


def test_what_is_held_can_be_acknowledged_where_it_came():
    holdings = Holdings()
    for tag in (1, 2, 3):
        holdings.add(held(tag))

    assert holdings.oldest() == 1
    end(holdings, 1, Place(1, 1))
    assert holdings.oldest() == 2
    end(holdings, 3, Place(1, 3))
    assert holdings.remove(3) is None
    assert len(holdings) == 1


def test_a_place_is_unacknowledged_until_it_is_left():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.add(held(2))

    holdings.remove(1)

    assert holdings.oldest() == 1, "its command is not written yet"
    holdings.leave(Place(1, 1))
    assert holdings.oldest() == 2


def test_a_run_that_lost_its_channel_is_adopted_and_acknowledged_on_the_next():
    holdings = Holdings()
    holdings.add(held(1))
    assert not holdings.adopt("run-1", Place(1, 9)), "it has its channel"

    holdings.lose_channel()

    assert holdings.oldest() is None
    assert holdings.adopt("run-1", Place(2, 7))
    assert not holdings.adopt("run-1", Place(2, 8))
    assert not holdings.adopt("run-2", Place(2, 9))
    end(holdings, 1, Place(2, 7))


def test_a_run_that_ended_without_a_channel_is_known_when_its_message_comes_again():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.lose_channel()

    end(holdings, 1, None)
    holdings.note_ended("run-1")

    assert holdings.has_ended("run-1")
    assert not holdings.has_ended("run-1"), "it comes once"
    assert not holdings.has_ended("run-2")


def test_two_messages_of_one_run_are_two():
    holdings = Holdings()
    first, second = held(1), held(2)
    second.run = first.run
    holdings.add(first)
    holdings.add(second)

    end(holdings, 1, Place(1, 1))
    end(holdings, 2, Place(1, 2))


def test_what_nobody_names_is_told():
    holdings = Holdings()
    for tag in (1, 2, 3):
        holdings.add(held(tag))

    assert [one.delivery.tag for one in holdings.besides([2])] == [1, 3]


def test_a_copy_stands_for_what_it_is_a_copy_of():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.add(held(2))

    assert holdings.move(1, COPY) == Place(1, 1), "this is to be acknowledged now"

    assert holdings.oldest() == 1, "which has not been done"
    holdings.leave(Place(1, 1))
    assert holdings.oldest() == 2, "copies have tags of their own"
    end(holdings, 1, COPY)


def test_a_message_that_comes_again_beside_its_copy_is_known_on_later_connections():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.move(1, COPY)

    assert not holdings.is_spare("run-1", 1), "another message of that run"
    assert holdings.is_spare("run-1", 2)
    assert not holdings.is_spare("run-1", 2), "it comes once"
    assert not holdings.is_spare("run-2", 2)


@pytest.mark.parametrize("is_copy", [True, False])
def test_a_message_is_known_that_comes_again_after_the_copy_that_never_came_before(is_copy):
    holdings = Holdings()
    holdings.add(held(1))
    holdings.lose_channel()

    assert holdings.move(1, Place(2, 7, is_copy=is_copy)) is None

    assert holdings.is_spare("run-1", 2)


def test_a_message_that_comes_again_sooner_than_its_copy_is_known_once():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.move(1, COPY)
    holdings.lose_channel()

    assert holdings.adopt("run-1", Place(2, 7))
    assert holdings.move(1, Place(2, 8, is_copy=True)) == Place(2, 7)

    assert not holdings.is_spare("run-1", 2), "another message of that run"
    assert holdings.is_spare("run-1", 3)


def test_what_copies_stand_for_needs_no_room():
    holdings = Holdings()
    for tag in (1, 2, 3):
        holdings.add(held(tag))
    assert holdings.needs_room == 3

    holdings.move(1, COPY)
    holdings.move(2, Place(1, 51, is_copy=True))
    assert (holdings.needs_room, holdings.count_placed()) == (1, 1)

    holdings.move(2, Place(1, 4))
    assert holdings.needs_room == 2, "it came by the queue of its task"
    holdings.remove(1)
    assert holdings.needs_room == 2
    holdings.move(3, COPY)
    holdings.lose_channel()
    assert (holdings.needs_room, holdings.count_placed(), holdings.count_unplaced()) == (2, 0, 2)


def test_what_is_oldest_is_told_by_tags():
    holdings = Holdings()
    for tag in (1, 2, 5, 9):
        holdings.add(held(tag))

    assert [one.delivery.tag for one in holdings.upto(5)] == [1, 2, 5]
    assert [one.delivery.tag for one in holdings.upto(0)] == []


def test_what_has_a_place_is_counted():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.add(held(2))
    assert holdings.count_placed() == 2

    holdings.lose_channel()
    holdings.adopt("run-2", Place(2, 1))

    assert holdings.count_placed() == 1
