from __future__ import annotations

from typing import Any

import msgspec
import pytest

from celeriac import Celery, chain, group
from celeriac.app.context import Context
from celeriac.app.members import Members, join_message
from celeriac.brokers.joins import JOINS_QUEUE
from celeriac.canvas.signature import Signature
from celeriac.exceptions import EncodeError
from celeriac.states import FAILURE, REVOKED, SUCCESS
from celeriac.wire.protocol import read_request


@pytest.fixture
def app():
    return Celery("shop", broker="memory://", set_as_current=False)


@pytest.fixture
def members(app):
    return Members(app, app.conf.record_form)


def body(app: Celery, **options):
    return Signature("shop.total", options={"task_id": "body-id", **options}, app=app)


def run(app: Celery, **fields) -> Context:
    said = {"id": "m-1", "group": "header", "group_index": 4, "root_id": "root", "chord": body(app), **fields}
    return Context(task="shop.pay", **said)


def test_a_member_that_returned_reports_its_value(app, members):
    member = members.succeeded(run(app), 5)

    assert (member.group_id, member.task_id, member.index, member.state) == ("header", "m-1", 4, SUCCESS)
    assert member.item == b'[1, "m-1", "SUCCESS", 5]'
    request: Any = read_request(member.message)
    assert (request.id, request.root_id, request.parent_id) == ("body-id", "root", "m-1")
    assert member.message.queue == JOINS_QUEUE


def test_each_member_is_the_parent_of_the_body_when_it_completes_the_join(app, members):
    runs = [run(app, id=f"m-{number}", root_id=f"r-{number}" if number else None) for number in range(3)]

    requests = [read_request(members.succeeded(each, None).message) for each in runs]

    assert [(one.parent_id, one.root_id) for one in requests] == [("m-0", "m-0"), ("m-1", "r-1"), ("m-2", "r-2")]
    assert [one.kwargs["body"]["task"] for one in requests] == ["shop.total"] * 3


def test_the_message_has_the_custom_headers_of_a_member_but_ours_and_goes_without_those_that_are_too_much(app, members):
    said = members.succeeded(run(app, headers={"tenant": "t1", "celeriac_unique": {"key": "k"}}), None)
    much = members.succeeded(run(app, group="other", headers={"much": "x" * app.conf.limits.max_header_bytes}), None)

    assert read_request(said.message).headers == {"tenant": "t1"}
    assert read_request(much.message).headers == {}


@pytest.mark.parametrize("state", [FAILURE, REVOKED])
def test_a_member_that_failed_reports_why(app, members, state):
    [member] = members.failed(run(app), state, ValueError("no"))

    assert member.state == state
    told = msgspec.json.decode(member.item)
    assert told[:3] == [1, "m-1", state]
    assert (told[3]["exc_type"], told[3]["exc_message"]) == ("ValueError", ["no"])


def test_of_a_chain_in_a_header_the_last_step_is_reported_whichever_fails(app, members):
    last: Any = Signature(
        "shop.last", options={"task_id": "z", "chord": body(app), "group_id": "header", "group_index": 1}
    )
    first = Context(id="a", task="shop.first", chain=[last, Signature("shop.middle", options={"task_id": "m"})])

    [member] = members.failed(first, FAILURE, ValueError("no"))

    assert (member.group_id, member.task_id, member.index) == ("header", "z", 1)
    assert read_request(member.message).parent_id == "a"


def test_who_is_no_member_reports_nothing(app, members):
    assert members.failed(Context(id="a", chain=[Signature("t", options={"task_id": "b"})]), FAILURE, OSError()) == ()


def test_the_message_ends_as_its_body_would(app):
    outer: Any = Signature("shop.outer", options={"task_id": "outer-id"}, app=app)
    one = body(
        app,
        chord=outer,
        group_id="outer-header",
        group_index=2,
        link_error=[Signature("shop.told")],
        chain=[Signature("shop.next", options={"task_id": "next"})],
        ignore_result=True,
    )

    request: Any = read_request(join_message(one, "header", parent_id="p", root_id="r", app=app))

    assert (request.id, request.group, request.group_index, request.chord["task"]) == (
        "body-id",
        "outer-header",
        2,
        "shop.outer",
    )
    assert [each["task"] for each in request.errbacks] == ["shop.told"]
    assert [each["task"] for each in request.chain] == ["shop.next"]
    assert (request.ignore_result, request.parent_id, request.root_id) == (True, "p", "r")
    assert request.kwargs["group_id"] == "header"


@pytest.mark.parametrize("make", [chain, group])
def test_a_body_of_several_runs_ends_as_all_of_them(app, make):
    whole = make(Signature("shop.a", app=app), Signature("shop.b", app=app), app=app)
    whole.freeze("whole", group_id="outer-header", chord=Signature("shop.outer", app=app))

    request: Any = read_request(join_message(whole, "header", parent_id=None, root_id=None, app=app))

    assert (request.id, request.chord, request.ignore_result) == ("whole", None, None)
    assert [each["subtask_type"] for each in request.chain] == [make.__name__]


def test_the_errbacks_of_a_chain_are_those_of_its_first_step(app):
    first: Any = Signature("shop.a", app=app).on_error(Signature("shop.told"))
    whole = chain(first, Signature("shop.b", app=app), app=app)
    whole.freeze("whole")

    request: Any = read_request(join_message(whole, "header", parent_id=None, root_id=None, app=app))

    assert [each["task"] for each in request.errbacks] == ["shop.told"]


def test_a_body_that_json_cannot_carry_is_written_as_messages_are(app):
    whole = body(app)
    whole["args"] = ({1, 2}, object)

    with pytest.raises(EncodeError):
        join_message(whole, "header", parent_id=None, root_id=None, app=app)
    app.conf.update(task_serializer="pickle", accept_content=["json", "pickle"])
    message = join_message(whole, "header", parent_id=None, root_id=None, app=app)

    assert message.content_type == "application/x-python-serialize"


def test_a_member_whose_body_cannot_be_written_is_counted_as_failed_all_the_same(app, members):
    odd = body(app)
    odd["args"] = (object(),)

    [member] = members.failed(run(app, chord=odd), FAILURE, ValueError("no"))

    assert (member.task_id, member.message) == ("m-1", None)
