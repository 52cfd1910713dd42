from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.app.events.dispatcher import Event, EventDispatcher
from celeriac.wire.events import hours_west
from celeriac.wire.notices import Notice


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        yield app


class Listener:
    """Hear events in a thread until a number of notices has come."""

    def __init__(self, app: Celery, limit: int, **options: Any) -> None:
        self.heard: list[dict[str, Any]] = []
        self.receiver = app.events.Receiver(handlers={"*": self.heard.append}, **options)
        self.error: BaseException | None = None
        self._begun = threading.Event()
        self.receiver.wakeup_workers = self._note_begin  # type: ignore[method-assign] # called when it listens
        self._thread = threading.Thread(target=self._hear, args=(limit,))
        self._thread.start()
        assert self._begun.wait(60)

    def _note_begin(self, channel: Any = None) -> None:
        self._begun.set()

    def _hear(self, limit: int) -> None:
        try:
            self.receiver.capture(limit=limit, timeout=10)
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self.error = error

    def end(self) -> list[dict[str, Any]]:
        self._thread.join(20)
        if self.error is not None:
            raise self.error
        return self.heard


@pytest.fixture
def listen(app: Celery) -> Callable[..., Listener]:
    return lambda limit=1, **options: Listener(app, limit, **options)


def test_what_is_sent_is_heard_with_what_all_events_have(app, listen):
    listener = listen()

    with app.events.default_dispatcher() as dispatcher:
        dispatcher.send("shop-open", door="front")

    [event] = listener.end()
    assert (event["type"], event["door"]) == ("shop-open", "front")
    assert event["hostname"].startswith("gen")
    assert event["clock"] == 1
    assert event["utcoffset"] == hours_west()
    assert event["local_received"] >= event["timestamp"]


def test_handlers_get_events_by_type_and_the_others(app):
    heard: dict[str, list[str]] = {"open": [], "others": []}
    receiver = app.events.Receiver(
        handlers={
            "shop-open": lambda event: heard["open"].append(event["type"]),
            "*": lambda event: heard["others"].append(event["type"]),
        }
    )

    for kind in ("shop-open", "shop-closed"):
        receiver.process(kind, {"type": kind})

    assert heard == {"open": ["shop-open"], "others": ["shop-closed"]}


def test_a_routing_key_says_which_events_are_heard(app, listen):
    listener = listen(routing_key="worker.#")

    dispatcher = app.events.Dispatcher(hostname="w1@here")
    dispatcher.send("task-started", uuid="id-1")
    dispatcher.send("worker-online", freq=2.0)

    assert [event["type"] for event in listener.end()] == ["worker-online"]


def test_the_logical_clock_goes_past_what_was_heard(app, listen):
    listener = listen()

    EventDispatcher(app=app, hostname="w1@here").send("task-started", uuid="id-1", clock=500)

    listener.end()
    assert app.clock.value > 500


def test_times_are_those_of_this_zone_and_producers_do_not_count(app):
    receiver = app.events.Receiver()
    app.clock.value = 40
    told = {"type": "task-sent", "timestamp": 10_000.0, "utcoffset": hours_west() + 1, "clock": 900}

    kind, event = receiver.event_from_message(told, now=lambda: 7.0)

    assert (kind, event["timestamp"], event["local_received"]) == ("task-sent", 6_400.0, 7.0)
    assert (event["clock"], app.clock.value) == (39, 40)


def test_what_is_no_event_is_logged_once_and_ignored(app, listen, caplog):
    listener = listen(limit=4)
    broken = [Notice(exchange="celeryev", routing_key="task.multi", body=body) for body in (b"{", b"[7]", b"\xff")]

    app.bus.broadcast(broken, deadline_at=float("inf"))
    app.events.Dispatcher().send("shop-open")

    assert [event["type"] for event in listener.end()] == ["shop-open"]
    assert len([record for record in caplog.records if "no event" in record.getMessage()]) == 1


def test_hearing_nothing_ends_in_time(app):
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        app.events.Receiver().capture(timeout=0.05, wakeup=False)


def test_a_receiver_can_be_stopped(app, listen):
    listener = listen(limit=None)

    listener.receiver.should_stop = True

    assert listener.end() == []


def test_events_of_a_group_are_gathered_and_said_together(app, listen):
    listener = listen()
    dispatcher = EventDispatcher(app=app, hostname="w1@here", buffer_group={"task"}, buffer_limit=3)

    for number in range(3):
        dispatcher.send("task-started", uuid=f"id-{number}")

    assert [event["uuid"] for event in listener.end()] == ["id-0", "id-1", "id-2"]


def test_what_was_gathered_is_said_at_the_end(app, listen):
    listener = listen()

    with EventDispatcher(app=app, hostname="w1@here", buffer_group={"task"}) as dispatcher:
        dispatcher.send("task-started", uuid="id-1")

    assert [event["uuid"] for event in listener.end()] == ["id-1"]


def test_other_groups_and_what_is_disabled_are_not_told(app, listen):
    listener = listen()
    dispatcher = EventDispatcher(app=app, groups={"shop"})

    dispatcher.send("task-started", uuid="id-1")
    dispatcher.disable()
    dispatcher.send("shop-closed")
    dispatcher.enable()
    dispatcher.send("shop-open")

    assert [event["type"] for event in listener.end()] == ["shop-open"]


def test_another_serializer_carries_events(listen, app):
    app.conf.event_serializer = "msgpack"
    listener = listen()

    app.events.Dispatcher().send("shop-open", door=b"front")

    assert listener.end()[0]["door"] == b"front"


def test_an_event_has_a_time_unless_it_is_told_one():
    assert Event("shop-open", door="front", timestamp=5.0) == {"type": "shop-open", "door": "front", "timestamp": 5.0}
    assert Event("shop-open", {"door": 1}, __now__=lambda: 9.0) == {"type": "shop-open", "door": 1, "timestamp": 9.0}
