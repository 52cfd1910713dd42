"""The same call, made by a program of Celery and by one of ours, leaves the same in Redis, field for field."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, Kind

pytestmark = pytest.mark.timeout(300)

CALLS = {
    "plain": "add.apply_async((1, 'é'), OPTIONS)",
    "keywords": "echo.apply_async((), {'k': [None, 1.5, {}]}, OPTIONS)",
    "types": "echo.apply_async((Decimal('1.10'), b'x', datetime.date(2024, 1, 2), UUID(int=5)), OPTIONS)",
    "priority": "add.apply_async((1, 2), priority=7, OPTIONS)",
    "large priority": "add.apply_async((1, 2), priority=255, OPTIONS)",
    "headers": "add.apply_async((1, 2), headers={'x-tenant': 't1', 'n': {'a': [1]}}, shadow='s', OPTIONS)",
    "limits": "add.apply_async((1, 2), time_limit=30, soft_time_limit=20, ignore_result=True, OPTIONS)",
    "transient": "add.apply_async((1, 2), delivery_mode='transient', OPTIONS)",
    "links": "add.apply_async((1, 2), link=callback.s(name='x'), link_error=[errback.s(), add.si(1)], OPTIONS)",
    "eta": "add.apply_async((1, 2), eta=datetime.datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC), OPTIONS)",
    "expires": "add.apply_async((1, 2), expires=datetime.datetime(2000, 1, 1, tzinfo=UTC), OPTIONS)",
    "by name": "app.send_task('shop.elsewhere', (1,), OPTIONS)",
    "signature": "add.s(1).set(priority=4).apply_async((2,), OPTIONS)",
    "msgpack": "echo.apply_async((1, b'x'), serializer='msgpack', OPTIONS)",
    "yaml": "echo.apply_async((1, 'x'), serializer='yaml', OPTIONS)",
    "pickle": "echo.apply_async((1, 'x'), serializer='pickle', OPTIONS)",
    "compressed": "echo.apply_async(('x' * 100,), compression='bzip2', OPTIONS)",
}
OPTIONS = "task_id='the-id', queue='parked'"
TRANSPORTS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "prefix, separator and steps": {"global_keyprefix": "pfx:", "sep": ":", "priority_steps": list(range(10))},
    "plain bodies": {"body_encoding": "utf-8"},
}


@pytest.fixture(scope="module")
def fleets(open_fleet: Callable[..., Fleet]) -> Iterator[Callable[[str], Fleet]]:
    made: dict[str, Fleet] = {}

    def of(name: str) -> Fleet:
        if name not in made:
            made[name] = open_fleet(broker_transport_options=TRANSPORTS[name])
        return made[name]

    yield of
    for fleet in made.values():
        fleet.close()


def left_by(fleet: Fleet, kind: Kind, call: str, **settings: Any) -> dict[str, Any]:
    """Return what a call leaves: list and message, and how the queue is bound; what is made up is left out."""
    fleet.broker.flushdb()
    fleet.client(kind, **settings).run(f"{call.replace('OPTIONS', OPTIONS)}.id")
    found: dict[str, Any] = {}
    for key in sorted(fleet.broker.scan_iter()):
        kind_of_key = fleet.broker.type(key)
        if kind_of_key == "list":
            [raw] = fleet.broker.lrange(key, 0, -1)
            found[key] = readable(json.loads(raw))
            found[f"order of {key}"] = [list(json.loads(raw)), list(json.loads(raw)["headers"])]
        elif "_kombu.binding" in key and key.endswith("parked"):
            found[key] = fleet.broker.smembers(key)
    return found


def readable(envelope: dict[str, Any]) -> dict[str, Any]:
    assert len(envelope["properties"].pop("delivery_tag")) == 36
    UUID(envelope["properties"]["reply_to"])  # names process and thread
    envelope["properties"]["reply_to"] = "reply queue"
    assert envelope["headers"].pop("origin", "gen").startswith("gen")
    encoded = envelope["properties"]["body_encoding"] == "base64"
    envelope["body"] = base64.b64decode(envelope["body"]) if encoded else envelope["body"]
    return envelope


@pytest.mark.parametrize(
    ("call", "transport"),
    [
        *((call, "as it comes") for call in CALLS),
        *((call, name) for name in list(TRANSPORTS)[1:] for call in ("plain", "priority", "large priority")),
    ],
)
def test_the_same_call_leaves_the_same(fleets: Callable[[str], Fleet], call: str, transport: str) -> None:
    fleet = fleets(transport)

    theirs, ours = (left_by(fleet, kind, CALLS[call]) for kind in (CELERY, CELERIAC))

    assert ours == theirs


@pytest.mark.parametrize("call", ["plain", "headers", "limits", "links", "eta", "expires", "priority"])
def test_the_same_call_leaves_the_same_in_protocol_1(fleets: Callable[[str], Fleet], call: str) -> None:
    fleet = fleets("as it comes")

    theirs, ours = (left_by(fleet, kind, CALLS[call], task_protocol=1) for kind in (CELERY, CELERIAC))

    assert ours == theirs
