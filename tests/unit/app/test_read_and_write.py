"""`broker_read_url` and `broker_write_url`: where messages are read, and where they are sent."""

from __future__ import annotations

import pytest

from celeriac import Celery


@pytest.fixture
def app():
    with Celery("shop", set_as_current=False) as made:
        yield made


def ready(broker) -> int:
    return sum(depth.ready for depth in broker.depths(["celery"]))


def test_messages_are_sent_to_one_place_and_looked_for_in_the_other(app):
    app.conf.update(broker_read_url="memory://reading", broker_write_url="memory://writing")

    app.send_task("shop.pay")

    assert (ready(app.write_broker), ready(app.broker)) == (1, 0)


@pytest.mark.parametrize("said", [{}, {"broker_write_url": "memory://one"}, {"broker_read_url": "memory://one"}])
def test_where_both_are_one_place_there_is_one_broker(app, said):
    app.conf.update(broker_url="memory://one", **said)

    assert app.write_broker is app.broker


def test_what_is_not_said_is_as_the_broker_url(app):
    app.conf.update(broker_url="memory://one", broker_write_url="memory://other")

    assert app.broker.url == "memory://one"
    assert app.write_broker.url == "memory://other"
