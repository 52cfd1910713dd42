from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

from observing import differs, make_app, program, raised


def echoing(**settings):
    app = make_app(task_always_eager=True, **settings)

    @app.task
    def echo(value):
        return value

    return lambda value, **options: echo.apply_async((value,), **options).get()


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


class Money:
    def __init__(self, amount):
        self.amount = amount

    def __json__(self):
        return {"amount": self.amount}


@program()
def types_that_json_carries():
    echo = echoing()
    values = {
        "datetime": datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        "offset": datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
        "naive": datetime(2030, 1, 2, 3, 4, 5),
        "date": date(2030, 1, 2),
        "time": time(3, 4, 5),
        "decimal": Decimal("1.10"),
        "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "bytes": b"\x00\xff",
        "text bytes": b"text",
        "tuple": (1, (2, 3)),
        "big": 2**80,
        "unicode": "Grüße 你好 \x00",
    }
    return {name: repr(echo(value)) for name, value in values.items()}


@program()
def containers_that_json_carries():
    echo = echoing()
    return {
        "keys": list(echo({1: "a", None: "b", 2.5: "c"})),
        "nested": repr(echo({"a": [{"b": (date(2030, 1, 1), Decimal("2"))}]})),
        "empty": [echo([]), echo({}), echo("")],
        "booleans": echo([True, False, None]),
        "generator": raised(echo, (n for n in range(3))),
        "object with __json__": echo(Money(5)),
    }


@program()
def types_that_json_does_not_carry():
    echo = echoing()

    class Own:
        pass

    return {
        "object": raised(echo, Own()),
        "function": raised(echo, len),
        "complex": raised(echo, 1j),
        "in a list": raised(echo, [1, [Own()]]),
        "exception": raised(echo, ValueError("x")),
    }


@program()
def numbers_that_are_none():
    echo = echoing()
    return {"nan": repr(echo(float("nan"))), "infinity": [repr(echo(float("inf"))), repr(echo(float("-inf")))]}


@program()
def tasks_that_use_msgpack():
    echo = echoing(task_serializer="msgpack", accept_content=["msgpack"])
    return {
        "values": [echo(1), echo("text"), echo([1, [2]]), echo({"a": None}), echo(2.5), echo(True)],
        "bytes": repr(echo(b"\x00\xff")),
        "tuple": repr(echo((1, 2))),
        "object": raised(echo, object()),
    }


@program()
def tasks_that_use_yaml():
    echo = echoing(task_serializer="yaml", accept_content=["yaml"])
    return {
        "values": [echo(1), echo("text: [1]"), echo([1, [2]]), echo({"a": None}), echo(True)],
        "date": repr(echo(date(2030, 1, 2))),
        "object": raised(echo, object()),
    }


@program()
def tasks_that_use_pickle():
    echo = echoing(task_serializer="pickle", accept_content=["pickle"])
    return {
        "point": repr(echo(Point(1, 2))),
        "enum": echo(Colour.RED) is Colour.RED,
        "tuple": repr(echo((1, {2}))),
        "exception": repr(echo(KeyError("x"))),
    }


@program(
    differs("unknown", celery="SerializerNotInstalled", ours="EncodeError", row="an unknown serializer raises"),
)
def a_serializer_for_one_call():
    app = make_app(task_always_eager=True, accept_content=["json", "msgpack", "yaml"])

    @app.task(serializer="msgpack")
    def packed(value):
        return type(value).__name__

    return {
        "of the task": packed.delay(b"\xff").get(),
        "of the call": packed.apply_async((("a", 1),), serializer="yaml").get(),
        "json": packed.apply_async(((1, 2),), serializer="json").get(),
        "unknown": raised(packed.apply_async, (1,), serializer="no-such-serializer"),
    }
