"""celery-node on the same Redis: its calls, its worker, and the results of both."""

from __future__ import annotations

import pytest

from tests.interop.fleet import CELERIAC, CELERY, NODE, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

PYTHONS = pytest.mark.parametrize(
    "kind", [pytest.param(CELERY, marks=pytest.mark.full), CELERIAC], ids=["celery", "celeriac"]
)


@PYTHONS
@pytest.mark.parametrize("protocol", [1, 2])
def test_its_calls_are_run_and_it_reads_the_results(fleet: Fleet, kind: Kind, protocol: int) -> None:
    client = fleet.node_client()
    fleet.start(kind)

    sum_id = client.send("shop.add", 2, 3, protocol=protocol)
    echo_id = client.send("shop.echo", "hé", None, [1.5, True], protocol=protocol, k={"a": []})

    assert client.get(sum_id) == {"value": 5}
    assert client.get(echo_id) == {"value": [["hé", None, [1.5, True]], {"k": {"a": []}}]}


@PYTHONS
def test_it_sees_failures_by_the_fields_of_their_records(fleet: Fleet, kind: Kind) -> None:
    client = fleet.node_client()
    fleet.start(kind)

    found = client.get(client.send("shop.fail", "no"))

    assert {name: found["error"][name] for name in ("exc_type", "exc_message", "exc_module")} == {
        "exc_type": "ValueError",
        "exc_message": ["no"],
        "exc_module": "builtins",
    }


@PYTHONS
def test_its_worker_runs_our_calls(fleet: Fleet, kind: Kind) -> None:
    fleet.start(NODE)
    client = fleet.client(kind)

    assert client.run("add.delay(2, 3).get(timeout=60)") == 5
    assert client.run("app.send_task('shop.by').get(timeout=60)") == "celery-node"


def test_its_failures_are_failures_without_a_reason(fleet: Fleet) -> None:
    fleet.start(NODE)
    client = fleet.client(CELERIAC)

    task_id = client.run("fail.delay('no').id")

    assert fleet.record(task_id)["result"] is None
    assert client.run(f"app.AsyncResult({task_id!r}).state") == "FAILURE"
    [name, _] = client.run(f"failure(lambda: app.AsyncResult({task_id!r}).get(timeout=60))")
    assert name not in ("TimeoutError", "AssertionError", "AttributeError", "TypeError", "KeyError")


def test_three_kinds_of_workers_share_a_queue(fleet: Fleet) -> None:
    client = fleet.node_client()
    ids = fleet.client(CELERIAC).run("[by.delay().id for _ in range(200)]")
    ids += [client.send("shop.by") for _ in range(20)]
    for kind in (CELERIAC, CELERY, NODE):
        fleet.start(kind, ready=False)

    values = [fleet.record(task_id)["result"] for task_id in ids]

    assert set(values) <= {"celery", "celeriac", "celery-node"}
    wait_until(lambda: fleet.broker.llen("celery") == 0)
    for worker in fleet.workers:
        worker.wait_for_log("ready.")
    ids = fleet.client(CELERIAC).run("[by.delay().id for _ in range(300)]")
    assert {fleet.record(task_id)["status"] for task_id in ids} == {"SUCCESS"}
    assert all(worker.process.poll() is None for worker in fleet.workers)
