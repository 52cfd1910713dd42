from __future__ import annotations

from unittest.mock import ANY

import pytest

from celeriac import Celery
from celeriac.testing import TestApp, assert_not_published, assert_published, published


@pytest.fixture
def app():
    app = TestApp("shop", config={"task_routes": {"shop.pay": "payments"}})

    @app.task(name="shop.pay")
    def pay(amount, currency="EUR", tags=()):
        return amount

    return app


@pytest.fixture
def pay(app):
    return app.tasks["shop.pay"]


def refused(app, *args, **kwargs) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        assert_published(app, *args, **kwargs)
    return str(caught.value).splitlines()


def test_a_call_is_found_by_what_its_function_gets(app, pay):
    pay.delay(12, currency="USD")

    found = assert_published(app, pay, amount=12, currency="USD", tags=())

    assert (found.task, found.args, found.kwargs, found.queue) == ("shop.pay", [12], {"currency": "USD"}, "payments")


def test_options_are_asserted_of_what_was_found(app, pay):
    pay.apply_async((12,), countdown=60, priority=3, headers={"tenant": "a"}, task_id="p1")

    found = assert_published(app, "shop.pay", 12)

    assert (found.id, found.priority, found.headers) == ("p1", 3, {"tenant": "a"})
    assert found.eta_at is not None


def test_tuples_are_as_good_as_the_lists_that_they_become(app, pay):
    pay.delay(12, tags=("a", ("b",)))

    assert_published(app, pay, 12, tags=("a", ("b",)))
    assert_published(app, pay, 12, tags=["a", ["b"]])


def test_placeholders_stand_for_anything(app, pay):
    pay.delay(12, tags=[{"at": 1}])

    assert_published(app, pay, ANY, tags=[{"at": ANY}])


def test_calls_by_name_are_compared_as_they_were_made(app):
    app.send_task("far.away", (1,), {"x": 2})

    assert_published(app, "far.away", 1, x=2)
    assert refused(app, "far.away", 1, x=3)[1:] == ["  but far.away(1, x=2) in queue 'celery'", "    x: 2 instead of 3"]


def test_a_difference_is_told_argument_by_argument(app, pay):
    pay.delay(13, "USD")

    assert refused(app, pay, 12, currency="EUR") == [
        "shop.pay(12, currency='EUR') was not published",
        "  but shop.pay(13, 'USD') in queue 'payments'",
        "    amount: 13 instead of 12",
        "    currency: 'USD' instead of 'EUR'",
    ]


def test_where_no_call_of_the_task_was_published_there_is_what_was(app, pay):
    assert refused(app, pay, 12) == ["shop.pay(12) was not published", "  nor anything else"]

    app.send_task("far.away")
    assert refused(app, pay, 12) == [
        "shop.pay(12) was not published",
        "  nor any call of shop.pay; there are:",
        "  far.away() in queue 'celery'",
    ]


def test_of_very_many_calls_the_last_are_shown(app):
    for number in range(25):
        app.send_task("far.away", (number,))

    shown = refused(app, "shop.pay")

    assert "  ... 15 before these" in shown
    assert "  far.away(24) in queue 'celery'" in shown
    assert len(shown) == 13


def test_nothing_can_be_asserted_too(app, pay):
    app.send_task("far.away")

    assert_not_published(app, pay)
    with pytest.raises(AssertionError, match=r"nothing was to be published; there are:\n  far.away\(\)"):
        assert_not_published(app)


def test_everything_is_listed_in_order(app, pay):
    pay.delay(1)
    app.send_task("far.away")
    pay.delay(2)

    assert [one.task for one in published(app)] == ["shop.pay", "far.away", "shop.pay"]
    assert [one.args for one in published(app, pay)] == [[1], [2]]


def test_what_was_purged_was_published_nevertheless(app, pay):
    pay.delay(1)
    app.broker.purge("payments")

    assert_published(app, pay, 1)


def test_calls_that_another_run_keeps_from_being_published_are_not_there(app):
    once = app.task(name="shop.once", unique_for=60)(lambda: None)

    once.delay()
    once.delay()

    assert len(published(app, once)) == 1


def test_an_app_of_which_nobody_notes_it_is_refused_with_the_way_to_do_it():
    with pytest.raises(RuntimeError, match=r"nobody notes what is published to sqlite:.*in_memory\(app\)"):
        published(Celery("shop", set_as_current=False))
