"""Queues of those who listen on the bus are kept as the settings say, where there are such queues."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from celeriac import Celery
from celeriac.app.events.receiver import EventReceiver
from celeriac.app.mailboxes import control_mailbox, event_mailbox
from celeriac.brokers.mailbox import Mailbox
from celeriac.exceptions import ImproperlyConfigured, SettingWithoutEffect

numbers = itertools.count()


def app(**settings: Any) -> Celery:
    return Celery("shop", broker="amqp://nobody@nowhere:1//", set_as_current=False, **settings)


def test_they_are_celerys_where_nothing_is_said():
    assert control_mailbox(app(), "w1@here") == Mailbox(name="w1@here.celery.pidbox", ttl=300.0, expires=10.0)
    assert event_mailbox(app(), "id-1") == Mailbox(
        name="celeryev.id-1", prefix="celeryev", ttl=5.0, expires=60.0, exclusive=True, durable=False
    )


def test_they_are_as_the_settings_say_and_a_receiver_may_say_otherwise():
    shop = app(
        control_exchange="shop",
        control_queue_ttl=7,
        control_queue_expires=None,
        control_queue_exclusive=False,
        control_queue_durable=True,
        event_queue_prefix="watch",
        event_queue_ttl=8,
        event_queue_expires=9,
        event_queue_exclusive=False,
    )

    assert control_mailbox(shop, "w1@here") == Mailbox(
        name="w1@here.shop.pidbox", ttl=7.0, expires=None, exclusive=False, durable=True
    )
    kept = Mailbox(name="watch.id-1", prefix="watch", ttl=8.0, expires=9.0, exclusive=False)
    assert EventReceiver(app=shop, node_id="id-1")._mailbox == kept
    said = EventReceiver(
        app=shop, node_id="m", queue_prefix="own", queue_ttl=1.0, queue_expires=2.0, queue_durable=True
    )
    assert said._mailbox == Mailbox(name="own.m", prefix="own", ttl=1.0, expires=2.0, exclusive=False, durable=True)


def test_none_can_be_durable_and_go_with_its_connection():
    with pytest.raises(ImproperlyConfigured, match="control_queue_exclusive and control_queue_durable cannot both"):
        control_mailbox(app(control_queue_durable=True))
    with pytest.raises(ImproperlyConfigured, match="Set event_queue_exclusive to False"):
        EventReceiver(app=app(), queue_durable=True)


def test_where_there_are_no_such_queues_who_sets_something_is_told():
    shop = Celery(
        "shop",
        broker=f"memory://mailboxes-{next(numbers)}",
        set_as_current=False,
        control_queue_expires=30,
        event_queue_ttl=5.0,  # its default
    )

    with pytest.warns(SettingWithoutEffect, match="control_queue_expires: no effect on memory://"):
        control_mailbox(shop)
    event_mailbox(shop, "id-1")
