from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import EncodeError, MessageTooLarge
from celeriac.message import Message
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import Call, TaskRequest, read_intake, read_request, write_message
from tests.unit.wire.strategies import ARGUMENTS, JSON_VALUES, TEXT

NO_NUL = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
OPTIONAL_TEXT = st.none() | TEXT
SIGNATURES = st.lists(st.dictionaries(TEXT, JSON_VALUES, max_size=2), max_size=2)
FOREIGN_NAMES = st.text(min_size=1, max_size=7).map(lambda name: f"x-{name}")


def write(**decided: Any) -> Message:
    return write_message(Call(**{"task": "t", "id": "id-1", "queue": "q"} | decided), origin="gen1@host")


def headers_of(message: Message) -> dict[str, Any]:
    return json.loads(message.headers)


def read(**decided: Any) -> TaskRequest:
    return read_request(write(**decided))


@given(st.lists(ARGUMENTS, max_size=3), st.dictionaries(TEXT, ARGUMENTS, max_size=2))
def test_arguments_are_read_back_as_they_were_passed(args: list[Any], kwargs: dict[str, Any]) -> None:
    request = read(args=args, kwargs=kwargs)

    assert (request.args, request.kwargs) == (args, kwargs)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "task": st.text(NO_NUL, min_size=1, max_size=1024),
            "id": st.text(NO_NUL, min_size=1, max_size=255),
            "retries": st.integers(0, 2**31 - 1),
            "shadow": OPTIONAL_TEXT,
            "root_id": st.text(min_size=1),
            "parent_id": OPTIONAL_TEXT,
            "group": OPTIONAL_TEXT,
            "group_index": st.none() | st.integers(0, 10_000),
            "ignore_result": st.sampled_from([None, True, False]),
            "priority": st.integers(0, 255),
            "headers": st.dictionaries(FOREIGN_NAMES, ARGUMENTS, max_size=3),
            "argsrepr": TEXT,
            "kwargsrepr": TEXT,
            "replaced_task_nesting": st.integers(0, 100),
            "stamped_headers": st.lists(TEXT),
            "stamps": st.dictionaries(TEXT, ARGUMENTS, max_size=2),
            "callbacks": SIGNATURES,
            "errbacks": SIGNATURES,
            "chain": SIGNATURES,
            "chord": st.dictionaries(TEXT, JSON_VALUES, max_size=2),
            "reply_to": st.text(min_size=1),
        },
    )
)
def test_what_a_producer_decides_is_read_back(decided: dict[str, Any]) -> None:
    request = read(**decided)

    assert {name: getattr(request, name) for name in decided} == decided


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_times_are_read_back_to_the_microsecond(eta_at: float, expires_at: float) -> None:
    message = write(eta_at=eta_at, expires_at=expires_at)

    intake = read_intake(message)

    assert intake.eta_at == pytest.approx(eta_at, abs=1e-6)
    assert intake.expires_at == pytest.approx(expires_at, abs=1e-6)
    assert message.eta_at == eta_at


@pytest.mark.parametrize("field", ["shadow", "root_id", "parent_id", "group", "argsrepr"])
def test_a_lone_surrogate_in_a_header_is_carried(field: str) -> None:
    request = read(**{field: "\ud800"})

    assert getattr(request, field) == "\ud800"


def test_a_call_that_says_nothing_more_is_its_own_root_and_runs_at_once() -> None:
    headers = headers_of(write())

    assert headers["root_id"] == "id-1"
    assert (headers["parent_id"], headers["eta"], headers["expires"]) == (None, None, None)


def test_the_spelling_of_a_time_is_the_callers() -> None:
    message = write(eta_at=1893466800.0, eta_text="2030-01-01T12:00:00+09:00")

    assert headers_of(message)["eta"] == "2030-01-01T12:00:00+09:00"
    assert message.eta_at == 1893466800.0


