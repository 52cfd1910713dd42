"""What anybody has put into the queue of dead letters, listed as what it is."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import amqp
import pytest

from celeriac.brokers.amqp.broker import AmqpBroker
from celeriac.brokers.amqp.place import read_place
from celeriac.brokers.amqp.tables import UNREAD
from celeriac.brokers.amqp.topology import DEAD_LETTERS
from celeriac.testing.buses import soon
from celeriac.testing.worlds import a_message
from celeriac.wire.jsontypes import loads
from tests.tables_by_hand import HOSTILE, Raw, entry, nested, text

NONSENSE = {
    "a-number-that-is-none": text(b"x-celeriac-number", b"seven") + text(b"x-celeriac-died-at", b"today"),
    "a-number-below-all": entry(b"x-celeriac-number", b"l", b"\xff" * 8),
    "a-time-beyond-all-dates": text(b"x-celeriac-died-at", b"1e300"),
    "no-time": text(b"x-celeriac-died-at", b"nan"),
    "a-queue-that-is-no-text": entry(b"x-celeriac-queue", b"F", bytes(4)),
    "a-task-that-is-no-text": entry(b"task", b"A", bytes(4)),
    "headers-that-are-no-table": text(b"x-celeriac-headers", '"\u65e5"'.encode()),
    "bytes-that-are-no-text": text(b"x-celeriac-reason", b"\xff\xfe"),
    "a-decimal": entry(b"x", b"D", b"\x02" + struct.pack(">i", 314)),
    "nothing": b"",
    "nested-too-deep-to-show": nested(200),
}
"""Tables that can be read, and say of a dead letter what no node says."""

TABLES = HOSTILE | NONSENSE
UNTOLD = {*HOSTILE, "nested-too-deep-to-show"}


@pytest.fixture
def broker(amqp_url):
    broker = AmqpBroker(read_place(amqp_url, "broker_url"))
    yield broker
    broker.close()


def died(broker, task_id: str) -> None:
    """Make a dead letter as nodes do."""
    broker.bury([(a_message(task_id), "poison")], deadline_at=soon())


def put_there(broker, messages: Iterable[amqp.Message]) -> None:
    """Publish to the queue of dead letters, past every node."""
    place = broker.place
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host, confirm_publish=True) as driver:
        channel = driver.channel()
        for message in messages:
            channel.basic_publish(message, "", DEAD_LETTERS)


def test_what_no_node_has_put_there_is_listed_beside_its_neighbours(broker, caplog):
    died(broker, "older")
    put_there(broker, (Raw(b"what it says", table, correlation_id=name) for name, table in TABLES.items()))
    died(broker, "newer")

    listed = broker.dead_letters()

    assert [letter.task_id for letter in listed] == ["newer", *reversed(TABLES), "older"]
    foreign = listed[1:-1]
    assert {(letter.queue, letter.task, letter.died_at) for letter in foreign} == {("", None, 0.0)}
    assert all(letter.reason for letter in foreign)
    numbers = {letter.number for letter in listed}
    assert len(numbers) == len(listed)
    assert min(numbers) > 0
    for letter in foreign:
        shown = broker.dead_letter(letter.number)
        assert shown.message.body == b"what it says"
        assert (UNREAD in loads(shown.message.headers)) == (letter.task_id in UNTOLD), letter.task_id

    assert broker.replay(numbers) == ["older", "newer"], "of the others nobody knows a queue"
    assert broker.dead_letters() == foreign
    assert caplog.text.count("is not put back, for it does not say into which queue") == len(foreign)
    assert broker.discard(numbers) == len(foreign)
    assert broker.dead_letters() == []


def test_a_reason_that_is_not_all_text_is_shown_as_far_as_it_is(broker):
    broker.bury([(a_message("odd"), "it says \udc80 and more")], deadline_at=soon())

    (letter,) = broker.dead_letters()

    assert letter.reason.startswith("it says ")
    assert letter.reason.endswith(" and more")


def test_what_somebody_says_twice_is_one_number_twice(broker):
    died(broker, "older")
    put_there(broker, [Raw(b"", HOSTILE["a-time-beyond-all-years"])] * 2)

    first, second, _ = broker.dead_letters()

    assert first == second
    assert first.task_id == ""
    assert broker.discard([first.number]) == 2
    assert [letter.task_id for letter in broker.dead_letters()] == ["older"]
