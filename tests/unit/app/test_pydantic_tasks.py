from __future__ import annotations

import asyncio
import enum
import inspect
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Optional

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from celeriac.app import pydantic_tasks
from celeriac.app.pydantic_tasks import Models
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from decimal import Decimal


class Order(BaseModel):
    number: int
    at: datetime | None = None


class Picky(BaseModel):
    model_config = ConfigDict(strict=True)

    number: int


class Nosy(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _note(cls, value: int, info: ValidationInfo) -> int:
        assert info.context is not None
        info.context["seen"].append((info.context["celery_app"], info.context["celery_task_name"]))
        return value


@dataclass
class Address:
    street: str
    since: datetime | None = None


class Color(enum.Enum):
    RED = "red"


def models(function: Any, **options: Any) -> Models:
    return Models(function, **{"app": "the app", "task_name": "t"} | options)


def run(function: Any, *args: Any, **kwargs: Any) -> Any:
    return models(function).wrap()(*args, **kwargs)


def test_annotated_parameters_become_models() -> None:
    def body(order: Order, plain: int, other: Optional[Order] = None, *, more: Order | None = None) -> Any:  # noqa: UP045
        return [order, plain, other, more]

    data = {"number": 1, "at": "2024-01-02T03:04:05"}

    assert run(body, data, "5", {"number": "2"}, more=None) == [
        Order(number=1, at=datetime(2024, 1, 2, 3, 4, 5)),
        "5",
        Order(number=2),
        None,
    ]


def test_dataclasses_and_enums_are_made_too() -> None:
    def body(address: Address, color: Color | None = None) -> Any:
        return [address, color]

    made = run(body, {"street": "a", "since": "2024-01-02T00:00:00"}, "red")

    assert made == [Address("a", datetime(2024, 1, 2)), Color.RED]


def test_lists_of_models_stay_as_they_are() -> None:
    def body(orders: list[Order], *rest: Order, **named: Order) -> Any:
        return [orders, rest, named]

    data: Any = {"number": 1}

    assert run(body, [data], data, x=data) == [[data], (data,), {"x": data}]


def test_wrong_data_is_refused_and_none_is_no_model() -> None:
    def body(order: Order) -> None: ...

    for wrong in ({"number": "x"}, None, 5):
        with pytest.raises(ValidationError):
            run(body, wrong)


def test_arguments_that_do_not_fit_are_a_type_error() -> None:
    def body(order: Order) -> None: ...

    with pytest.raises(TypeError, match="missing a required argument: 'order'"):
        run(body)


def test_a_returned_model_is_dumped_and_nothing_else_is() -> None:
    def body(order: Order) -> Any:
        return order

    assert run(body, {"number": 1, "at": "2024-01-02T00:00:00"}) == {"number": 1, "at": "2024-01-02T00:00:00"}
    assert run(lambda: [1]) == [1]


def test_how_a_model_is_dumped_can_be_said() -> None:
    def body(order: Order) -> Order:
        return order

    dumped = models(body, dump_kwargs={"mode": "python", "exclude_unset": True}).wrap()({"number": 1})

    assert dumped == {"number": 1}


def test_coroutine_functions_stay_coroutine_functions() -> None:
    async def body(order: Order) -> Order:
        return order

    wrapped = models(body).wrap()

    assert inspect.iscoroutinefunction(wrapped)
    assert asyncio.run(wrapped({"number": "1"})) == {"number": 1, "at": None}


def test_a_coroutine_of_a_plain_function_is_dumped_when_it_ends() -> None:
    async def inner(order: Order) -> Order:
        return order

    def body(order: Order) -> Any:
        return inner(order)

    assert asyncio.run(run(body, {"number": 1})) == {"number": 1, "at": None}


def test_the_first_parameter_of_a_bound_task_is_left_alone() -> None:
    class Owner:
        def body(self, order: Order) -> Any:
            return [self, order]

    owner = Owner()

    assert run(owner.body, {"number": 1}) == [owner, Order(number=1)]
    assert models(owner.body).dump_arguments((Order(number=1),), {})[0] == [{"number": 1, "at": None}]


def test_strict_is_the_models_own_unless_said() -> None:
    def body(order: Order, picky: Picky | None = None) -> Any:
        return order

    assert run(body, {"number": "1"}) == {"number": 1, "at": None}
    with pytest.raises(ValidationError):
        run(body, {"number": 1}, {"number": "1"})
    with pytest.raises(ValidationError):
        models(body, strict=True).wrap()({"number": "1"})
    models(body, strict=False).wrap()({"number": 1}, {"number": "1"})


def test_validators_are_told_app_and_task_and_what_the_task_says() -> None:
    def body(nosy: Nosy) -> None: ...

    seen: list[Any] = []

    models(body, context={"seen": seen}).wrap()({"number": 1})

    assert seen == [("the app", "t")]


def test_a_caller_may_pass_models() -> None:
    def body(order: Order, other: Any = None, *, more: Order) -> None: ...

    order = Order(number=1, at=datetime(2024, 1, 2))

    args, kwargs = models(body).dump_arguments((order, 5), {"more": order})

    assert (args, kwargs) == (
        [{"number": 1, "at": "2024-01-02T00:00:00"}, 5],
        {"more": {"number": 1, "at": "2024-01-02T00:00:00"}},
    )


def test_a_model_that_would_arrive_as_another_is_left_to_the_serializer() -> None:
    class Special(Order):
        extra: int = 1

    def body(order: Order, other: Any, *rest: Any, **named: Any) -> None: ...

    special, order = Special(number=1), Order(number=1)

    args, kwargs = models(body).dump_arguments((special, order, order), {"named": order, "rest": order})

    assert list(args) == [special, order, order]
    assert kwargs == {"named": order, "rest": order}


def test_a_model_whose_validator_fails_here_is_left_to_the_serializer() -> None:
    def body(nosy: Nosy) -> None: ...

    nosy = Nosy.model_construct(number=1)

    assert models(body).dump_arguments((nosy,), {})[0] == [nosy]


def test_calls_without_models_are_left_as_they_are() -> None:
    def body(order: Order) -> None: ...

    args, kwargs = ({"number": 1},), {"x": 1}

    dumped = models(body).dump_arguments(args, kwargs)

    assert dumped[0] is args
    assert dumped[1] is kwargs


def test_an_annotation_for_type_checkers_only_does_not_take_others_along(caplog: pytest.LogCaptureFixture) -> None:
    def body(price: Decimal, order: Order) -> Any:
        return [price, order]

    with caplog.at_level(logging.WARNING, "celeriac.app"):
        made = run(body, "1.10", {"number": 1})

    assert made == ["1.10", Order(number=1)]
    assert "argument price of task t is not validated, because its annotation 'Decimal' cannot be" in caplog.text


def test_local_models_are_found_when_the_body_uses_them() -> None:
    class Local(BaseModel):
        number: int

    def body(local: Local) -> Any:
        return isinstance(local, Local)

    assert run(body, {"number": 1}) is True


def test_an_object_with_a_call_method_is_a_body_too() -> None:
    class Body:
        def __call__(self, order: Order) -> Any:
            return order.number

    assert run(Body(), {"number": "1"}) == 1


def test_without_pydantic_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydantic_tasks, "find_spec", lambda name: None)

    with pytest.raises(ImproperlyConfigured, match=r"task 't' says pydantic=True.*celeriac\[pydantic\]"):
        models(lambda: None)