def test_the_message_is_routed_as_the_call_is() -> None:
    message = write(queue="slow", priority=7)

    assert (message.task_id, message.queue, message.priority) == ("id-1", "slow", 7)


def test_no_priority_is_priority_zero() -> None:
    assert write(priority=None).priority == 0


def test_usual_properties_are_not_stored() -> None:
    assert write().properties is None


def test_unusual_properties_are_stored() -> None:
    message = write(reply_to="r", delivery_mode=1, expiration_ms=1500, properties={"app": "x"})

    assert json.loads(message.properties or b"") == {
        "app": "x",
        "reply_to": "r",
        "delivery_mode": 1,
        "expiration": "1500",
    }


def test_arguments_may_be_any_sequence_and_any_mapping() -> None:
    request = read(args=range(3), kwargs=MappingProxyType({"a": 1}))

    assert (request.args, request.kwargs) == ([0, 1, 2], {"a": 1})


def test_custom_headers_stand_behind_the_protocols_own() -> None:
    headers = headers_of(write(headers={"x-tenant": "t1"}))

    assert list(headers)[-2:] == ["stamps", "x-tenant"]


def test_a_custom_header_may_overwrite_a_header_of_the_protocol() -> None:
    assert headers_of(write(headers={"shadow": "other"}))["shadow"] == "other"


def test_ignoring_the_result_is_written_as_a_boolean() -> None:
    assert headers_of(write(ignore_result=1))["ignore_result"] is True


@pytest.mark.parametrize(
    ("decided", "complaint"),
    [
        ({"args": (1, object())}, r"^args\[1\] cannot be written as JSON"),
        ({"kwargs": {"x": {1, 2}}}, r"^kwargs\['x'\] cannot be written as JSON: JSON cannot carry a set"),
        ({"kwargs": {"x": {"y": [object()]}}}, r"^kwargs\['x'\]\['y'\]\[0\] cannot be written"),
        ({"headers": {"h": object()}}, r"^headers\['h'\] cannot be written"),
        ({"stamps": {"s": object()}}, r"^headers\['stamps'\]\['s'\] cannot be written"),
        ({"callbacks": [{"args": [object()]}]}, r"^embed\['callbacks'\]\[0\]\['args'\]\[0\] cannot be written"),
        ({"properties": {"p": object()}}, r"^properties\['p'\] cannot be written"),
    ],
)
def test_the_value_that_json_cannot_carry_is_named(decided: dict[str, Any], complaint: str) -> None:
    with pytest.raises(EncodeError, match=complaint):
        write(**decided)


@pytest.mark.parametrize(
    ("decided", "complaint"),
    [
        ({"shadow": 5}, r"\$\.shadow"),
        ({"time_limit": "30"}, r"\$\.timelimit\[0\]"),
        ({"soft_time_limit": [20]}, r"\$\.timelimit\[1\]"),
        ({"argsrepr": b"x"}, r"\$\.argsrepr"),
        ({"stamped_headers": [1]}, r"\$\.stamped_headers"),
        ({"headers": {"retries": -1}}, r"\$\.retries"),
        ({"headers": {"timelimit": [1]}}, r"\$\.timelimit"),
        ({"headers": {"id": "other"}}, "'task' or 'id'"),
        ({"headers": {"task": "other"}}, "'task' or 'id'"),
        ({"task": ""}, "task name must be text of 1 to 1024 characters, got ''"),
        ({"task": "t" * 1025}, "task name"),
        ({"id": ""}, "task id must be text of 1 to 255 characters"),
        ({"id": "i" * 256}, "task id"),
        ({"id": UUID(int=1)}, "task id must be text"),
        ({"id": "\ud800"}, "task name or id is not text"),
        ({"priority": 256}, "priority must be a whole number from 0 to 255, got 256"),
        ({"priority": -1}, "priority"),
        ({"priority": "high"}, "priority"),
    ],
)
def test_what_no_worker_could_read_is_refused_at_the_call(decided: dict[str, Any], complaint: str) -> None:
    with pytest.raises(EncodeError, match=complaint):
        write(**decided)


