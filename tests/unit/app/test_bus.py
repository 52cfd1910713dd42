from __future__ import annotations

import time

import pytest

from celeriac import Celery
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.memory.bus import MemoryBus
from celeriac.brokers.sqlite.bus import SqliteBus
from celeriac.brokers.topics import Topic
from celeriac.exceptions import ImproperlyConfigured
from celeriac.testing.buses import CONTROL, Operator, a_command, soon


def test_it_is_that_of_the_brokers_place(tmp_path):
    with Celery("shop", broker="memory://shop") as memory, Celery("shop", broker=f"sqlite:///{tmp_path}/db") as sqlite:
        assert isinstance(memory.bus, MemoryBus)
        assert isinstance(sqlite.bus, SqliteBus)
        assert [memory.bus.url, sqlite.bus.url] == [memory.broker.url, sqlite.broker.url]


def test_it_is_kept_until_the_settings_name_another_place(tmp_path):
    app = Celery("shop", broker="memory://shop")
    first = app.bus
    assert app.bus is first

    app.conf.broker_url = f"sqlite:///{tmp_path}/db"

    assert isinstance(app.bus, SqliteBus)
    app.close()


def test_two_apps_of_one_broker_hear_each_other(tmp_path):
    url = f"sqlite:///{tmp_path}/db"
    with Celery("a", broker=url) as one, Celery("b", broker=url) as other:
        operator = Operator(one.bus)
        ear = operator.subscribe(Topic(CONTROL))

        other.bus.broadcast([a_command()], deadline_at=soon())

        assert ear.hear() == [a_command()]
        operator.stop()


def test_a_closed_app_uses_it_again(tmp_path):
    app = Celery("a", broker=f"sqlite:///{tmp_path}/db")
    app.bus.broadcast([a_command()], deadline_at=soon())
    app.close()

    app.bus.broadcast([a_command()], deadline_at=soon())

    app.close()


class Silent(MemoryBroker):
    def bus(self):
        return super(MemoryBroker, self).bus()


def test_a_broker_without_one_says_so():
    with pytest.raises(ImproperlyConfigured, match="has no bus"):
        Silent("silent").bus().broadcast([], deadline_at=time.monotonic())
