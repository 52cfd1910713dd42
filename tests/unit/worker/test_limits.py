from __future__ import annotations

import pytest

from celeriac import Celery
from celeriac.app.timing import interval_of
from celeriac.brokers.base import Booking, Delivery, Room
from celeriac.message import Message
from celeriac.wire.protocol import Intake
from celeriac.worker.held import Held
from celeriac.worker.limits import Limits, waiting_for


@pytest.fixture
def app():
    app = Celery("limits", broker="memory://limits", set_as_current=False)

    @app.task(name="free")
    def free(): ...

    @app.task(name="limited", rate_limit="10/m", rate_limit_scope="global")
    def limited(): ...

    @app.task(name="crowded", concurrency_limit=3)
    def crowded(): ...

    yield app
    app.close()


def held(task: str) -> Held:
    message = Message(task_id="id", queue="q", headers=b"{}", body=b"")
    delivery = Delivery(tag=1, owner=1, message=message, booking=Booking(5.0, False))
    return Held(1, delivery, Intake(task, "id", None, None, 0, None, 2), 0.0, 0.0)


@pytest.mark.parametrize(
    ("rate", "interval"),
    [("10/s", 0.1), ("10/m", 6.0), ("2/h", 1800.0), ("4", 0.25), (2, 0.5), (0.5, 2.0), (0, None), ("0/m", None)],
)
def test_a_rate_is_an_interval(rate, interval):
    assert interval_of(rate) == interval


def test_no_rate_is_no_interval():
    assert interval_of(None) is None


def test_only_tasks_with_a_limit_of_the_store_are_asked_about(app):
    free, limited = held("free"), held("limited")

    [(asked, request)] = Limits(app.tasks).requests_of([free, limited])

    assert asked is limited
    assert (request.key, request.interval, request.booking) == ("limited", 6.0, Booking(5.0, False))


def test_limits_may_be_switched_off(app):
    assert Limits(app.tasks, rates_obeyed=False).requests_of([held("limited")]) == []


def test_a_start_that_has_come_is_kept_with_the_run():
    run = held("limited")

    assert waiting_for(run, Booking(90.0, True), now=90.0) is None
    assert run.delivery.booking == Booking(90.0, True)


def test_a_start_to_come_is_waited_for_in_the_store():
    run = held("limited")

    release = waiting_for(run, Booking(100.0, False), now=90.0)

    assert release is not None
    assert (release.eta_at, release.delivery.booking) == (100.0, Booking(100.0, False))


@pytest.mark.parametrize(
    ("task", "key", "room"),
    [("crowded", None, Room("crowded", 3)), ("crowded", "k", Room("k", 3)), ("free", "k", None)],
)
def test_a_task_with_a_concurrency_limit_has_a_room_per_key(app, task, key, room):
    assert Limits(app.tasks).room_of(Intake(task, "id", None, None, 0, None, 2, None, key)) == room


def test_tasks_without_limits_need_not_ask_the_store(app):
    limits = Limits(app.tasks)

    assert [limits.none_for(name) for name in ("free", "limited", "crowded")] == [True, False, False]
