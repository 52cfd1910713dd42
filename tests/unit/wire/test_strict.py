from __future__ import annotations

import enum
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from celeriac.exceptions import EncodeError
from celeriac.wire.protocol import Call, write_message
from tests.unit.wire.strategies import ARGUMENTS


class Color(enum.StrEnum):
    RED = "red"


def send(value: Any, serializer: str = "json") -> None:
    call = Call(
        task="t",
        id="i",
        queue="q",
        args=(1, value),
        kwargs={"k": [value]},
        serializer=serializer,
        strict_round_trip=True,
    )
    write_message(call, origin="o")


@given(value=ARGUMENTS)
def test_what_json_carries_passes(value: Any) -> None:
    send(value)


@pytest.mark.parametrize("value", [math.nan, -0.0, 2**70, datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2)))])
def test_odd_values_pass(value: Any) -> None:
    send(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 2), r"args\[1\] is a tuple and would arrive as a list \(\(1, 2\)\)"),
        ({"a": [(1,)]}, r"args\[1\]\['a'\]\[0\] is a tuple and would arrive as a list"),
        ({1: 2}, r"args\[1\] has the key 1, a int, which would arrive as another"),
        ({"x": {None: 1}}, r"args\[1\]\['x'\] has the key None"),
        (Color.RED, r"args\[1\] is a Color and would arrive as a str"),
        ({"__type__": "bytes", "__value__": "x"}, r"args\[1\] is a dict and would arrive as a bytes"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(value: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        send(value)


def test_keyword_arguments_are_compared_too() -> None:
    call = Call(task="t", id="i", queue="q", kwargs={"k": {"a": (1,)}}, strict_round_trip=True)

    with pytest.raises(EncodeError, match=r"kwargs\['k'\]\['a'\] is a tuple"):
        write_message(call, origin="o")


def test_a_zone_that_arrives_as_its_offset_passes() -> None:
    send(datetime(2024, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")))


def test_the_serializer_of_the_call_decides() -> None:
    send({1, 2}, "pickle")
    send({1: (2,)}, "pickle")
    with pytest.raises(EncodeError, match=r"args\[1\] is a tuple"):
        send((1,), "msgpack")
    with pytest.raises(EncodeError, match=r"args\[1\] cannot be written as JSON"):
        send({1, 2})


@pytest.mark.parametrize("args", [(1, "x"), [1, "x"]])
def test_the_arguments_themselves_may_be_a_tuple_or_a_list(args: Any) -> None:
    write_message(Call(task="t", id="i", queue="q", args=args, strict_round_trip=True), origin="o")


@pytest.mark.parametrize("value", [datetime(2024, 1, 2, tzinfo=UTC), Decimal("1.10"), b"\xff", None, True, 1, 1.0])
def test_types_are_told_apart(value: Any) -> None:
    send(value)
