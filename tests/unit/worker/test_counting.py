from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from celeriac import Celery
from celeriac.brokers.base import Delivery, Settlement
from celeriac.brokers.joins import JoinEffects, JoinStart
from celeriac.exceptions import WorkerLostError
from celeriac.message import Message
from celeriac.states import FAILURE, REVOKED
from celeriac.wire.compression import compress
from celeriac.wire.protocol import Call, write_message
from celeriac.worker.counting import Counting

BODY: dict[str, Any] = {
    "task": "shop.total",
    "args": [],
    "kwargs": {},
    "options": {"task_id": "body"},
    "subtask_type": None,
}
LAST: dict[str, Any] = {"task": "shop.z", "options": {"task_id": "z", "chord": BODY, "group_id": "g", "group_index": 1}}


@pytest.fixture
def app():
    return Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False)


def message(**said: Any) -> Message:
    call = Call(task="shop.pay", id="m-1", queue="celery", **{"group": "g", "group_index": 2, "chord": BODY, **said})
    return write_message(call, origin="test")


def counted(app: Celery, one: Message, *, state: str = FAILURE, **settled: Any) -> Settlement:
    settlement = Settlement(delivery=Delivery(tag=1, owner=1, message=one), **settled)
    return Counting(app, form=app.conf.record_form).add_to(settlement, WorkerLostError("gone"), state=state)


def effects(settlement: Settlement) -> JoinEffects:
    assert settlement.joins is not None
    return settlement.joins


def places(settlement: Settlement) -> list[tuple[str, str, int | None, str]]:
    counts = () if settlement.joins is None else settlement.joins.counts
    return [(one.group_id, one.task_id, one.index, one.state) for one in counts]


@pytest.mark.parametrize("state", [FAILURE, REVOKED])
def test_a_member_is_counted(app, state):
    settlement = counted(app, message(), state=state)

    assert places(settlement) == [("g", "m-1", 2, state)]
    [member] = effects(settlement).counts
    assert member.message is not None
    assert b"gone" in member.item


def test_a_step_before_a_member_counts_it(app):
    assert places(counted(app, message(chord=None, group=None, chain=[LAST]))) == [("g", "z", 1, FAILURE)]


@pytest.mark.parametrize("said", [{"chord": None}, {"group": None}, {"chord": None, "chain": [{"task": "a"}]}])
def test_what_is_no_member_is_settled_as_it_was(app, said):
    assert counted(app, message(**said)).joins is None


def test_a_compressed_member_is_counted(app):
    plain = message()
    body, kind = compress(plain.body, "zlib")
    headers = msgspec.json.encode(msgspec.json.decode(plain.headers) | {"compression": kind})

    settlement = counted(app, msgspec.structs.replace(plain, body=body, headers=headers))

    assert places(settlement) == [("g", "m-1", 2, FAILURE)]


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b""},
        {"body": b'{"chord": {'},
        {"content_type": "application/x-python-serialize", "body": b"\x80\x04N."},
    ],
)
def test_a_member_that_cannot_be_read_is_counted_by_its_headers(app, changes):
    settlement = counted(app, msgspec.structs.replace(message(), **changes))

    assert places(settlement) == [("g", "m-1", 2, FAILURE)]
    assert effects(settlement).counts[0].message is None


@pytest.mark.parametrize("headers", [b"", b"{", b"[]", b'{"task": "shop.pay", "id": "m-1"}'])
def test_what_tells_of_no_group_is_counted_nowhere(app, headers):
    assert counted(app, msgspec.structs.replace(message(), headers=headers, body=b"")).joins is None


def test_what_the_store_refused_is_counted_as_failed_and_starts_nothing_less(app):
    refused = JoinEffects(starts=(JoinStart("other", 1),), counts=())

    settlement = counted(app, message(), joins=refused)

    assert effects(settlement).starts == refused.starts
    assert places(settlement) == [("g", "m-1", 2, FAILURE)]


def test_without_results_nobody_counts(app):
    app.conf.result_backend = "disabled"

    assert counted(app, message()).joins is None
