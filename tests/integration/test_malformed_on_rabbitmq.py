"""Anybody can publish anything to a queue. What nobody can run is a dead letter, and the same processes go on."""

from __future__ import annotations

import datetime
import json
import struct
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import amqp
import pytest

from celeriac.brokers.amqp.place import read_place
from tests.integration.project import Project, wait_until
from tests.integration.test_control import asked
from tests.integration.test_events import Monitor
from tests.tables_by_hand import Raw, entry, text

pytestmark = [pytest.mark.engines("rabbitmq"), pytest.mark.timeout(300)]

JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
QUEUE = "celery"


def headers(name: str, **changed: Any) -> dict[str, Any]:
    return {"lang": "py", "task": "tasks.noted", "id": name, "retries": 0, "timelimit": [None, None]} | changed


def body(name: str) -> bytes:
    return json.dumps([[name], {}, {}]).encode()


def without(name: str, *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in headers(name).items() if key not in left_out}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


CHANGED: dict[str, list[Any]] = {
    "task": [5, [], {}, True, 1.5, None, "x" * 2_000, "nul\0", ""],
    "id": [5, [], {}, True, "x" * 300, "nul\0"],
    "retries": ["many", -1, [], {}, 1.5],
    "eta": ["soon", 5, [], {}, "2026-99-99T00:00:00"],
    "expires": ["soon", [], {}, "2026-99-99T00:00:00"],
    "timelimit": ["x", 5, {}, ["x", None]],
    "x": [nested(200)],
    "compression": ["application/x-nothing", "application/x-gzip"],
}
BODIES = [
    b"",
    b"{",
    b"null",
    b"5",
    b"[]",
    b"[[1]]",
    b'[{"a": 1}, {}, {}]',
    b"[5, {}, {}]",
    b"[[1], [], {}]",
    b'"text"',
    b"\xff\xfe[",
    b"[" * 10_000 + b"]" * 10_000,
    bytes(range(256)),
    zlib.compress(b"[[1], {}, {}]"),
]
CONTENT_TYPES = ["application/x-nothing", "application/x-python-serialize", "text/html; charset=x", "x" * 200]


def bad() -> Iterator[amqp.Message]:
    """Yield messages that nobody can run."""
    for header, values in CHANGED.items():
        for value in values:
            yield amqp.Message(body("bad"), application_headers=headers("bad", **{header: value}), **JSON)
    yield amqp.Message(body("bad"), application_headers=without("bad", "task"), **JSON)
    yield amqp.Message(body("bad"), application_headers={}, **JSON)
    yield amqp.Message(body("bad"))
    yield amqp.Message(
        body("bad"), application_headers=headers("bad") | {f"x{number}": number for number in range(400)}, **JSON
    )
    yield amqp.Message(body("bad"), application_headers={"id": "bad", "x": "x" * 130_900}, **JSON)
    yield raw("bad", entry(b"x", b"T", b"\xff" * 8))
    for content in BODIES:
        yield amqp.Message(content, application_headers=headers("bad"), **JSON)
    for content_type in CONTENT_TYPES:
        yield amqp.Message(body("bad"), application_headers=headers("bad"), content_type=content_type)


def raw(name: str, *further: bytes) -> amqp.Message:
    return Raw(body(name), text(b"task", b"tasks.noted") + text(b"id", name.encode()) + b"".join(further))


OTHER_LANGUAGES: dict[str, list[bytes]] = {
    "signed-8": [entry(b"x", b"b", b"\xff")],
    "unsigned-8": [entry(b"x", b"B", b"\xff")],
    "signed-16": [entry(b"x", b"s", b"\xff\xfe")],
    "unsigned-16": [entry(b"x", b"u", b"\xff\xfe")],
    "unsigned-32": [entry(b"x", b"i", b"\xff\xff\xff\xfe")],
    "signed-64": [entry(b"retries", b"l", bytes(8))],
    "float": [entry(b"x", b"f", struct.pack(">f", 1.5))],
    "bytes": [entry(b"x", b"x", struct.pack(">I", 2) + b"\xff\x00")],
    "decimal": [entry(b"x", b"D", b"\x02" + struct.pack(">i", 314))],
    "time": [entry(b"x", b"T", struct.pack(">Q", 1_700_000_000))],
    "text": [text(b"x", "h\u00e9 \U0001f600".encode())],
    "no-text": [text(b"x", b"\xff\xfe\x00")],
    "table": [entry(b"x", b"F", struct.pack(">I", len(text(b"a", b"b"))) + text(b"a", b"b"))],
    "a-name-that-is-no-text": [entry(b"\xff\xfe", b"V", b"")],
    "a-huge-decimal": [entry(b"x", b"D", b"\xff" + struct.pack(">i", 1))],
}
"""Headers that say nothing of the call: it runs whatever they are."""


