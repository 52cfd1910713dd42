from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError, EncodeError, MessageTooLarge
from celeriac.wire.jsontypes import dumps, loads, loads_untagged
from tests.unit.wire.messages import refusal
from tests.unit.wire.strategies import ARGUMENTS, FOREIGN_BYTES, FOREIGN_JSON, JSON_VALUES


def nest(depth: int, *, make: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    """Put `depth` containers around nothing."""
    value: Any = make(0)
    for _ in range(depth - 1):
        value = make(value)
    return value


@given(ARGUMENTS)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(ARGUMENTS)
def test_types_survive_the_way(value: Any) -> None:
    assert type(loads(dumps(value))) is type(value)


@given(JSON_VALUES)
def test_plain_values_are_written_as_python_writes_them(value: Any) -> None:
    assert dumps(value) == json.dumps(value).encode()


@given(ARGUMENTS)
def test_the_text_is_ascii(value: Any) -> None:
    assert dumps(value).isascii()


@pytest.mark.parametrize("number", [2**63, -(2**64), 2**64 + 1, 10**300, -(10**4299)])
def test_integers_of_any_size_stay_exact(number: int) -> None:
    assert loads(dumps(number)) == number


@pytest.mark.parametrize("number", [math.inf, -math.inf])
def test_infinities_are_carried(number: float) -> None:
    assert loads(dumps([number])) == [number]


def test_nan_is_carried() -> None:
    assert dumps(math.nan) == b"NaN"
    assert math.isnan(loads(b"NaN"))


def test_a_lone_surrogate_is_carried() -> None:
    assert loads(dumps("\ud800x")) == "\ud800x"


def test_a_tuple_becomes_a_list() -> None:
    assert loads(dumps((1, (2,)))) == [1, [2]]


def test_keys_become_text() -> None:
    assert loads(dumps({1: "a", None: "b", 2.5: "c"})) == {"1": "a", "null": "b", "2.5": "c"}


def test_an_object_is_written_as_its_own_json() -> None:
    class Point:
        def __json__(self) -> dict[str, Any]:
            return {"at": datetime(2024, 1, 2, tzinfo=UTC)}

    assert loads(dumps([Point()])) == [{"at": datetime(2024, 1, 2, tzinfo=UTC)}]


def test_lazy_text_of_django_is_written_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Promise:
        def __str__(self) -> str:
            return "hallo"

    module = ModuleType("django.utils.functional")
    module.Promise = Promise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    assert dumps([Promise()]) == b'["hallo"]'


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert loads(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ('{"hex": "12345678123456781234567812345678"}', UUID("12345678-1234-5678-1234-567812345678")),
        ('{"int": 5}', UUID(int=5)),
        ('{"bytes": {"__type__": "bytes", "__value__": "0123456789abcdef"}}', UUID(bytes=b"0123456789abcdef")),
        ('{"fields": [1, 2, 3, 4, 5, 6]}', UUID(fields=(1, 2, 3, 4, 5, 6))),
    ],
)
def test_a_uuid_may_be_told_by_any_of_its_forms(fields: str, expected: UUID) -> None:
    assert loads(f'{{"__type__": "uuid", "__value__": {fields}}}'.encode()) == expected


def test_tagged_values_are_found_at_any_depth() -> None:
    data = b'[{"a": [[{"__value__": "1.10", "__type__": "decimal"}]]}]'

    assert loads(data) == [{"a": [[Decimal("1.10")]]}]


def test_an_object_with_more_than_a_tag_is_an_object() -> None:
    data = {"__type__": "decimal", "__value__": "1.10", "x": 1}

    assert loads(dumps(data)) == data


def test_reading_without_tags_leaves_them_as_they_are() -> None:
    assert loads_untagged(dumps(Decimal("1.10"))) == {"__type__": "decimal", "__value__": "1.10"}


