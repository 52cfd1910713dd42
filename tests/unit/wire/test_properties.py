from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.wire.properties import merge_properties, only_reply_to, reply_to_alone, split_properties
from tests.unit.wire.messages import message
from tests.unit.wire.strategies import ARGUMENTS, TEXT

IMPLIED = {
    "correlation_id": "id-1",
    "delivery_mode": 2,
    "delivery_info": {"exchange": "", "routing_key": "q"},
    "priority": 0,
}


def test_what_the_message_implies_is_not_kept() -> None:
    full = IMPLIED | {"body_encoding": "base64", "delivery_tag": "d", "reply_to": None}

    assert split_properties(full, task_id="id-1", queue="q") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("correlation_id", "other"),
        ("delivery_mode", 1),
        ("delivery_info", {"exchange": "", "routing_key": "other"}),
        ("delivery_info", {"exchange": "", "routing_key": "q", "redelivered": True}),
        ("reply_to", "r"),
        ("expiration", "1000"),
        ("app", {"a": [1]}),
    ],
)
def test_what_the_message_does_not_imply_is_kept(name: str, value: Any) -> None:
    kept = split_properties(IMPLIED | {name: value}, task_id="id-1", queue="q")

    assert kept is not None
    assert json.loads(kept) == {name: value}


@given(st.dictionaries(TEXT | st.sampled_from(sorted(IMPLIED)), ARGUMENTS, max_size=4))
def test_properties_that_are_split_and_merged_are_the_same(properties: dict[str, Any]) -> None:
    full = IMPLIED | {name: value for name, value in properties.items() if name != "priority" and value is not None}

    kept = split_properties(full, task_id="id-1", queue="q")

    assert merge_properties(message(properties=kept)) == full


@pytest.mark.parametrize("name", ["r", "f8cda0b1-7ef0-35f4-9e7d-358bd68e14c0", 'with "quotes" and \\', "é\n"])
def test_a_queue_for_answers_alone_is_written_and_recognised(name: str):
    properties = only_reply_to(name)

    named = reply_to_alone(properties)

    assert json.loads(properties) == {"reply_to": name}
    assert named is None or json.loads(named) == name
    assert named is not None or not name.replace("-", "").isalnum()


@pytest.mark.parametrize(
    "other", [b'{"expiration": "5"}', b'{"reply_to": "r", "x": 1, "y": 2}', b'{"reply_to": {"a": "b"}}']
)
def test_other_properties_are_not_taken_for_a_queue_alone(other: bytes):
    assert reply_to_alone(other) is None
