"""Programs and workers of both kinds on one RabbitMQ: one queue, one bus, and results in one Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, CELERY_5_3, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)  # the first run installs Celery

KINDS = {"celery": CELERY, "celeriac": CELERIAC}
OWN = {"celery": "stock", "celeriac": "ours"}
"""The queue beside the common one that only workers of a kind take from."""

NODES = {name: f"{name}@shop" for name in KINDS}
CALLERS = pytest.mark.parametrize("caller", KINDS.values(), ids=list(KINDS))


@pytest.fixture(scope="module")
def fleet(open_fleet_on_rabbitmq: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Give a worker of each kind, both on one queue and each on one of its own."""
    fleet = open_fleet_on_rabbitmq()
    for name, kind in KINDS.items():
        fleet.start(kind, "-Q", f"celery,{OWN[name]}", ready=False)
    for worker in fleet.workers:
        worker.wait_for_log("ready.")
    wait_until(lambda: {len(answers(fleet, kind, "ping")) for kind in KINDS.values()} == {2}, what=fleet.logs)
    yield fleet
    fleet.close()


def answers(fleet: Fleet, kind: Kind, command: str, **arguments: Any) -> dict[str, Any]:
    """Return what the workers answer to a client of a kind."""
    call = "app.control.broadcast({command}, {arguments}, destination={nodes}, reply=True, timeout=5, limit=2)"
    said = fleet.client(kind).run(call, command=command, arguments=arguments, nodes=list(NODES.values()))
    return {node: answer for one in said for node, answer in one.items()}


def test_two_kinds_share_a_queue_and_nothing_is_lost_or_run_twice(fleet: Fleet) -> None:
    names = {name: [f"{name}-{index}" for index in range(100)] for name in KINDS}
    for name, kind in KINDS.items():
        fleet.client(kind).run("len([noted.delay(name, 0.01) for name in {names}])", names=names[name])
    expected = {one for some in names.values() for one in some}

    wait_until(lambda: expected <= {words[1] for words in fleet.notes("ran")}, what=fleet.logs)

    ran = [words for words in fleet.notes("ran") if words[1] in expected]
    assert Counter(words[1] for words in ran) == Counter(expected)
    assert {words[2] for words in ran} == set(KINDS)


@CALLERS
def test_a_chain_goes_from_one_kind_to_the_other(fleet: Fleet, caller: Kind) -> None:
    links = "echo.s(1).set(queue='stock'), echo.s(2).set(queue='ours'), echo.s(3).set(queue='stock')"

    value = fleet.client(caller).run(f"chain({links}).apply_async().get(timeout=60)")

    assert value == [[[[[[1], {}], 2], {}], 3], {}]


@CALLERS
@pytest.mark.parametrize("last", list(OWN.values()))
def test_a_chord_is_finished_by_both_together(fleet: Fleet, caller: Kind, last: str) -> None:
    members = "[by.s().set(queue=queue) for queue in ('stock', 'ours', 'stock', 'ours')]"

    value = fleet.client(caller).run(f"chord({members})(body.s().set(queue={last!r})).get(timeout=60)")

    assert value == ["celery", "celeriac"] * 2


@CALLERS
def test_what_is_revoked_begins_on_neither(fleet: Fleet, caller: Kind) -> None:
    ids = [f"revoked-by-{caller.name}-{number}" for number in range(4)]
    told = answers(fleet, caller, "revoke", task_id=ids)
    assert set(told) == set(NODES.values())

    for number, queue in enumerate(("stock", "ours", "celery", "celery")):
        call = "noted.apply_async(({name},), task_id={name}, queue={queue}).id"
        fleet.client(caller).run(call, name=ids[number], queue=queue)

    assert [fleet.record(each)["status"] for each in ids] == ["REVOKED"] * 4
    assert not {words[1] for words in fleet.notes("ran")} & set(ids)


@CALLERS
@pytest.mark.parametrize("name", list(KINDS))
def test_what_runs_is_terminated_on_either(fleet: Fleet, caller: Kind, name: str) -> None:
    task_id = f"terminated-by-{caller.name}-on-{name}"
    fleet.client(caller).run(
        "noted.apply_async(({name}, 60.0), task_id={name}, queue={queue}).id", name=task_id, queue=OWN[name]
    )
    wait_until(lambda: fleet.ran(task_id), what=fleet.logs)

    answers(fleet, caller, "revoke", task_id=task_id, terminate=True, signal="KILL")

    assert fleet.record(task_id)["status"] == "REVOKED"


