from __future__ import annotations

import pytest

from celeriac.app.hiding import HIDDEN, shown_arguments
from tests.unit.app.messages import arguments_of, headers_of


def task_of(app, function, sensitive, *, bind=False):
    task = app.task(name=f"shop.{function.__name__}", bind=bind)(function)
    task.sensitive = sensitive
    return task


def pay(card, amount=1, *rest, note="", **more): ...


@pytest.mark.parametrize(
    ("sensitive", "args", "kwargs"),
    [
        (("card",), (HIDDEN, 2, 3, 4), {"note": "n", "pin": "p"}),
        (["card", "note"], (HIDDEN, 2, 3, 4), {"note": HIDDEN, "pin": "p"}),
        (("rest",), (1, 2, HIDDEN, HIDDEN), {"note": "n", "pin": "p"}),
        (("pin",), (1, 2, 3, 4), {"note": "n", "pin": HIDDEN}),
        (("more",), (1, 2, 3, 4), {"note": "n", "pin": HIDDEN}),
        (True, (HIDDEN,) * 4, {"note": HIDDEN, "pin": HIDDEN}),
        (False, (1, 2, 3, 4), {"note": "n", "pin": "p"}),
        ((), (1, 2, 3, 4), {"note": "n", "pin": "p"}),
    ],
)
def test_what_is_sensitive_is_hidden_wherever_it_is_given(app, sensitive, args, kwargs):
    task = task_of(app, pay, sensitive)

    assert shown_arguments(task, (1, 2, 3, 4), {"note": "n", "pin": "p"}) == (args, kwargs)


def test_given_by_name_it_is_hidden_as_well(app):
    assert shown_arguments(task_of(app, pay, ("card",)), (), {"card": "4111"}) == ((), {"card": HIDDEN})


def test_a_bound_task_is_not_counted(app):
    def bound(self, card, amount): ...

    assert shown_arguments(task_of(app, bound, ("card",), bind=True), ("4111", 5), {}) == ((HIDDEN, 5), {})


def test_a_name_that_is_no_argument_is_a_mistake_in_the_definition(app):
    with pytest.raises(
        ValueError, match=r"sensitive of task 'shop\.plain' names 'cart', which is none of its arguments: card"
    ):

        @app.task(name="shop.plain", sensitive=("cart",))
        def plain(card, amount): ...

    assert "shop.plain" not in app.tasks


def test_of_an_unknown_task_all_is_shown():
    assert shown_arguments(None, (1,), {"a": 2}) == ((1,), {"a": 2})


def test_messages_show_what_is_left_and_carry_all(app):
    task = task_of(app, pay, ("card",))

    message = app.builder.build(task, ("4111", 5), {"note": "n"})

    headers = headers_of(message)
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("('<hidden>', 5)", "{'note': 'n'}")
    assert arguments_of(message) == (["4111", 5], {"note": "n"})


def test_a_repr_that_is_given_is_taken(app):
    task = task_of(app, pay, True)

    headers = headers_of(app.builder.build(task, ("4111",), {"note": "n"}, {"argsrepr": "(card ending in 11)"}))

    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("(card ending in 11)", "{'note': '<hidden>'}")


def test_too_many_retries_are_told_without_them(app):
    task = task_of(app, pay, ("card",))
    task.push_request(id="run-1", args=("4111", 5), retries=3)

    try:
        with pytest.raises(task.MaxRetriesExceededError) as caught:
            task.retry()
    finally:
        task.pop_request()

    assert str(caught.value) == "Can't retry shop.pay[run-1] args:('<hidden>', 5) kwargs:{}"
    assert caught.value.task_args == ("4111", 5)
