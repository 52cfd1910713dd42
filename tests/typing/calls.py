"""What a type checker knows of tasks and calls.

`make lint` checks this file; it is never run. Each line with an `ignore` has to be an error: one that is none fails
the check as an unused ignore.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from celeriac import AsyncResult, Celery, Task

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
    called: Coroutine[Any, Any, bytes] = fetch("x")
    called.close()


def settings_are_known() -> None:
    assert_type(app.conf.task_default_queue, str)
    app.conf.task_default_queue = "slow"
    app.conf.task_default_queu = "slow"  # type: ignore[attr-defined]  # misspelled
    print(app.conf.task_default_queu)  # type: ignore[attr-defined]  # misspelled


def options_are_known() -> None:
    add.apply_async((1,), {"y": 2}, queue="slow", countdown=3.5, headers={"a": 1}, priority=3)
    add.apply_async((1,), queu="slow")  # type: ignore[call-arg]  # no such option
    app.task(max_retry=3)  # type: ignore[call-overload]  # no such option
