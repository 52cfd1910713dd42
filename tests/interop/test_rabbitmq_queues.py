"""Queues of every sort on RabbitMQ, declared by both kinds: exchanges, priorities, delays, broadcasts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)  # the first run installs Celery

KINDS = {"celery": CELERY, "celeriac": CELERIAC}
CALLERS = pytest.mark.parametrize("caller", KINDS.values(), ids=list(KINDS))
LISTED = ("celery", "quorum", "urgent", "urgent too", "short", "errors", "archive", "several", "pdf", "fan", "passing")
"""What `shop.queues` lists, but for the broadcast; `pdf` where none is a quorum queue."""

FIRST: dict[str, Any] = {
    "celery declares classic queues": ("classic", CELERY, CELERIAC),
    "celeriac declares quorum queues": ("quorum", CELERIAC, CELERY),
}


@pytest.fixture(scope="module")
def fleets(open_fleet_on_rabbitmq: Callable[..., Fleet]) -> Iterator[Callable[[str], Fleet]]:
    """Give a worker of each kind on all queues; the second one finds what the first has declared."""
    made: dict[str, Fleet] = {}

    def of(name: str) -> Fleet:
        if name not in made:
            queues, *kinds = FIRST[name]
            made[name] = open_fleet_on_rabbitmq(shop_queues=queues, worker_direct=True)
            for kind in kinds:
                made[name].start(kind)
        return made[name]

    yield of
    for fleet in made.values():
        fleet.close()


@pytest.fixture(params=list(FIRST))
def fleet(request: pytest.FixtureRequest, fleets: Callable[[str], Fleet]) -> Fleet:
    return fleets(request.param)


def ran(fleet: Fleet, *names: str) -> Counter[str]:
    """Count the runs of these names."""
    return Counter(words[1] for words in fleet.notes("ran") if words[1] in names)


def call(fleet: Fleet, caller: Kind, name: str, **options: Any) -> None:
    fleet.client(caller).run("noted.apply_async(({name},), **{options}).id", name=name, options=options)


def test_every_queue_is_used_by_both(fleet: Fleet) -> None:
    wanted: Counter[str] = Counter()
    has_headers = fleet.settings["shop_queues"] == "classic"
    for kind in KINDS.values():
        for queue in (queue for queue in LISTED if queue != "pdf" or has_headers):
            options: dict[str, Any] = {"routing_key": "shop.sale"} if queue == "archive" else {}
            if queue == "pdf":
                options = {"headers": {"kind": "pdf"}}
            if queue == "several":
                options = {"exchange": "money", "routing_key": "paid"}
            name = f"{queue} of {kind.name}".replace(" ", "-")
            call(fleet, kind, name, **({} if queue == "several" else {"queue": queue}), **options)
            wanted[name] += 1

    wait_until(lambda: ran(fleet, *wanted) >= wanted, what=lambda: f"{wanted - ran(fleet, *wanted)}\n{fleet.logs()}")

    assert ran(fleet, *wanted) == wanted
    assert "PRECONDITION" not in fleet.logs()


@CALLERS
def test_topics_and_keys_lead_to_the_same_queues(fleet: Fleet, caller: Kind) -> None:
    name = f"topic-of-{caller.name}"
    both, one, neither, key = f"{name}-both", f"{name}-one", f"{name}-neither", f"{name}-key"

    call(fleet, caller, both, exchange="logs", exchange_type="topic", routing_key="shop.error")
    call(fleet, caller, one, exchange="logs", exchange_type="topic", routing_key="a.b.c")
    if caller is CELERIAC:
        call(fleet, caller, neither, exchange="logs", routing_key="x", mandatory=False)
    call(fleet, caller, key, exchange="money", routing_key="paid")

    wanted = Counter({both: 2, one: 1, key: 1})
    wait_until(lambda: ran(fleet, both, one, key) == wanted, what=fleet.logs)
    assert ran(fleet, neither) == Counter()


@CALLERS
def test_headers_lead_where_they_fit(fleets: Callable[[str], Fleet], caller: Kind) -> None:
    """With quorum queues Celery binds this exchange to the end of its ladder as well, and then everything fits."""
    fleet = fleets("celery declares classic queues")
    pdf, png = f"headers-pdf-of-{caller.name}", f"headers-png-of-{caller.name}"

    for name, kind in ((png, "png"), (pdf, "pdf")):
        call(
            fleet, caller, name, exchange="files", exchange_type="headers", routing_key="-", headers={"kind": kind},
            mandatory=False,
        )  # fmt: skip

    wait_until(lambda: ran(fleet, pdf), what=fleet.logs)
    assert ran(fleet, pdf, png) == {pdf: 1}


@CALLERS
def test_everybody_hears_a_broadcast(fleet: Fleet, caller: Kind) -> None:
    name = f"broadcast-of-{caller.name}"

    call(fleet, caller, name, queue="everybody")

    wait_until(lambda: len(fleet.ran(name)) == 2, what=fleet.logs)
    assert sorted(fleet.ran(name)) == sorted(KINDS)


@CALLERS
@pytest.mark.parametrize("name", list(KINDS))
def test_each_worker_has_a_queue_of_its_own(fleet: Fleet, caller: Kind, name: str) -> None:
    said = f"direct-from-{caller.name}-to-{name}"

    fleet.client(caller).run(
        "noted.apply_async(({said},), queue=worker_direct({node})).id", said=said, node=f"{name}@shop"
    )

    wait_until(lambda: fleet.ran(said), what=fleet.logs)
    assert fleet.ran(said) == [name]


@CALLERS
@pytest.mark.parametrize("queue", ["celery", "quorum"])
def test_queues_of_direct_exchanges_are_delayed(fleet: Fleet, caller: Kind, queue: str) -> None:
    names = [f"later-{queue}-of-{caller.name}-{number}" for number in range(6)]
    called_at = time.time()
    for name in names:
        call(fleet, caller, name, queue=queue, countdown=2.5)

    wait_until(lambda: ran(fleet, *names) >= Counter(names), what=fleet.logs)

    assert ran(fleet, *names) == Counter(names)
    begun = [float(words[3]) for words in fleet.notes("ran") if words[1] in names]
    assert min(begun) >= called_at + 2.5


@CALLERS
def test_queues_of_topic_exchanges_are_delayed_on_the_ladder_that_both_share(fleet: Fleet, caller: Kind) -> None:
    """Celery delays by the key that binds the queue, where no exchange is said beside it."""
    name, other, fan = (f"later-{what}-of-{caller.name}" for what in ("topic", "other", "fan"))
    called_at = time.time()

    call(fleet, caller, name, queue="errors", countdown=2.5)
    call(fleet, caller, fan, queue="fan", countdown=2.5)
    if caller is CELERIAC:
        call(fleet, caller, other, exchange="logs", exchange_type="topic", routing_key="shop.sale", countdown=2.5)
    wanted = Counter({name: 1, fan: 1} | ({other: 1} if caller is CELERIAC else {}))
    wait_until(lambda: ran(fleet, name, other, fan) >= wanted, what=fleet.logs)

    assert ran(fleet, name, other, fan) == wanted
    begun = [float(words[3]) for words in fleet.notes("ran") if words[1] in wanted]
    assert min(begun) >= called_at + 2.5


@CALLERS
@pytest.mark.parametrize("queue", ["celery", "quorum"])
def test_what_was_delayed_is_tried_again(fleet: Fleet, caller: Kind, queue: str) -> None:
    for name in ("celery", "celeriac"):
        task_id = f"retried-{queue}-of-{caller.name}-{name}"
        fleet.client(caller).run(
            "retrying.apply_async((2, 1.2), task_id={task_id}, queue={queue}, countdown=1.2).id",
            task_id=task_id,
            queue=queue,
        )
    for name in ("celery", "celeriac"):
        task_id = f"retried-{queue}-of-{caller.name}-{name}"
        record = fleet.record(task_id)
        assert (record["status"], record["result"][0]) == ("SUCCESS", 2), record
        assert len(fleet.ran(task_id)) == 3


QUEUES: dict[str, dict[str, Any]] = {
    "quorum": {"task_default_queue_type": "quorum", "task_create_missing_queue_type": "quorum"},
    "priorities": {"task_queue_max_priority": 9},
    "topic": {"task_default_exchange_type": "topic", "task_create_missing_queue_exchange_type": "topic"},
    "named": {"task_default_exchange": "shop", "task_default_routing_key": "any"},
}


@pytest.mark.parametrize("settings", list(QUEUES))
def test_queues_that_settings_describe_are_declared_alike(
    open_fleet_on_rabbitmq: Callable[..., Fleet], settings: str
) -> None:
    fleet = open_fleet_on_rabbitmq(**QUEUES[settings])
    for kinds in ((CELERY, CELERIAC), (CELERIAC, CELERY)):
        for queue in ("celery", f"made-by-{kinds[0].name}"):
            for kind in kinds:
                fleet.client(kind).run("add.apply_async((1, 2), queue={queue}).id", queue=queue)

    for kind in KINDS.values():
        counted = "[app.connection_for_read().default_channel.queue_declare({queue}, passive=True).message_count]"
        if kind is CELERY:
            found = [fleet.client(kind).run(counted, queue=queue)[0] for queue in ("celery", "made-by-celery")]
            assert found == [4, 2]
    fleet.close()


@pytest.mark.parametrize("name", list(KINDS))
def test_higher_priorities_come_first(open_fleet_on_rabbitmq: Callable[..., Fleet], name: str) -> None:
    fleet = open_fleet_on_rabbitmq(task_queue_max_priority=9, worker_prefetch_multiplier=1)
    priorities = [0, 5, 9, 1, 7, 3]
    for kind in KINDS.values():
        for priority in priorities:
            call(fleet, kind, f"{priority}-{kind.name}", priority=priority)

    fleet.start(KINDS[name], concurrency=1)
    wait_until(lambda: len(fleet.notes("ran")) == 12, what=fleet.logs)

    expected = [f"{priority}-{kind}" for priority in sorted(priorities, reverse=True) for kind in KINDS]
    assert [words[1] for words in fleet.notes("ran")] == expected
    fleet.close()


@pytest.fixture(scope="module")
def delayed(open_fleet_on_rabbitmq: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Give a worker of each kind on one quorum queue behind a topic exchange, which Celery delays by itself."""
    fleet = open_fleet_on_rabbitmq(task_default_queue_type="quorum", task_default_exchange_type="topic")
    for kind in KINDS.values():
        fleet.start(kind, ready=False)
    for worker in fleet.workers:
        worker.wait_for_log("ready.")
    yield fleet
    fleet.close()


