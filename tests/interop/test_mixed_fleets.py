"""Workers of both kinds on one queue: who takes what, who stops, who dies."""

from __future__ import annotations

import time
from collections import Counter
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
HEIRS = pytest.mark.parametrize("heir", [pytest.param(CELERY, marks=BASELINE), CELERIAC], ids=["celery", "celeriac"])
SEPARATOR = "\x06\x16"


def everything_ran(fleet: Fleet, names: list[str]) -> Callable[[], bool]:
    return lambda: Counter(words[1] for words in fleet.notes("ran")) >= Counter(names)


def keys_of_messages(fleet: Fleet) -> list[str]:
    """Return the keys in which messages are, in lists or in anybody's hands."""
    return sorted(
        key
        for key in fleet.broker.scan_iter()
        if fleet.broker.type(key) == "list" or key.startswith(("unacked", "celeriac:held:", "celeriac:delayed"))
    )


@KINDS
def test_priorities_are_lists_and_the_lowest_number_runs_first(fleet: Fleet, producer: Kind, consumer: Kind) -> None:
    priorities = [9, 6, 4, 0, 255, 8, 3, 2, 1, 5, 7, 0]
    calls = [f"noted.apply_async(('{index}-{one}',), priority={one})" for index, one in enumerate(priorities)]
    fleet.client(producer).run(f"[call.id for call in [{', '.join(calls)}]]")

    waiting = {key: fleet.broker.llen(key) for key in fleet.broker.scan_iter() if fleet.broker.type(key) == "list"}
    fleet.start(consumer, concurrency=1)
    wait_until(lambda: len(fleet.notes("ran")) == len(priorities), what=fleet.logs)

    assert waiting == {"celery": 4, f"celery{SEPARATOR}3": 3, f"celery{SEPARATOR}6": 3, f"celery{SEPARATOR}9": 2}
    steps = {"0": [0, 1, 2], "3": [3, 4, 5], "6": [6, 7, 8], "9": [9, 255]}
    expected = [f"{index}-{one}" for step in steps.values() for index, one in enumerate(priorities) if one in step]
    assert [words[1] for words in fleet.notes("ran")] == expected


@pytest.mark.parametrize(
    "kinds", [pytest.param([CELERY, CELERY], marks=BASELINE), [CELERY, CELERIAC]], ids=["celery alone", "both kinds"]
)
def test_two_kinds_share_a_queue_and_nothing_is_left_or_run_twice(fleet: Fleet, kinds: list[Kind]) -> None:
    for number, kind in enumerate(kinds):
        fleet.start(kind, name=f"{kind.name}{number}")
    names = []
    for number, kind in enumerate(kinds):
        mine = [f"{number}-{index}" for index in range(150)]
        fleet.client(kind).run("len([noted.delay(name, 0.005) for name in {names}])", names=mine)
        names += mine

    wait_until(everything_ran(fleet, names), what=fleet.logs)
    wait_until(lambda: keys_of_messages(fleet) == [], what=lambda: f"empty lists: {keys_of_messages(fleet)}")

    assert Counter(words[1] for words in fleet.notes("ran")) == Counter(names)
    assert {words[2] for words in fleet.notes("ran")} == {kind.package for kind in kinds}


@pytest.mark.parametrize(
    ("stays", "goes"),
    [pytest.param(CELERY, CELERY, marks=BASELINE), (CELERY, CELERIAC), (CELERIAC, CELERY)],
    ids=["celery leaves celery", "celeriac leaves celery", "celery leaves celeriac"],
)
def test_a_worker_that_is_stopped_leaves_its_work_to_the_other_kind(fleet: Fleet, stays: Kind, goes: Kind) -> None:
    names = [f"task-{index}" for index in range(60)]
    leaver = fleet.start(goes, name="leaver")
    fleet.start(stays, name="stayer")
    fleet.client(CELERY).run("len([noted.delay(name, 0.05) for name in {names}])", names=names)
    wait_until(lambda: len(fleet.notes("ran")) >= 10, what=fleet.logs)

    code = leaver.stop()
    wait_until(everything_ran(fleet, names), what=fleet.logs)

    assert code == 0
    runs = Counter(words[1] for words in fleet.notes("ran"))
    assert set(runs) == set(names)
    if goes is CELERIAC:  # one of Celery may give back what a process of its pool has just begun
        assert runs == Counter(names)


