from __future__ import annotations

import msgspec
import pytest

from celeriac import Celery
from celeriac.brokers.topology import Exchange, Queue
from celeriac.cli.listing import bindings_of


@pytest.fixture
def app():
    logs = Exchange("logs", "topic")
    queues = [Queue("errors", logs, "*.error"), Queue("all", [logs.binding("#"), logs.binding("old.#")])]
    return Celery("shop", broker="memory://bindings", task_queues=queues, set_as_current=False)


def told(app, *exchanges):
    return [(one.queue, one.exchange, one.kind, one.routing_key) for one in bindings_of(app, exchanges)]


def test_all_that_leads_to_the_queues_of_an_app_is_listed_once(app):
    assert told(app) == [
        ("all", "celery", "direct", "celery"),
        ("all", "logs", "topic", "#"),
        ("all", "logs", "topic", "old.#"),
        ("errors", "logs", "topic", "*.error"),
    ]


def test_what_others_have_bound_to_an_exchange_is_listed_too(app):
    app.broker.declare([Queue("other", Exchange("elsewhere", "fanout"))])

    assert told(app, "elsewhere") == [("other", "elsewhere", "fanout", "")]
    assert told(app, "nowhere") == []


def test_bindings_are_shown_as_a_table_and_as_json(command, shop):
    assert command("list", "bindings").out == "queue\texchange\tkind\trouting key\ncelery\tcelery\tdirect\tcelery\n"
    [row] = msgspec.json.decode(command("list", "bindings", "--json").out)
    assert row["exchange"] == "celery"


def test_an_exchange_that_leads_nowhere_is_said_to(command, shop):
    run = command("list", "bindings", "nowhere", "--json")

    assert run.document == []
    assert "Nothing leads" in run.err
