from __future__ import annotations

from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.base import Delivery
from celeriac.testing.worlds import a_message


def held(tag: int, *, serial: int = 1, wire_tag: int | None = None) -> Held:
    delivery = Delivery(tag=tag, owner=serial, message=a_message(f"id-{tag}"))
    return Held(delivery, f"run-{tag}", Place(serial, tag if wire_tag is None else wire_tag))


def test_what_is_held_can_be_acknowledged_where_it_came():
    holdings = Holdings()
    for tag in (1, 2, 3):
        holdings.add(held(tag))

    assert holdings.oldest() == 1
    assert holdings.remove(1) == Place(1, 1)
    assert holdings.oldest() == 2
    assert holdings.remove(3) == Place(1, 3)
    assert holdings.remove(3) is None
    assert len(holdings) == 1


def test_a_run_that_lost_its_channel_is_adopted_and_acknowledged_on_the_next():
    holdings = Holdings()
    holdings.add(held(1))
    assert not holdings.adopt("run-1", Place(1, 9)), "it has its channel"

    holdings.lose_channel()

    assert holdings.oldest() is None
    assert holdings.adopt("run-1", Place(2, 7))
    assert not holdings.adopt("run-1", Place(2, 8))
    assert not holdings.adopt("run-2", Place(2, 9))
    assert holdings.remove(1) == Place(2, 7)


def test_a_run_that_ended_without_a_channel_is_known_when_its_message_comes_again():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.lose_channel()

    assert holdings.end(1) is None

    assert holdings.has_ended("run-1")
    assert not holdings.has_ended("run-1"), "it comes once"
    assert not holdings.has_ended("run-2")


def test_what_was_given_back_without_a_channel_has_not_ended():
    holdings = Holdings()
    holdings.add(held(1))
    holdings.lose_channel()

    assert holdings.remove(1) is None

    assert not holdings.has_ended("run-1")


def test_two_messages_of_one_run_are_two():
    holdings = Holdings()
    first, second = held(1), held(2)
    second.run = first.run
    holdings.add(first)
    holdings.add(second)

    assert holdings.remove(1) == Place(1, 1)
    assert holdings.remove(2) == Place(1, 2)


def test_what_nobody_names_is_told():
    holdings = Holdings()
    for tag in (1, 2, 3):
        holdings.add(held(tag))

    assert [one.delivery.tag for one in holdings.besides([2])] == [1, 3]