@pytest.mark.parametrize(
    ("tag", "value", "complaint"),
    [
        ("no-such", '"x"', "unknown type 'no-such'"),
        ("datetime", '"yesterday"', "does not make a datetime"),
        ("datetime", "5", "does not make a datetime"),
        ("date", '"2024-13-01"', "does not make a date"),
        ("time", '"25:00"', "does not make a time"),
        ("decimal", '"abc"', "does not make a decimal"),
        ("uuid", '"12345678123456781234567812345678"', "does not make a uuid"),
        ("uuid", '{"hex": "x"}', "does not make a uuid"),
        ("uuid", '{"open": "/etc/passwd"}', "does not make a uuid"),
        ("bytes", "[1]", "does not make a bytes"),
        ("base64", '"%%"', "does not make a base64"),
    ],
)
def test_a_tagged_value_that_cannot_be_made_is_a_decode_error(tag: str, value: str, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        loads(f'[{{"__type__": "{tag}", "__value__": {value}}}]'.encode())


class Unwritable:
    def __repr__(self) -> str:
        return "<unwritable>"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Unwritable(), r"args cannot"),
        ([1, Unwritable()], r"args\[1\] cannot"),
        ({"x": {"y": [0, 1, Unwritable()]}}, r"args\['x'\]\['y'\]\[2\] cannot"),
        ([{1, 2}], r"args\[0\] cannot be written as JSON: JSON cannot carry a set \(\{1, 2\}\)"),
        ([{"a": {(1, 2): 3}}], r"args\[0\]\['a'\] has the key \(1, 2\)"),
        ([10**5000], r"args\[0\] cannot"),
    ],
)
def test_the_part_that_cannot_be_written_is_named(value: Any, path: str) -> None:
    with pytest.raises(EncodeError, match=path):
        dumps(value, name="args")


def test_what_an_objects_own_json_raises_is_said() -> None:
    class Grumpy:
        def __json__(self) -> Any:
            raise RuntimeError("not today")

    with pytest.raises(EncodeError, match=r"args\[0\] cannot be written as JSON: not today"):
        dumps([Grumpy()], name="args")


def test_an_object_that_fails_only_once_is_refused_all_the_same() -> None:
    class Moody:
        asked = 0

        def __json__(self) -> Any:
            self.asked += 1
            return 1 / (self.asked - 1)

    with pytest.raises(EncodeError, match="args cannot be written as JSON: division by zero"):
        dumps([Moody()], name="args")


def test_a_value_inside_itself_is_named() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})

    with pytest.raises(EncodeError, match=r"args\[1\]\['again'\] contains itself"):
        dumps(loop, name="args")


CONTAINERS = pytest.mark.parametrize(
    "make", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: (inner,)], ids=["list", "dict", "tuple"]
)


@CONTAINERS
def test_depth_up_to_the_limit_is_written_and_read(make) -> None:
    value = nest(128, make=make)

    assert dumps(loads(dumps(value))) == dumps(value)


@CONTAINERS
@pytest.mark.parametrize("depth", [129, 400, 100_000])
def test_what_is_nested_too_deep_is_not_written(make, depth: int) -> None:
    with pytest.raises(MessageTooLarge, match="nested more than 128 deep"):
        dumps(nest(depth, make=make))


@CONTAINERS
def test_near_the_end_of_the_stack_too_deep_is_still_too_deep(make) -> None:
    for depth in range(800, sys.getrecursionlimit() + 10):
        with pytest.raises(MessageTooLarge):
            dumps(nest(depth, make=make))


@pytest.mark.parametrize("depth", [129, 400, 100_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deep_is_not_read(start: str, end: str, depth: int) -> None:
    with pytest.raises(DecodeError, match="deep"):
        loads(f"{start * depth}0{end * depth}".encode())


def test_many_brackets_side_by_side_are_not_deep() -> None:
    value: list[Any] = [[] for _ in range(500)]

    assert loads(dumps(value)) == value


def test_brackets_in_text_are_not_deep() -> None:
    assert loads(dumps("[" * 500)) == "[" * 500


@given(JSON_VALUES, st.integers(0, 6))
def test_the_limit_of_depth_is_the_same_for_both_directions(value: Any, limit: int) -> None:
    data = json.dumps([value] * 3).encode()

    try:
        dumps([value] * 3, max_depth=limit)
        written = True
    except MessageTooLarge:
        written = False

    assert written == (refusal(loads, data, max_depth=limit) == "")


@given(FOREIGN_BYTES)
@example(b"")
@example(b"\xff\xfe[\x00")
@example(b"[" * 100_000)
@example(b"1" * 5000)
@example(b'"\\ud800"')
def test_any_bytes_are_json_or_a_decode_error(data: bytes) -> None:
    assert len(refusal(loads, data)) < 1_000


@given(FOREIGN_JSON)
def test_json_is_read_as_python_reads_it(data: bytes) -> None:
    assert loads_untagged(data) == json.loads(data)
