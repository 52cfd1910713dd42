from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import pytest

from celeriac.exceptions import EncodeError, MessageTooLarge
from celeriac.wire import jsontypes, msgpacks, yamls

DATA = pytest.mark.parametrize("serializer", [jsontypes, msgpacks, yamls])


class Plain(enum.Enum):
    RED = "red"
    LIST = (1, 2)


class Text(enum.StrEnum):
    RED = "red"


class Old(str, enum.Enum):  # noqa: UP042 - what programs have had for years
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Flags(enum.IntFlag):
    A = 1
    B = 2


@dataclass
class Address:
    street: str
    color: Plain = Plain.RED


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    homes: list[Address] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: int


class Words(str):
    def __str__(self) -> str:
        return "something else"


class Own:
    def __repr__(self) -> str:
        return "Own"

    def __json__(self) -> object:
        return {"own": Text.RED}


@DATA
@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Plain.RED, "red"),
        (Plain.LIST, [1, 2]),
        (Text.RED, "red"),
        (Old.RED, "red"),
        (Number.ONE, 1),
        (Flags.A | Flags.B, 3),
        (Address("a"), {"street": "a", "color": "red"}),
        (Person("p", [Address("b")]), {"name": "p", "homes": [{"street": "b", "color": "red"}]}),
        (Point(1, 2), [1, 2]),
        (Words("w"), "w"),
        (Own(), {"own": "red"}),
        ({Text.RED: {Old.RED: 1}}, {"red": {"red": 1}}),
        ([(1, (2,))], [[1, [2]]]),
    ],
    ids=repr,
)
def test_values_of_classes_travel_as_plain_data(serializer: Any, value: Any, arrives: Any) -> None:
    assert serializer.loads(serializer.dumps(value)) == arrives


@DATA
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, object()]}, r"v\['a'\]\[1\] cannot be written as"),
        ([Person], r"v\[0\] cannot be written as"),
        ({"a": Person("p", [cast("Any", object())])}, r"v\['a'\] cannot be written as"),
        ({(1, 2): 1}, r"v has the key \(1, 2\)"),
    ],
)
def test_what_cannot_travel_is_named(serializer: Any, value: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        serializer.dumps(value, name="v")


@DATA
def test_a_value_that_contains_itself_is_named(serializer: Any) -> None:
    loop: list[Any] = []
    loop.append({"again": loop})

    with pytest.raises(EncodeError, match=r"v\[0\]\['again'\] contains itself"):
        serializer.dumps(loop, name="v")


@DATA
def test_a_dataclass_that_contains_itself_is_refused(serializer: Any) -> None:
    person = Person("p")
    person.homes.append(cast("Any", person))

    with pytest.raises(EncodeError):
        serializer.dumps(person)


@DATA
def test_depth_is_bounded(serializer: Any) -> None:
    value: Any = 1
    for _ in range(20):
        value = [value]

    assert serializer.loads(serializer.dumps(value, max_depth=20), max_depth=20) == value
    with pytest.raises(MessageTooLarge, match="nested more than 19 deep"):
        serializer.dumps(value, max_depth=19)
    with pytest.raises(MessageTooLarge):
        serializer.dumps({"a": (value,)}, max_depth=20)


@DATA
def test_a_model_is_refused_with_a_hint(serializer: Any) -> None:
    class Model:
        def model_dump(self) -> None: ...

    with pytest.raises(EncodeError, match="a task with pydantic=True carries models in parameters"):
        serializer.dumps([Model()])


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return self.cents


@pytest.fixture
def taught() -> Any:
    types, makers = list(jsontypes._TYPES), dict(jsontypes._MAKERS)
    yield
    jsontypes._TYPES[:] = types
    jsontypes._MAKERS.clear()
    jsontypes._MAKERS.update(makers)


@pytest.mark.usefixtures("taught")
def test_json_can_be_taught_a_type() -> None:
    jsontypes.register_type(Money, "money", lambda money: money.cents, Money)

    data = jsontypes.dumps({"price": Money(5)})

    assert json.loads(data) == {"price": {"__type__": "money", "__value__": 5}}
    assert jsontypes.loads(data) == {"price": Money(5)}


@pytest.mark.usefixtures("taught")
def test_json_can_be_taught_a_plain_form() -> None:
    jsontypes.register_type(Money, None, lambda money: money.cents)

    assert jsontypes.loads(jsontypes.dumps([Money(5)])) == [5]
