from __future__ import annotations

import json

import pytest

from celeriac.brokers.base import Delivery, ResultMeta, Settlement
from celeriac.exceptions import WorkerLostError
from celeriac.message import Message
from celeriac.states import FAILURE, REVOKED, SUCCESS
from celeriac.wire.protocol import Call, write_message
from celeriac.wire.results import exception_map, read_record, write_record
from celeriac.worker.chain_ends import ending_chain


def step(task_id: str, **more):
    return {"task": "shop.pay", "options": {"task_id": task_id}, **more}


STEPS = [
    {"task": "celery.chord", "subtask_type": "chord", "kwargs": {"header": [step("h")], "body": step("b")}},
    {"task": "celery.group", "subtask_type": "group", "kwargs": {"tasks": [step("g-1"), step("g-2")]}},
    step("next"),
    {"task": "shop.pay", "options": {}},
]


def settlement(state: str = FAILURE, *, chain=STEPS, **changes) -> Settlement:
    message = write_message(Call(task="shop.pay", id="first", queue="celery", chain=chain), origin="test")
    record = write_record(
        task_id="first",
        state=state,
        result=exception_map(WorkerLostError("gone")),
        traceback="where",
        date_done="2026-01-02T03:04:05+00:00",
    )
    delivery = Delivery(message=msg(message, **changes), owner=1, tag=1)
    return Settlement(delivery=delivery, result=ResultMeta(task_id="first", state=state, record=record))


def msg(message: Message, **changes) -> Message:
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return Message(**fields | changes)


@pytest.mark.parametrize("state", [FAILURE, REVOKED])
def test_the_steps_that_would_have_followed_end_likewise(state):
    others = ending_chain(settlement(state)).others

    assert [one.task_id for one in others] == ["h", "b", "g-1", "g-2", "next"]
    for one in others:
        record = read_record(one.record)
        assert (one.state, record.status, record.traceback, record.task_id) == (state, state, "where", one.task_id)
        assert record.result == {
            "exc_type": "WorkerLostError",
            "exc_message": ["gone"],
            "exc_module": "billiard.exceptions",
        }


def test_after_a_success_they_follow():
    assert ending_chain(settlement(SUCCESS)).others == ()


@pytest.mark.parametrize("chain", [None, []])
def test_without_steps_there_is_nothing(chain):
    given = settlement(chain=chain)

    assert ending_chain(given) is given


def test_what_is_no_json_is_left_to_the_child():
    given = settlement(content_type="application/x-python-serialize")

    assert ending_chain(given) is given


def test_what_cannot_be_read_costs_nobody_the_settlement(caplog):
    given = settlement(body=json.dumps([[], {}, {"chain": [{"task": 5}]}]).encode()[:-2])

    assert ending_chain(given) is given
    assert "the steps that follow message first cannot be read" in caplog.text
