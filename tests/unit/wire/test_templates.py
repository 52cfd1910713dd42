from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import EncodeError
from celeriac.ids import new_id
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import Call, write_message
from celeriac.wire.templates import Template, template_of
from tests.unit.wire.strategies import ARGUMENTS, TEXT

ORIGIN = 'gen7@ho"st'
NAMES = st.sampled_from(["shop.pay", "i", '"id":"i"', '"argsrepr":""', "größe", "back\\slash", 'a"b'])
FIELDS = st.fixed_dictionaries(
    {"queue": NAMES},
    optional={
        "ignore_result": st.none() | st.booleans(),
        "priority": st.none() | st.integers(0, 255),
        "time_limit": st.none() | st.integers(0, 99) | st.floats(0, 99),
        "soft_time_limit": st.none() | st.integers(0, 99),
    },
)


class Odd:
    """Show as what no UTF-8 can be made of."""

    def __repr__(self) -> str:
        return "\ud800"

    def __json__(self) -> int:
        return 1


def made(name: str, fields: dict[str, Any], **how: Any) -> Template:
    template = template_of(name, fields, origin=ORIGIN, **how)
    assert template is not None
    return template


@given(
    name=NAMES,
    fields=FIELDS,
    args=st.lists(ARGUMENTS, max_size=3).map(tuple) | st.lists(ARGUMENTS, max_size=2),
    kwargs=st.dictionaries(TEXT, ARGUMENTS, max_size=2),
    reply_to=st.none() | st.just("an-oid"),
)
def test_its_messages_are_those_that_are_written_at_length(name, fields, args, kwargs, reply_to):
    task_id = new_id()

    message = made(name, fields).write(task_id, args, kwargs, reply_to)

    call = Call(task=name, id=task_id, args=args, kwargs=kwargs, **fields)
    assert message == write_message(call, origin=ORIGIN, reply_to=reply_to)


def test_arguments_that_cannot_be_written_are_named():
    with pytest.raises(EncodeError, match=r"args\[1\]"):
        made("t", {"queue": "q"}).write(new_id(), (1, object()), {}, None)


def test_what_it_cannot_write_rightly_is_left_to_those_who_can():
    small = made("t", {"queue": "q"}, limits=Limits(max_bytes=1_000))

    assert small.write(new_id(), (), {}, None) is not None
    assert small.write(new_id(), ("x" * 1_000,), {}, None) is None
    assert made("t", {"queue": "q"}).write(new_id(), (Odd(),), {}, None) is None


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("", {"queue": "q"}),
        ("t", {"queue": "q\0"}),
        ("t", {"queue": "q", "priority": 256}),
        ("t", {"queue": "q", "headers": {"a": 1}}),
        ("t", {"queue": "q", "serializer": "pickle"}),
        ("t", {"queue": "q", "delivery_mode": 1}),
    ],
)
def test_there_is_none_of_calls_that_say_more_or_what_is_wrong(name, fields):
    assert template_of(name, fields, origin=ORIGIN) is None
