"""Events: what Celery's workers and clients tell is read rightly, and ours is what theirs would be."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from celeriac.app.events import task_events
from celeriac.app.events.task_events import Says
from celeriac.message import Message
from celeriac.wire.events import batch_of, made, notice_of, read_events
from celeriac.wire.jsontypes import dumps, dumps_text
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.notices import Notice, read_notice
from tests.golden import vector

NAMES = vector.names("event-")
COMMON = ("hostname", "utcoffset", "pid", "clock", "timestamp", "type")


def notice(name: str) -> Notice:
    return read_notice(vector.load(name)["redis_raw"].encode())[0]


def event(name: str) -> dict[str, Any]:
    """Return the one event that a vector is about."""
    found: dict[str, Any] = vector.load(name).get("event") or json.loads(notice(name).body)
    return found


def own_fields(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in COMMON}


def written(says: Says, said: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the fields of the event of ours that tells the same, at the same time and place, in their order."""
    head = task_events.head_of(said["hostname"], utcoffset=said["utcoffset"], pid=said["pid"])
    text = task_events.event(head, said["clock"], task_events.quoted(said["uuid"]), says, said["timestamp"])
    return list(json.loads(text).items())


def message(said: dict[str, Any], **more: Any) -> Message:
    """Make the message that an event tells of."""
    headers = {
        "lang": "py",
        "task": said["name"],
        "id": said["uuid"],
        "argsrepr": said["args"],
        "kwargsrepr": said["kwargs"],
        **{name: said[name] for name in ("root_id", "parent_id", "retries", "eta", "expires")},
    }
    return Message(task_id=said["uuid"], queue=said.get("queue", "celery"), headers=dumps(headers), body=b"[]", **more)


@pytest.mark.parametrize("name", NAMES)
def test_events_of_celery_are_read(name: str) -> None:
    body = vector.load(name)["decoded"]["body"]

    events, faults = read_events(notice(name))

    assert events == (body if isinstance(body, list) else [body])
    assert faults == []


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(vector.load(name)["decoded"]["body"], dict)])
def test_a_single_event_of_ours_is_the_same_notice(name: str) -> None:
    said = json.loads(notice(name).body)
    common = {field: said[field] for field in ("hostname", "utcoffset", "pid", "clock")}

    again = made(said["type"], own_fields(said), at=said["timestamp"], **common)

    assert notice_of(again, exchange="celeryev", hostname=said["hostname"]) == notice(name)


def test_a_batch_of_ours_is_the_same_notice() -> None:
    captured = notice("event-task-multi")
    events = [dumps_text(one) for one in json.loads(captured.body)]

    batch = batch_of(events, exchange="celeryev", routing_key="task.multi", headers=captured.headers)

    assert json.loads(batch.body) == json.loads(captured.body)
    assert msgspec.structs.replace(batch, body=b"") == msgspec.structs.replace(captured, body=b"")


def test_a_received_message_is_told_as_celery_does() -> None:
    said = event("event-task-received")

    says = task_events.received(message(said), said["name"], None, limits=DEFAULT_LIMITS)

    assert written(says, said) == list(said.items())


def test_a_sent_message_is_told_as_celery_does() -> None:
    said = event("event-task-sent")

    says = task_events.sent(message(said), said["name"], None, limits=DEFAULT_LIMITS)

    assert written(says, said) == list(said.items())


def said_of(name: str) -> Says:
    """Tell with our functions what an event of Celery tells."""
    said = event(name)
    match said["type"]:
        case "task-started":
            return task_events.STARTED
        case "task-succeeded":
            return task_events.succeeded(task_events.told_success(5, said["runtime"], limit=1024))
        case "task-rejected":
            return task_events.rejected(requeue=said["requeue"])
        case "task-revoked":
            named = {field: said[field] for field in ("terminated", "signum", "expired")}
            return task_events.revoked(**named)
        case "task-failed":
            return task_events.failed(task_events.told_failure(NotRegisteredHere(), said.get("traceback")))
        case "task-retried":
            return task_events.retried(task_events.told_failure(ValueError("again"), said["traceback"]))
    raise AssertionError(said["type"])


class NotRegisteredHere(Exception):
    """Show as Celery's exception of the vector does."""

    def __repr__(self) -> str:
        return "NotRegistered('no.such.task')"


@pytest.mark.parametrize("kind", ["started", "succeeded", "rejected", "revoked", "failed", "retried"])
def test_what_a_message_came_to_is_told_as_celery_does(kind: str) -> None:
    name = f"event-task-{kind}"
    said = event(name)

    assert written(said_of(name), said) == list(said.items())
