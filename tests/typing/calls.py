"""What a type checker knows of tasks and calls.

Two type checkers read this file (`test_checkers.py`); it is never run. Each line with an `ignore` has to be an error to
both: one that is none fails the check as an unused ignore.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, assert_type

from celeriac import AsyncResult, Celery, Signature, Task, group, shared_task

app = Celery("shop")


@app.task
def add(x: int, y: int = 2) -> int:
    return x + y


@app.task(bind=True, max_retries=None, ignore_result=True)
def pay(self: Task[[int], str], amount: int) -> str:
    raise self.retry(countdown=3, queue="slow")


@app.task(name="shop.fetch")
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True)
async def resolve(self: Task[[str], int], host: str) -> int:
    return len(host)


@shared_task
def total(*numbers: int, start: int = 0) -> int:
    return sum(numbers, start)


@shared_task(name="shop.send")
def send(to: str, subject: str, body: bytes, copies: int = 1, *, urgent: bool = False) -> bool:
    return urgent


@app.task(unique_for=600, unique_key="{order}", on_conflict="replace", concurrency_limit=2)
def ship(order: int) -> str:
    return str(order)


def of_order(order: int) -> int:
    return order


@app.task(unique_for=0.5, unique_key=of_order, concurrency_key=of_order, concurrency_limit=1)
def pack(order: int) -> str:
    return str(order)


@app.task(rate_limit="10/m", rate_limit_scope="global")
def ask(question: str) -> str:
    return question


@app.task
def tick() -> None: ...


def arguments_are_those_of_the_function() -> None:
    add.delay(1, 2)
    add.delay(1, y=2)
    add.delay(1, "x")  # type: ignore[arg-type]  # not an int
    add.delay()  # type: ignore[call-arg]  # x is missing
    add.delay(1, z=2)  # type: ignore[call-arg]  # no such argument
    add("1")  # type: ignore[arg-type]  # not an int


def a_bound_task_is_not_given_itself() -> None:
    pay.delay(5)
    pay.delay("5")  # type: ignore[arg-type]  # not an int
    pay.delay(pay, 5)  # type: ignore[call-arg, arg-type]  # one too many


def results_are_what_the_function_returns() -> None:
    assert_type(add.delay(1), AsyncResult[int])
    assert_type(add.apply_async((1,)).get(), int)
    assert_type(pay.delay(5).get(), str)
    assert_type(add(1), int)
    assert_type(app.send_task("shop.add").get(), Any)


def an_async_task_is_awaited_here_and_returns_its_value_there() -> None:
    assert_type(fetch.delay("x"), AsyncResult[bytes])
    assert_type(fetch.apply_async(("x",)).get(), bytes)
    assert_type(resolve.delay("x"), AsyncResult[int])
    assert_type(resolve.s("x").delay(), AsyncResult[int])
    fetch.delay(1)  # type: ignore[arg-type]  # not a str
    called: Coroutine[Any, Any, bytes] = fetch("x")
    called.close()


async def results_can_be_awaited() -> None:
    assert_type(await add.delay(1), int)
    assert_type(await (await fetch.adelay("x")), bytes)
    assert_type(await add.delay(1).aget(timeout=3), int)


def settings_are_known() -> None:
    assert_type(app.conf.task_default_queue, str)
    app.conf.task_default_queue = "slow"
    app.conf.task_default_queu = "slow"  # type: ignore[attr-defined]  # misspelled
    print(app.conf.task_default_queu)  # type: ignore[attr-defined]  # misspelled


def options_are_known() -> None:
    add.apply_async((1,), {"y": 2}, queue="slow", countdown=3.5, headers={"a": 1}, priority=3)
    add.apply_async((1,), link=add.s(2), link_error=[tick.si(), {"task": "shop.undo"}], time_limit=3)
    add.apply_async((1,), queu="slow")  # type: ignore[call-overload]  # misspelled
    add.apply_async((1,), queue=5)  # type: ignore[call-overload]  # not a name
    app.task(max_retry=3)  # type: ignore[call-overload]  # no such option


def arguments_of_apply_async_are_those_of_the_function() -> None:
    add.apply_async((1, 2))
    add.apply_async(args=(1,))
    add.apply_async((1,), None, "my-id")
    send.apply_async(("a", "b", b"c"))
    send.apply_async(("a", "b", b"c", 2), countdown=1)
    total.apply_async((1, 2, 3))
    total.apply_async(())
    tick.apply_async()
    tick.apply_async(countdown=1)
    fetch.apply_async(("x",), countdown=1)
    pay.apply_async((5,))
    add.apply_async(("x", 2))  # type: ignore[arg-type]  # not an int
    add.apply_async((1, 2, 3))  # type: ignore[arg-type]  # one too many
    add.apply_async()  # type: ignore[call-overload]  # x is missing
    send.apply_async(("a", "b"))  # type: ignore[arg-type]  # body is missing
    send.apply_async(("a", "b", "c"))  # type: ignore[arg-type]  # not bytes
    total.apply_async((1, "2"))  # type: ignore[arg-type]  # not an int
    tick.apply_async((1,))  # type: ignore[arg-type]  # none are taken
    fetch.apply_async((1,))  # type: ignore[arg-type]  # not a str
    pay.apply_async(("5",))  # type: ignore[arg-type]  # not an int
    pay.apply_async((pay, 5))  # type: ignore[arg-type]  # one too many


def lists_and_names_are_not_checked(some: Sequence[Any]) -> None:
    add.apply_async([1, "x", None])
    add.apply_async(list(some))
    add.apply_async(some, {})
    add.apply_async((1,), {"z": 2})
    add.apply_async(kwargs={"x": 1})
    send.apply_async(("a", "b", b"c"), kwargs={"urgent": True})


def any_task_takes_any_arguments(task: Task[..., str]) -> None:
    assert_type(task.delay(1, y=2).get(), str)
    assert_type(task.apply_async((1, "x")).get(), str)
    assert_type(task.s(1, y=2).delay().get(), str)


async def the_async_twins_are_typed_likewise() -> None:
    assert_type(await add.adelay(1, 2), AsyncResult[int])
    assert_type(await add.aapply_async((1, 2), countdown=1), AsyncResult[int])
    assert_type(await fetch.adelay("x"), AsyncResult[bytes])
    assert_type(await add.s(1).adelay(2), AsyncResult[int])
    await add.adelay("1")  # type: ignore[arg-type]  # not an int
    await add.aapply_async(("1",))  # type: ignore[arg-type]  # not an int
    await fetch.aapply_async((1,))  # type: ignore[arg-type]  # not a str


async def calls_that_are_combined_come_to_what_the_last_one_does() -> None:
    assert_type((add.s(1) | fetch.s()).delay().get(), bytes)
    assert_type((add.s(1) | fetch.s() | resolve.s()).delay().get(), int)
    assert_type((await (add.s(1) | fetch.s()).adelay()).get(), bytes)
    assert_type((add.s(1) | group(add.s(1), add.s(2))).delay().get(), list[Any])
    assert_type((group([add.s(1), add.s(2)]) | total.si(1)).delay().get(), int)
    assert_type(~(add.s(1) | fetch.s()), bytes)
    add.s(1) | add  # type: ignore[operator]  # a task, and no signature
    add.s(1) | 3  # type: ignore[operator]


def signatures_may_leave_the_first_arguments_to_come() -> None:
    add.s(1, 2)
    add.s(2)
    add.s()
    add.s(y=2)
    send.s("a", "b", b"c", 2, urgent=True)
    send.s("b", b"c")
    send.s(b"c", copies=2)
    send.s(urgent=True)
    total.s(1, start=2)
    pay.s()
    add.s("x")  # type: ignore[call-overload]  # not an int, at whatever place
    add.s(1, 2, 3)  # type: ignore[call-overload]  # one too many
    add.s(z=1)  # type: ignore[call-overload]  # no such argument
    send.s("b", "c")  # type: ignore[call-overload]  # not bytes
    total.s("1")  # type: ignore[call-overload]  # not an int
    pay.s(pay, 5)  # type: ignore[call-overload]  # one too many


def immutable_signatures_are_complete() -> None:
    add.si(1)
    tick.si()
    add.si()  # type: ignore[call-arg]  # x is missing
    add.si("1")  # type: ignore[arg-type]  # not an int


def signatures_know_their_results(stored: Signature[int]) -> None:
    assert_type(add.s(1).delay(2), AsyncResult[int])
    assert_type(add.signature((1,), countdown=1).apply_async().get(), int)
    assert_type(add.s(1).set(countdown=1).clone((2,)).delay(), AsyncResult[int])
    assert_type(add.s(1)(2), int)
    assert_type(~add.s(1), int)
    assert_type(stored.delay().get(), int)
    assert_type(add.apply((1,)).get(), int)
    accepted: Signature[int] = add.s(1)
    accepted.link(add.s(2)).link(add.s(3))
    refused: Signature[str] = add.s(1)  # type: ignore[assignment]  # the value is an int
    refused.delay()


def settings_are_typed_by_name() -> None:
    assert_type(app.conf.task_acks_late, bool)
    assert_type(app.conf.worker_concurrency, int | None)
    assert_type(app.conf.include, tuple[str, ...])
    app.conf.task_default_queue = "goods"
    app.conf.task_default_queue = 7  # type: ignore[assignment]  # not a text
    print(app.conf.task_acks_lat)  # type: ignore[attr-defined]  # no such setting


def limits_are_options() -> None:
    assert_type(ship.delay(1).get(), str)
    assert_type(ask.delay("why").get(), str)
    pack.apply_async((1,), unique_for=60, unique_key="{order}", on_conflict="skip", concurrency_key="all")
    pack.apply_async((1,), on_conflict="wait")  # type: ignore[call-overload]  # no such word
    app.task(rate_limit_scope="world")  # type: ignore[call-overload]  # no such scope
    app.task(concurrency_limit="2")  # type: ignore[call-overload]  # not a number
