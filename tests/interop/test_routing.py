"""Exchanges between the kinds: the same tables of bindings, the same queues, the same channels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

BASELINE = pytest.mark.full  # Celery with itself: it shows that a test is right, which changes with the test alone

KINDS = pytest.mark.parametrize(
    ("producer", "consumer"),
    [pytest.param(CELERY, CELERY, marks=BASELINE), (CELERY, CELERIAC), (CELERIAC, CELERY)],
    ids=["celery to celery", "celery to celeriac", "celeriac to celery"],
)

QUEUES = {
    "celery": {"exchange": "celery"},
    "errors": {"exchange": "logs", "exchange_type": "topic", "routing_key": "#.error"},
    "shop": {"exchange": "logs", "exchange_type": "topic", "routing_key": "shop.*"},
    "paid": {"exchange": "money", "routing_key": "paid_key"},
}
SEPARATOR = "\x06\x16"
TABLES = {
    "_kombu.binding.logs": [
        f"#.error{SEPARATOR}^.*?\\.error${SEPARATOR}errors",
        f"shop.*{SEPARATOR}^shop\\.[^\\.]+${SEPARATOR}shop",
    ],
    "_kombu.binding.money": [f"paid_key{SEPARATOR}{SEPARATOR}paid"],
}


@KINDS
def test_topics_and_keys_lead_to_the_same_queues(
    open_fleet: Callable[..., Fleet], producer: Kind, consumer: Kind
) -> None:
    fleet = open_fleet(task_queues=QUEUES)
    said = [
        "noted.apply_async(('both',), queue='errors', exchange='logs', routing_key='shop.error')",
        "noted.apply_async(('topic',), queue='shop', routing_key='shop.sale')",
        "noted.apply_async(('key',), queue='paid', exchange='money', routing_key='paid_key')",
        "noted.apply_async(('name',), queue='paid')",
    ]

    fleet.start(consumer, concurrency=1)
    fleet.client(producer).run(f"[call.id for call in [{', '.join(said)}]]")
    wait_until(lambda: len(fleet.notes("ran")) == 5, what=fleet.logs)

    assert sorted(words[1] for words in fleet.notes("ran")) == ["both", "both", "key", "name", "topic"]
    for table, members in TABLES.items():
        assert sorted(fleet.broker.smembers(table)) == members
        assert sorted(fleet.broker.smembers(table.replace("binding", "binding_permanent"))) == members