OTHER_VALUES: dict[str, Any] = {
    "a-decimal": Decimal("1.5"),
    "a-time": datetime.datetime(2026, 1, 2),
    "a-null": None,
    "a-list": [1, {"a": None}],
    "a-large-number": 2**40,
    "some-bytes": b"\x00\xff",
}


def test_what_nobody_can_run_dies_with_a_reason_and_holds_nothing_up(project: Project, amqp_url: str) -> None:
    node = project.start()
    project.call("pid").get(timeout=60)
    pids = {process.pid for process in node.members()}
    place = read_place(amqp_url, "broker_url")
    messages = list(bad())

    good = []
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as connection:
        channel = connection.channel()
        for number, message in enumerate(messages):
            channel.basic_publish(message, "", QUEUE)
            good.append(project.call("noted", f"good-{number}"))
        for name, further in OTHER_LANGUAGES.items():
            channel.basic_publish(raw(f"good-{name}", *further), "", QUEUE)
        for name, plain in OTHER_VALUES.items():
            said = headers(f"good-{name}", x=plain)
            channel.basic_publish(amqp.Message(body(said["id"]), application_headers=said, **JSON), "", QUEUE)
    for result in good:
        result.get(timeout=60)
    wanted = {f"good-{name}" for name in (*range(len(messages)), *OTHER_LANGUAGES, *OTHER_VALUES)}
    wait_until(lambda: wanted <= set(project.runs()), what=f"{wanted - set(project.runs())}\n{node.log_end}")
    wait_until(lambda: len(project.app.broker.dead_letters(limit=1_000)) >= len(messages), what=node.log_end)

    letters = project.app.broker.dead_letters(limit=1_000)
    assert len(messages) >= 40
    assert len(letters) == len(messages)
    assert all(letter.reason for letter in letters)
    assert {name.partition("-")[0] for name in project.runs()} == {"good"}, "no bad one ran"
    assert set(project.runs().values()) == {1}
    assert {process.pid for process in node.members()} == pids, node.log_end
    assert "Traceback" not in node.log, node.log_end
    assert node.stop() == 0


ON_THE_BUS = [
    b'{"method": 7}',
    b'{"method": "__class__"}',
    b'{"method": "ping", "arguments": [1]}',
    b'{"method": "pool_grow", "arguments": {"n": 1e99}}',
    b'{"method": "revoke", "arguments": {"task_id": [7]}}',
    b'{"type": 7, "hostname": "w9@here"}',
    b'{"type": "worker-online", "hostname": ["w9"], "timestamp": "now", "clock": {}}',
    b'[{"type": "task-sent", "uuid": []}, 5]',
    *BODIES,
]
"""What is said in place of commands and events."""


def hostile() -> Iterator[amqp.Message]:
    """Yield what is neither a control command nor an event, and what is none because of its headers."""
    for content in ON_THE_BUS:
        yield amqp.Message(content, **JSON)
        yield amqp.Message(content, application_headers={"clock": "late", "expires": []}, **JSON)
    for content_type in CONTENT_TYPES:
        yield amqp.Message(ON_THE_BUS[0], content_type=content_type)
    yield amqp.Message(ON_THE_BUS[0], application_headers={"x": nested(200)}, **JSON)
    yield raw("bad", entry(b"x", b"T", b"\xff" * 8))
    for further in OTHER_LANGUAGES.values():
        yield raw("bad", *further)


def test_what_is_hostile_on_the_bus_is_logged_once_and_ignored(
    project: Project, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = Monitor(project.app)
    node = project.start("-E", concurrency=1)
    asked(project, "ping")
    monitor.wait_for("worker-heartbeat")
    project.call("pid").get(timeout=60)
    pids = {process.pid for process in node.members()}
    place = read_place(amqp_url, "broker_url")

    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as connection:
        channel = connection.channel()
        for message in hostile():
            for exchange in ("celery.pidbox", "celeryev"):
                channel.basic_publish(message, exchange, "worker.online")
    answer = asked(project, "ping")
    project.app.events.Dispatcher(hostname="me@here").send("shop-open")
    monitor.wait_for("shop-open")
    added = project.call("add", 1, 2)

    assert answer == {"ok": "pong"}
    assert added.get(timeout=60) == 3
    monitor.wait_for("task-succeeded", uuid=added.id)
    monitor.stop()
    assert {process.pid for process in node.members()} == pids, node.log_end
    assert node.log.count("is no control command") == 1, node.log_end
    assert node.log.count("is not known here") == 1, node.log_end
    assert node.log.count("left out what is no notice") <= 1, node.log_end
    assert "Traceback" not in node.log, node.log_end
    assert caplog.text.count("ignored what is no event") == 1
    assert "Traceback" not in caplog.text
    assert node.stop() == 0
