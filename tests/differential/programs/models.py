from __future__ import annotations

from observing import make_app, program, raised
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Order(BaseModel):
    item: str
    count: int = 1


class Parcel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int
    price: float | None = None

    @field_validator("count")
    @classmethod
    def limited(cls, value: int, info: ValidationInfo) -> int:
        limit = (info.context or {}).get("limit", 10)
        if value > limit:
            raise ValueError(f"more than {limit}")
        return value


@program()
def arguments_are_models():
    app = make_app(task_always_eager=True)

    @app.task(name="order", pydantic=True)
    def order(order: Order, note: str | None = None) -> Order:
        assert isinstance(order, Order)
        return Order(item=order.item.upper(), count=order.count + 1)

    @app.task(name="plain", pydantic=True)
    def plain(count: int):
        return [count, type(count).__name__]

    return {
        "dict": order.delay({"item": "tea", "count": 2}).get(),
        "keyword": order.apply_async(kwargs={"order": {"item": "tea"}, "note": "x"}).get(),
        "direct": order({"item": "tea"}),
        "wrong": raised(order.delay({"count": "many"}).get),
        "other types": plain.delay("5").get(),
        "state": order.delay({}).state,
    }


@program()
def arguments_are_strict_models():
    app = make_app(task_always_eager=True)

    @app.task(name="strict", pydantic=True, pydantic_strict=True)
    def strict(order: Parcel):
        return order.count

    @app.task(name="limited", pydantic=True, pydantic_context={"limit": 3}, pydantic_dump_kwargs={"exclude_none": True})
    def limited(order: Parcel) -> Parcel:
        return order

    @app.task(name="lax", pydantic=True)
    def lax(order: Parcel):
        return order.count

    return {
        "strict": [strict.delay({"count": 1}).get(), raised(strict.delay({"count": "1"}).get)],
        "context": [limited.delay({"count": 3}).get(), raised(limited.delay({"count": 4}).get)],
        "lax": [lax.delay({"count": "1"}).get(), raised(lax.delay({"count": 11}).get)],
        "extra": raised(lax.delay({"count": 1, "more": 1}).get),
    }


@program()
def callers_may_pass_models():
    app = make_app(task_always_eager=True)

    @app.task(name="show", pydantic=True)
    def show(order: Order, others: list[Order] | None = None):
        return [type(order).__name__, order.item]

    @app.task(name="unaware")
    def unaware(order):
        return type(order).__name__

    return {
        "delay": show.delay(Order(item="tea")).get(),
        "apply": show.apply((Order(item="tea"),)).get(),
        "unaware": raised(unaware.delay, Order(item="tea")),
    }
