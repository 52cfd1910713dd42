from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured
from celeriac.worker import event_stream
from celeriac.worker.event_stream import KEPT_MAX, EventStream


class Station:
    """Take what is broadcast, or fail."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.is_down = False
        self.heard = asyncio.Event()

    async def broadcast(self, notices: Any, *, deadline_at: float) -> None:
        if self.is_down:
            raise BrokerUnavailable("the bus is away")
        self.said += notices
        self.heard.set()

    async def close(self) -> None:
        return


def stream_on(station: Station, **conf: Any) -> EventStream:
    said = SimpleNamespace(event_exchange="celeryev", event_serializer="json", **conf)
    app: Any = SimpleNamespace(conf=said, bus=SimpleNamespace(station=lambda: station))
    return EventStream(app, "w1@here", before_flush=lambda: False)


async def test_events_of_tasks_go_out_together_and_the_others_alone():
    station = Station()
    stream = stream_on(station)
    stream.start()

    stream.add('{"n":1}')
    stream.add('{"n":2}')
    stream.add_single("worker.online", '{"n":3}')
    await asyncio.wait_for(station.heard.wait(), 60)
    await stream.stop()

    assert [(notice.routing_key, json.loads(notice.body)) for notice in station.said] == [
        ("task.multi", [{"n": 1}, {"n": 2}]),
        ("worker.online", {"n": 3}),
    ]
    assert json.loads(station.said[0].headers) == {"hostname": "w1@here"}


async def test_what_is_gathered_goes_out_at_the_end():
    station = Station()
    stream = stream_on(station)
    stream.start()

    stream.add('{"n":1}')
    await stream.stop()
    await stream.stop()

    assert len(station.said) == 1


async def test_batches_have_a_size_that_listeners_can_take():
    station = Station()
    stream = stream_on(station)
    stream.start()

    for number in range(1200):
        stream.add(f'{{"n":{number}}}')
    for _ in range(3):
        stream.add(json.dumps({"text": "x" * 400_000}))
    await stream.stop()

    sizes = [len(json.loads(notice.body)) for notice in station.said]
    assert sizes == [500, 500, 201, 1, 1]
    assert [one["n"] for notice in station.said[:2] for one in json.loads(notice.body)] == list(range(1000))


async def test_events_that_cannot_be_said_are_lost_and_the_log_says_so_once(caplog, monkeypatch):
    monkeypatch.setattr(event_stream, "EVERY", 0.0)
    station = Station()
    station.is_down = True
    stream = stream_on(station)
    stream.start()

    for _ in range(3):
        stream.add('{"n":1}')
        await asyncio.sleep(0.01)
    station.is_down = False
    stream.add('{"n":2}')
    await asyncio.wait_for(station.heard.wait(), 60)
    await stream.stop()

    assert json.loads(station.said[-1].body)[-1] == {"n": 2}
    assert caplog.text.count("got lost") == 1


async def test_no_more_is_kept_than_fits(caplog):
    station = Station()
    stream = stream_on(station)
    stream.start()

    for _ in range(KEPT_MAX + 5):
        stream.add("1")
    await stream.stop()

    assert sum(len(json.loads(notice.body)) for notice in station.said) == KEPT_MAX
    assert "5 events got lost" in caplog.text


async def test_without_a_bus_there_are_no_events(caplog):
    def station() -> None:
        raise ImproperlyConfigured("this broker has no bus")

    conf = SimpleNamespace(event_exchange="celeryev", event_serializer="json")
    app: Any = SimpleNamespace(conf=conf, bus=SimpleNamespace(station=station))
    stream = EventStream(app, "w1@here", before_flush=lambda: False)

    assert stream.start() is False
    stream.add("1")
    await stream.stop()


@pytest.mark.parametrize("name", ["msgpack"])
async def test_another_serializer_writes_the_same(name):
    station = Station()
    said = SimpleNamespace(event_exchange="celeryev", event_serializer=name)
    app: Any = SimpleNamespace(conf=said, bus=SimpleNamespace(station=lambda: station))
    stream = EventStream(app, "w1@here", before_flush=lambda: False)
    stream.start()

    stream.add('{"n":1}')
    await stream.stop()

    import msgspec

    assert msgspec.msgpack.decode(station.said[0].body) == [{"n": 1}]
    assert station.said[0].content_type == "application/x-msgpack"