def write_within(limits: Limits, **decided: Any) -> Message:
    return write_message(Call(task="t", id="id-1", queue="q", **decided), origin="o", limits=limits)


def test_a_message_as_large_as_the_limit_is_written_and_read() -> None:
    size = write(args=("x" * 1000,), argsrepr="").size_bytes
    limits = Limits(max_bytes=size)

    message = write_message(
        Call(task="t", id="id-1", queue="q", args=("x" * 1000,), argsrepr=""), origin="gen1@host", limits=limits
    )

    assert read_request(message, limits=limits).args == ["x" * 1000]


def test_a_message_over_the_limit_is_named_with_its_size() -> None:
    with pytest.raises(MessageTooLarge, match=r"call of 't' \(id id-1\) makes a message of 1\d+ bytes"):
        write_within(Limits(max_bytes=1000), args=("x" * 1000,), argsrepr="")


def test_too_many_headers_are_refused() -> None:
    headers = {f"x-{number}": 1 for number in range(238)}

    with pytest.raises(MessageTooLarge, match="257 headers"):
        write(headers=headers)


def test_as_many_headers_as_the_limit_are_written_and_read() -> None:
    headers = {f"x-{number}": 1 for number in range(237)}

    assert read(headers=headers).headers == headers


def test_headers_that_are_too_long_together_are_refused() -> None:
    with pytest.raises(MessageTooLarge, match="over the limit of 256 headers and 262144 bytes"):
        write(headers={"x": "y" * 262_144})


@pytest.mark.parametrize(
    ("queue", "complaint"),
    [
        ("", "queue name must be text of 1 to 255 characters, got ''"),
        ("q" * 256, "queue name must be text of 1 to 255 characters, got 'qqq"),
        (5, "queue name must be text of 1 to 255 characters, got 5"),
        ("a\0b", r"queue name must not hold a NUL character, got 'a\\x00b'"),
        ("a\ud800", r"queue name must be text that UTF-8 can write, got 'a\\ud800'"),
    ],
)
def test_a_queue_that_some_broker_could_not_store_is_refused(queue: Any, complaint: str) -> None:
    with pytest.raises(EncodeError, match=complaint):
        write(queue=queue)


@pytest.mark.parametrize(("field", "name"), [("task", "task name"), ("id", "task id")])
def test_a_name_with_a_nul_is_refused(field: str, name: str) -> None:
    with pytest.raises(EncodeError, match=rf"{name} must not hold a NUL character, got 'a\\x00b'"):
        write(**{field: "a\0b"})


def test_properties_weigh_too() -> None:
    with pytest.raises(MessageTooLarge, match=r"makes a message of \d+ bytes, over the limit of 4000"):
        write_message(
            Call(task="t", id="i", queue="q", properties={"x": "y" * 4_000}), origin="o", limits=Limits(max_bytes=4_000)
        )


@pytest.mark.parametrize("queue", ["q" * 255, "größe"])
def test_any_other_text_may_be_a_queue(queue: str) -> None:
    assert write(queue=queue).queue == queue


def nest(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("part", "wrap", "depth"),
    [
        ("args", lambda value: (value,), 126),
        ("kwargs", lambda value: {"x": value}, 126),
        ("headers", lambda value: {"x": value}, 127),
        ("chord", lambda value: {"args": value}, 125),
    ],
)
def test_what_may_be_written_as_deep_may_be_read(part: str, wrap: Any, depth: int) -> None:
    deepest = wrap(nest(depth))

    request = read(**{part: deepest})

    assert json.dumps(getattr(request, part)) == json.dumps(deepest)
    with pytest.raises(MessageTooLarge, match="deep"):
        write(**{part: wrap(nest(depth + 1))})
