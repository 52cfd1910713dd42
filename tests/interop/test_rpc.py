"""Results as messages: what workers of one kind answer is read by programs of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, wait_until

pytestmark = pytest.mark.timeout(300)  # the first run installs Celery

BASELINE = pytest.mark.full  # Celery with itself: it shows that a test is right, which changes with the test alone

WAYS = {
    "celery asks celeriac": (CELERY, "ours"),
    "celeriac asks celery": (CELERIAC, "stock"),
    "celeriac asks celeriac": (CELERIAC, "ours"),
    "celery asks celery": (CELERY, "stock"),
}


@pytest.fixture(scope="module")
def fleet(open_fleet_on_rabbitmq: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Give a worker of each kind, each with a queue of its own."""
    fleet = open_fleet_on_rabbitmq("rpc://", task_track_started=True)
    fleet.start(CELERY, "-Q", "stock", ready=False)
    fleet.start(CELERIAC, "-Q", "ours", ready=False)
    for worker in fleet.workers:
        worker.wait_for_log("ready.")
    yield fleet
    fleet.close()


@pytest.fixture(
    params=[pytest.param(way, marks=BASELINE if way == "celery asks celery" else ()) for way in WAYS], ids=list(WAYS)
)
def run(request: pytest.FixtureRequest, fleet: Fleet) -> Callable[..., Any]:
    """Evaluate expressions in the program that asks; `QUEUE` in them is the queue of the worker that answers."""
    asks, queue = WAYS[request.param]
    client = fleet.client(asks)
    return lambda expression, **values: client.run(expression.replace("QUEUE", repr(queue)), **values)


def test_a_value_comes_back(run: Callable[..., Any]) -> None:
    assert run("echo.apply_async(({value},), queue=QUEUE).get(timeout=60)", value={"a": [1, None]}) in (
        [[{"a": [1, None]}], {}],
    )


def test_a_failure_comes_back_as_what_was_raised(run: Callable[..., Any]) -> None:
    found = run("failure(lambda: sell.apply_async(('socks',), queue=QUEUE).get(timeout=60))")

    assert found == ["OutOfStock", ["socks", "3"]]


def test_many_are_told_apart(run: Callable[..., Any]) -> None:
    results = "[add.apply_async((n, n), queue=QUEUE) for n in range(50)]"

    assert run(f"[result.get(timeout=60) for result in reversed({results})]") == [2 * n for n in reversed(range(50))]


def test_a_group_is_joined(run: Callable[..., Any]) -> None:
    members = "group(add.s(n, n).set(queue=QUEUE) for n in range(5))"

    assert run(f"{members}.apply_async().join(timeout=20)") == [0, 2, 4, 6, 8]
    assert run(f"{members}.apply_async().get(timeout=60)") == [0, 2, 4, 6, 8]


def test_a_result_can_be_had_twice(run: Callable[..., Any]) -> None:
    twice = "(lambda result: [result.get(timeout=60), result.get(timeout=60), result.state])"

    assert run(f"{twice}(add.apply_async((1, 2), queue=QUEUE))") == [3, 3, "SUCCESS"]


def test_who_asks_late_and_by_the_id_alone_is_told(run: Callable[..., Any]) -> None:
    """The first of two answers waits in the program until somebody asks for it."""
    early = run("add.apply_async((1, 2), queue=QUEUE).id")
    run("add.apply_async((3, 4), queue=QUEUE).get(timeout=60)")

    assert run("app.AsyncResult({early}).get(timeout=60)", early=early) == 3


def test_states_on_the_way_are_seen_by_celery(fleet: Fleet) -> None:
    call = "noted.apply_async(('slow', 0.3), queue='ours')"
    seen = f"(lambda seen: [{call}.get(timeout=60, on_message=lambda body: seen.append(body['status'])), seen])([])"

    assert fleet.client(CELERY).run(seen)[1] == ["STARTED", "SUCCESS"]


@pytest.mark.parametrize("queue", ["stock", "ours"])
def test_states_on_the_way_are_seen_by_celeriac(fleet: Fleet, queue: str) -> None:
    client, name = fleet.client(CELERIAC), f"gated-{queue}"
    task_id = client.run("gated.apply_async(({name}, {name}), queue={queue}).id", name=name, queue=queue)

    wait_until(lambda: client.run("app.AsyncResult({id}).state", id=task_id) == "STARTED", what=fleet.logs)

    (fleet.folder / ("celery" if queue == "stock" else "celeriac") / name).touch()
    assert client.run("app.AsyncResult({id}).get(timeout=60)", id=task_id) in ("celery", "celeriac")


def test_what_has_expired_and_what_is_revoked_is_told(run: Callable[..., Any]) -> None:
    found = run("failure(lambda: add.apply_async((1, 2), queue=QUEUE, expires=-1).get(timeout=60))")

    assert found == ["TaskRevokedError", ["expired"]]


def test_what_is_forgotten_is_pending(run: Callable[..., Any]) -> None:
    forgotten = "(lambda result: [result.get(timeout=60), result.forget(), app.AsyncResult(result.id).state][-1])"

    assert run(f"{forgotten}(add.apply_async((1, 2), queue=QUEUE))") == "PENDING"


def test_retries_and_links_end_in_one_answer(run: Callable[..., Any]) -> None:
    assert run("retrying.apply_async((2, 0.1), queue=QUEUE).get(timeout=60)")[0] == 2


def test_a_chain_answers_with_its_last_link(run: Callable[..., Any]) -> None:
    links = "chain(add.s(1, 2).set(queue='stock'), add.s(3).set(queue='ours'), add.s(4).set(queue=QUEUE))"

    assert run(f"{links}.apply_async().get(timeout=60)") == 10


def test_a_chord_is_refused_before_anything_is_sent(run: Callable[..., Any], fleet: Fleet) -> None:
    members = "noted.s('member').set(queue=QUEUE), noted.s('member').set(queue=QUEUE)"

    name, [text] = run(f"failure(lambda: chord([{members}])(body.s()))")

    assert name == "NotImplementedError"
    assert "chord" in text.lower()
    assert fleet.ran("member") == []