@HEIRS
def test_what_a_killed_stock_worker_held_is_restored(open_fleet: Callable[..., Fleet], heir: Kind) -> None:
    fleet = open_fleet(broker_transport_options={"visibility_timeout": 2}, worker_prefetch_multiplier=2)
    dead = fleet.start(CELERY, "--without-mingle", name="dead")
    names = [f"held-{index}" for index in range(4)]
    fleet.client(CELERY).run("late.apply_async(('future',), countdown=3).id")
    fleet.client(CELERY).run("len([gated.delay(name) for name in {names}])", names=names)
    wait_until(lambda: fleet.broker.hlen("unacked") == 5, what=fleet.logs)
    wait_until(lambda: len(fleet.notes("ran")) == 2, what=fleet.logs)

    dead.kill()
    fleet.open_gate()
    time.sleep(2.1)  # kombu counts from the receipt
    fleet.start(heir, name="heir")
    wait_until(everything_ran(fleet, [*names, "future"]), what=fleet.logs)
    wait_until(lambda: keys_of_messages(fleet) == [], what=lambda: f"empty lists: {keys_of_messages(fleet)}")

    runs = Counter(words[1] for words in fleet.notes("ran"))
    assert runs == Counter([*names, "future"]) + Counter(runs - Counter([*names, "future"]))
    assert sum(runs.values()) == 7  # the two that had begun begin again
    assert {words[2] for words in fleet.notes("ran")[2:]} == {heir.package}


@HEIRS
def test_a_restored_message_says_that_it_was_delivered_before(open_fleet: Callable[..., Fleet], heir: Kind) -> None:
    fleet = open_fleet(broker_transport_options={"visibility_timeout": 1}, task_acks_late=True)
    dead = fleet.start(CELERY, "--without-mingle", name="dead", concurrency=1)
    fleet.client(CELERY).run("gated.delay('first').id")
    wait_until(lambda: fleet.ran("first"), what=fleet.logs)
    task_id = fleet.client(CELERY).run("request.delay().id")
    wait_until(lambda: fleet.broker.hlen("unacked") == 2, what=fleet.logs)

    dead.kill()
    fleet.open_gate()
    time.sleep(1.1)
    fleet.start(heir, name="heir")

    found = fleet.record(task_id)["result"]
    assert (found["by"], found["redelivered"]) == (heir.package, True)


def test_a_task_that_only_celery_knows_is_left_to_it(fleet: Fleet) -> None:
    fleet.start(CELERIAC)
    task_id = fleet.client(CELERY).run("old.delay('left').id")
    wait_until(lambda: "shop.old" in fleet.workers[0].log, what=fleet.logs)

    fleet.start(CELERY)

    assert fleet.record(task_id)["result"] == "celery"
    assert fleet.ran("left") == ["celery"]


def test_a_task_that_nobody_knows_fails_by_name_after_a_while(open_fleet: Callable[..., Fleet]) -> None:
    fleet = open_fleet(task_unknown_release_for=0.5)
    fleet.start(CELERIAC)
    task_id = fleet.client(CELERY).run("app.send_task('shop.nothing').id")

    record = fleet.record(task_id)

    assert record["status"] == "FAILURE"
    assert record["result"]["exc_type"] == "NotRegistered"
    assert fleet.client(CELERY).run(f"failure(lambda: app.AsyncResult({task_id!r}).get())")[0] == "NotRegistered"


def test_what_celery_fails_as_unknown_reads_the_same_here(fleet: Fleet) -> None:
    fleet.start(CELERY)
    task_id = fleet.client(CELERIAC).run("app.send_task('shop.nothing').id")
    fleet.record(task_id)

    seen = [fleet.client(kind).run(f"failure(app.AsyncResult({task_id!r}).get)") for kind in (CELERY, CELERIAC)]

    assert [name for name, _ in seen] == ["NotRegistered", "NotRegistered"]
    assert all("shop.nothing" in str(args) for _, args in seen)


def test_a_chain_of_celerys_goes_on_here(fleet: Fleet) -> None:
    fleet.start(CELERIAC)
    last = fleet.client(CELERY).run("(add.s(1, 2) | add.s(3)).apply_async().id")

    record = fleet.record(last)

    assert (record["status"], record["result"]) == ("SUCCESS", 6)