def test_native_delays_of_both_are_neither_doubled_nor_lost_nor_early(delayed: Fleet) -> None:
    calls = {
        f"{kind.name}-{seconds}-{number}": (kind, seconds)
        for kind in KINDS.values()
        for seconds in (1.0, 2.3, 3.0)
        for number in range(4)
    }
    called_at = {}
    for name, (kind, seconds) in calls.items():
        called_at[name] = time.time()
        call(delayed, kind, name, countdown=seconds)

    wait_until(lambda: ran(delayed, *calls) >= Counter(calls.keys()), what=delayed.logs)

    assert ran(delayed, *calls) == Counter(calls.keys())
    for _, name, _, begun_at in delayed.notes("ran"):
        if name in calls:
            assert float(begun_at) - called_at[name] >= calls[name][1] - 0.001, name


@CALLERS
def test_natively_delayed_calls_are_tried_again(delayed: Fleet, caller: Kind) -> None:
    for number in range(4):
        task_id = f"again-{caller.name}-{number}"
        delayed.client(caller).run(
            "retrying.apply_async((1, 1.2), task_id={task_id}, countdown=1.2).id", task_id=task_id
        )

    for number in range(4):
        task_id = f"again-{caller.name}-{number}"
        record = delayed.record(task_id)
        assert (record["status"], record["result"][0]) == ("SUCCESS", 1), record
        assert len(delayed.ran(task_id)) == 2
