from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.exceptions import BrokerUnavailable
from celeriac.wire.events import read_events
from celeriac.wire.notices import Notice


class Bus:
    """Take what is broadcast, or fail."""

    def __init__(self) -> None:
        self.said: list[Notice] = []
        self.is_down = False

    def broadcast(self, notices: list[Notice], *, deadline_at: float) -> None:
        if self.is_down:
            raise BrokerUnavailable("the bus is away")
        self.said += notices

    def close(self) -> None:
        return


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def app(bus: Bus, monkeypatch) -> Iterator[Celery]:
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        monkeypatch.setattr(app.broker, "bus", lambda: bus)
        yield app


@pytest.fixture
def add(app: Celery):
    @app.task(name="add")
    def add(x, y):
        return x + y

    return add


def told(bus: Bus) -> list[dict]:
    return [event for notice in bus.said for event in read_events(notice)[0]]


def test_nothing_is_told_unless_it_was_asked_for(add, bus):
    add.delay(1, 2)

    assert bus.said == []


def test_each_message_of_a_batch_is_told_of(add, app, bus):
    app.conf.task_send_sent_event = True

    first = add.delay(1, 2)
    others = app.sender.send_many(add, [((3, 4), {}), ((5, 6), {})])

    assert [(event["uuid"], event["args"]) for event in told(bus)] == [
        (first.id, "(1, 2)"),
        (others[0], "(3, 4)"),
        (others[1], "(5, 6)"),
    ]
    assert {notice.routing_key for notice in bus.said} == {"task.sent"}


def test_a_bus_that_is_away_keeps_no_call_from_being_made(add, app, bus, caplog):
    app.conf.task_send_sent_event = True
    bus.is_down = True

    add.delay(1, 2)

    assert "got lost" in caplog.text
    assert sum(depth.ready for depth in app.broker.depths()) == 1


def test_a_task_tells_of_its_run_and_goes_on_without_a_bus(app, bus, caplog):
    @app.task(name="pack", bind=True)
    def pack(self):
        self.send_event("task-packed", box=1)
        bus.is_down = True
        self.send_event("task-packed", box=2)
        return "packed"

    result = pack.apply()

    assert result.get() == "packed"
    assert [(event["uuid"], event["type"], event["box"]) for event in told(bus)] == [(result.id, "task-packed", 1)]
    assert "the event task-packed of task pack" in caplog.text


def test_outside_of_a_run_and_of_silent_tasks_nothing_is_told(app, bus):
    @app.task(name="pack", bind=True)
    def pack(self):
        self.send_event("task-packed")

    pack()
    pack.send_events = False
    pack.apply()

    assert bus.said == []
