from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import EncodeError, MessageTooLarge
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import Call, read_intake, read_request
from celeriac.wire.protocol1 import write_message_1
from celeriac.wire.serializers import Accept


def call(**more: Any) -> Call:
    return Call(**{"task": "shop.add", "id": "id-1", "queue": "q", "args": (1,), "kwargs": {"y": 2}} | more)


def test_it_is_read_as_what_was_said():
    message = write_message_1(
        call(
            eta_at=1_900_000_000.5,
            expires_at=1_900_000_060.0,
            retries=2,
            group="g",
            group_index=1,
            callbacks=[{"task": "x"}],
            time_limit=5,
            priority=3,
            headers={"tenant": "t"},
        )
    )

    request, intake = read_request(message), read_intake(message)
    assert (request.task, request.args, request.kwargs) == ("shop.add", [1], {"y": 2})
    assert (request.retries, request.group, request.group_index, request.priority) == (2, "g", 1, 3)
    assert (request.callbacks, request.timelimit, request.headers) == ([{"task": "x"}], (5, None), {"tenant": "t"})
    assert (intake.eta_at, intake.expires_at, intake.protocol) == (1_900_000_000.5, 1_900_000_060.0, 1)
    assert message.eta_at == 1_900_000_000.5


@pytest.mark.parametrize("headers", [None, {"tenant": "t"}], ids=["no headers", "headers"])
def test_it_can_be_compressed(headers):
    message = write_message_1(call(compression="zlib", headers=headers, serializer="msgpack"))

    assert read_request(message, accept=Accept.of(["msgpack"])).args == [1]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"chain": [{"task": "x"}]}, "a chain of 'shop.add' cannot be sent in protocol 1; set task_protocol to 2"),
        ({"headers": {"task": "other"}}, "custom headers of 'shop.add' name 'task', which is a header of protocol 2"),
        ({"args": (object(),)}, "cannot be written as JSON"),
        ({"task": ""}, "task name must be text"),
    ],
)
def test_what_it_cannot_say_is_refused(more, text):
    with pytest.raises(EncodeError) as caught:
        write_message_1(call(**more))

    assert text in str(caught.value)


def test_one_over_the_limit_is_refused():
    with pytest.raises(MessageTooLarge, match="message_max_bytes"):
        write_message_1(call(args=("x" * 2000,)), limits=Limits(max_bytes=1000))


@given(st.lists(st.integers() | st.text()), st.dictionaries(st.text(), st.booleans() | st.floats(allow_nan=False)))
def test_any_arguments_arrive(args, kwargs):
    request = read_request(write_message_1(call(args=args, kwargs=kwargs)))

    assert (request.args, request.kwargs) == (args, kwargs)
