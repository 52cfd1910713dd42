from __future__ import annotations

import pytest

from celeriac.exceptions import DuplicateTaskNameWarning, NotRegistered


def test_tasks_are_found_by_name(app):
    @app.task(name="shop.pay")
    def pay(): ...

    assert app.tasks["shop.pay"] is pay
    assert [name for name in app.tasks if not name.startswith("celery.")] == ["shop.pay"]
    assert "shop.pay" in app.tasks


def test_a_name_that_is_not_there_is_named(app):
    with pytest.raises(NotRegistered, match=r"'shop\.refund' is not registered"):
        app.tasks["shop.refund"]
    assert app.tasks.get("shop.refund") is None


def test_of_two_functions_with_one_name_the_first_keeps_it_and_a_warning_names_both(app):
    @app.task(name="shop.pay")
    def first(): ...

    with pytest.warns(DuplicateTaskNameWarning) as caught:

        @app.task(name="shop.pay")
        def second(): ...

    assert app.tasks["shop.pay"] is second is first
    assert "first keeps it" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_a_function_that_is_defined_again_replaces_its_earlier_self(app):
    def define(answer):
        @app.task(name="shop.pay")
        def pay():
            return answer

        return pay

    define(1)
    latest = define(2)

    assert app.tasks["shop.pay"] is latest
    assert latest() == 2


def test_tasks_can_be_registered_while_others_look(app):
    for number in range(3):
        app.task(name=f"t{number}")(lambda: None)

    seen = []
    for name in app.tasks:
        app.task(name=f"late-{name}")(lambda: None)
        seen.append(name)

    assert [name for name in seen if not name.startswith("celery.")] == ["t0", "t1", "t2"]