@CALLERS
def test_either_sees_both_and_their_queues(fleet: Fleet, caller: Kind) -> None:
    found = answers(fleet, caller, "active_queues")

    theirs, ours = found[NODES["celery"]], found[NODES["celeriac"]]
    assert [queue["name"] for queue in theirs] == ["celery", "stock"]
    assert [queue["name"] for queue in ours] == ["celery", "ours"]
    assert ours[0] == theirs[0]


@CALLERS
def test_queues_are_added_and_cancelled_by_either(fleet: Fleet, caller: Kind) -> None:
    queue = f"added-by-{caller.name}"
    assert set(answers(fleet, caller, "add_consumer", queue=queue)) == set(NODES.values())
    fleet.client(caller).run(
        "len([noted.apply_async((f'{queue}-{n}',), queue={queue}) for n in range(20)])".replace(
            "{queue}-", f"{queue}-"
        ),
        queue=queue,
    )
    wait_until(lambda: sum(words[1].startswith(f"{queue}-") for words in fleet.notes("ran")) == 20, what=fleet.logs)

    answers(fleet, caller, "cancel_consumer", queue=queue)

    names = {node: [one["name"] for one in found] for node, found in answers(fleet, caller, "active_queues").items()}
    assert all(queue not in found for found in names.values())


@pytest.mark.parametrize(
    ("dies", "heir"), [(CELERY, CELERIAC), (CELERIAC, CELERY)], ids=["celery dies", "celeriac dies"]
)
def test_what_a_killed_worker_held_goes_to_the_other_kind(
    open_fleet_on_rabbitmq: Callable[..., Fleet], dies: Kind, heir: Kind
) -> None:
    fleet = open_fleet_on_rabbitmq(task_acks_late=True, worker_prefetch_multiplier=2)
    dead = fleet.start(dies, name="dead")
    names = [f"held-{index}" for index in range(4)]
    fleet.client(CELERY).run("len([gated.delay(name) for name in {names}])", names=names)
    asked = fleet.client(CELERIAC).run("request.delay().id")
    wait_until(lambda: len(fleet.notes("ran")) == 2, what=fleet.logs)

    dead.kill()
    fleet.open_gate()
    fleet.start(heir, name="heir")
    wait_until(lambda: {words[1] for words in fleet.notes("ran")[2:]} == set(names), what=fleet.logs)

    assert {words[2] for words in fleet.notes("ran")[2:]} == {heir.package}
    assert Counter(words[1] for words in fleet.notes("ran")[2:]) == Counter(names)
    assert fleet.record(asked)["result"]["by"] == heir.package
    fleet.close()


def test_an_older_celery_takes_part(open_fleet_on_rabbitmq: Callable[..., Fleet]) -> None:
    fleet = open_fleet_on_rabbitmq()
    fleet.start(CELERY_5_3, "-Q", "old", ready=False)
    fleet.start(CELERIAC, "-Q", "ours", ready=False)
    for worker in fleet.workers:
        worker.wait_for_log("ready.")

    for kind in (CELERY_5_3, CELERIAC):
        client = fleet.client(kind)
        for queue in ("old", "ours"):
            plain = client.run("by.apply_async((), queue={queue}).get(timeout=60)", queue=queue)
            assert plain == ("celery" if queue == "old" else "celeriac")
            later = client.run("add.apply_async((1, 2), queue={queue}, countdown=1.5).get(timeout=60)", queue=queue)
            assert later == 3
            failed = "failure(lambda: fail.apply_async(('no',), queue={queue}).get(timeout=60))"
            assert client.run(failed, queue=queue) == ["ValueError", ["no"]]
        mixed = "chord([by.s().set(queue='old'), by.s().set(queue='ours')])(body.s().set(queue={queue}))"
        for queue in ("old", "ours"):
            assert client.run(f"{mixed}.get(timeout=60)", queue=queue) == ["celery", "celeriac"]
    fleet.close()
