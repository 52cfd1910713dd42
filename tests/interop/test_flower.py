"""Stock Flower, with the survey's command line, in front of our nodes: it sees them and their tasks, and works them."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.peers_venv import PeersVenv
from bench.redis_server import free_port
from tests.interop.fleet import CELERIAC, HERE, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

FLOWER = Kind(
    name="flower",
    package="celery",
    venv=PeersVenv(folder=HERE / ".venv-flower", requirements=HERE / "flower.txt"),
)
NODE = "celeriac@shop"


class Flower:
    """A Flower over HTTP."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}/flower"
        self._auth = "Basic " + base64.b64encode(b"admin:admin").decode()

    def ask(self, path: str, *, method: str = "GET", body: Any = None, **query: Any) -> tuple[int, str]:
        """Return the status and what it has answered."""
        url = f"{self._root}/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers={"Authorization": self._auth})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def get(self, path: str, **query: Any) -> Any:
        """Return what an address of the API tells."""
        status, text = self.ask(f"api/{path}", **query)
        assert status == 200, text
        return json.loads(text)

    def press(self, path: str, *, body: Any = None, **query: Any) -> str:
        """Press a button; return what it has answered."""
        status, text = self.ask(f"api/{path}", method="POST", body="" if body is None else body, **query)
        assert status == 200, text
        return text

    def is_up(self) -> bool:
        """Say whether it answers."""
        try:
            return self.ask("healthcheck")[0] == 200
        except OSError:
            return False

    def worker(self, name: str = NODE) -> dict[str, Any]:
        """Return what the page of a node shows, asked anew."""
        found: dict[str, Any] = self.get("workers", refresh=1, workername=name)[name]
        return found

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Return the list of tasks."""
        found: dict[str, dict[str, Any]] = self.get("tasks")
        return found

    def task(self, task_id: str, state: str) -> dict[str, Any]:
        """Return a task, once it shows a state."""

        def shown() -> dict[str, Any] | None:
            task = self.tasks().get(task_id, {})
            return task if task.get("state") == state else None

        found: dict[str, Any] = wait_until(shown, what=lambda: f"{state} of {self.tasks().get(task_id)}")
        return found


EVERYWHERE = pytest.mark.parametrize(
    "fleet", ["open_fleet", "open_fleet_on_rabbitmq"], ids=["redis", "rabbitmq"], indirect=True
)


@pytest.fixture(scope="module", params=["open_fleet"], ids=["redis"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Give all tests one fleet, on Redis unless a test says otherwise.

    Its node was not told to send events of tasks: Flower has it do so.
    """
    open_one: Callable[..., Fleet] = request.getfixturevalue(request.param)
    made = open_one(worker_pool_restarts=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def flower(fleet: Fleet) -> Flower:
    """Start Flower as the survey does, after a node."""
    fleet.start(CELERIAC)
    port = free_port()
    fleet.start_program(
        FLOWER,
        "flower",
        *("--persistent=true", f"--port={port}", "--url_prefix=flower", "--basic_auth=admin:admin"),
        "--broker_api=http://guest:guest@localhost:15672/api/",
    )
    flower = Flower(port)
    wait_until(flower.is_up, what=fleet.logs)
    wait_until(lambda: flower.get("workers", status=1).get(NODE), what=fleet.logs)
    # It switches events on within 5 s; a task says when.
    client = fleet.client(CELERIAC)
    wait_until(lambda: client.run("add.delay(1, 1).id") in flower.tasks() or None, what=fleet.logs)
    return flower


@EVERYWHERE
def test_it_shows_what_becomes_of_tasks(fleet: Fleet, flower: Flower) -> None:
    client = fleet.client(CELERIAC)

    added, failed = client.run("[add.delay(2, 3).id, fail.delay('broken').id]")
    retried = client.run("retrying.delay(1).id")
    expired = client.run("add.apply_async((1, 2), expires=-1).id")

    task = flower.task(added, "SUCCESS")
    assert (task["name"], task["args"], task["kwargs"], task["result"]) == ("shop.add", "(2, 3)", "{}", "5")
    assert task["worker"] == NODE
    assert task["received"] <= task["started"] <= task["succeeded"]
    assert task["runtime"] >= 0
    task = flower.task(failed, "FAILURE")
    assert task["exception"] == "ValueError('broken')"
    assert "Traceback (most recent call last)" in flower.get(f"task/info/{failed}")["traceback"]
    assert flower.task(retried, "SUCCESS")["retries"] == 1
    assert flower.task(expired, "REVOKED")
    assert set(flower.get("task/types")["task-types"]) >= {"shop.add", "shop.fail", "shop.retrying"}


@EVERYWHERE
def test_it_shows_nodes(fleet: Fleet, flower: Flower) -> None:
    worker = flower.worker()

    assert flower.get("workers", status=1)[NODE] is True
    assert worker["stats"]["pool"]["max-concurrency"] == 2
    assert "shop.add" in worker["registered"]
    assert [queue["name"] for queue in worker["active_queues"]] == ["celery"]
    assert worker["conf"]["task_default_queue"] == "celery"


@pytest.mark.parametrize("page", ["", "workers", f"worker/{NODE}", "tasks", "broker", "metrics"])
def test_its_pages_come_up(flower: Flower, page: str) -> None:
    flower.worker()

    status, text = flower.ask(page)

    assert status == 200
    assert page in ("tasks", "broker") or "celeriac@shop" in text


def test_what_waits_and_what_runs_can_be_seen_and_ended(fleet: Fleet, flower: Flower) -> None:
    client = fleet.client(CELERIAC)

    running = client.run("gated.delay('terminated').id")
    flower.task(running, "STARTED")
    later = client.run("add.apply_async((1, 2), countdown=600).id")
    seen = flower.worker()["active"]
    flower.press(f"task/revoke/{running}", terminate="true", signal="SIGKILL")
    flower.press(f"task/revoke/{later}")

    assert [(one["id"], one["name"]) for one in seen if one["id"] == running] == [(running, "shop.gated")]
    flower.task(running, "REVOKED")
    assert fleet.record(running)["status"] == fleet.record(later)["status"] == "REVOKED"


def test_the_pool_grows_shrinks_and_restarts(flower: Flower) -> None:
    def concurrency() -> int:
        found: int = flower.worker()["stats"]["pool"]["max-concurrency"]
        return found

    assert "Growing" in flower.press(f"worker/pool/grow/{NODE}", n=1)
    wait_until(lambda: concurrency() == 3)
    assert "Shrinking" in flower.press(f"worker/pool/shrink/{NODE}", n=1)
    wait_until(lambda: concurrency() == 2)
    before = set(flower.worker()["stats"]["pool"]["processes"])
    assert "Restarting" in flower.press(f"worker/pool/restart/{NODE}")
    wait_until(lambda: before.isdisjoint(flower.worker()["stats"]["pool"]["processes"]))


def test_a_node_that_chooses_how_many_tasks_it_runs_gets_new_bounds(fleet: Fleet, flower: Flower) -> None:
    node = fleet.start(CELERIAC, "--autoscale=4,1", name="scaled")
    wait_until(lambda: "scaled@shop" in flower.get("workers", refresh=1))

    assert "Autoscaling" in flower.press("worker/pool/autoscale/scaled@shop", min=2, max=3)

    scaler = wait_until(lambda: (told := flower.worker("scaled@shop")["stats"]["autoscaler"])["max"] == 3 and told)
    assert (scaler["min"], scaler["current"]) == (2, 2)
    node.stop()


def test_queues_come_and_go(flower: Flower) -> None:
    def queues() -> set[str]:
        return {queue["name"] for queue in flower.worker()["active_queues"]}

    flower.press(f"worker/queue/add-consumer/{NODE}", queue="more")
    wait_until(lambda: queues() == {"celery", "more"})
    flower.press(f"worker/queue/cancel-consumer/{NODE}", queue="more")
    wait_until(lambda: queues() == {"celery"})


def test_limits_are_set(fleet: Fleet, flower: Flower) -> None:
    client = fleet.client(CELERIAC)

    flower.press("task/rate-limit/shop.late", workername=NODE, ratelimit="1/h")
    flower.press("task/timeout/shop.noted", workername=NODE, hard=1, soft=0.2)
    late = client.run("[late.delay(f'rate {n}').id for n in range(2)]")
    slow = client.run("noted.delay('slow', 30).id")

    assert flower.task(late[0], "SUCCESS")
    assert flower.tasks().get(late[1], {}).get("state") != "SUCCESS"
    assert "SoftTimeLimitExceeded" in flower.task(slow, "FAILURE")["exception"]


def test_it_calls_tasks_and_reads_results(flower: Flower) -> None:
    answer = json.loads(flower.press("task/apply/shop.add", body={"args": [20, 22]}))

    assert (answer["state"], answer["result"]) == ("SUCCESS", 42)
    assert flower.get(f"task/result/{answer['task-id']}")["result"] == 42


def test_a_node_is_shut_down(fleet: Fleet, flower: Flower) -> None:
    other = fleet.start(CELERIAC, name="other")
    wait_until(lambda: flower.get("workers", status=1).get("other@shop"))
    flower.worker("other@shop")

    flower.press("worker/shutdown/other@shop")

    wait_until(lambda: other.process.poll() is not None, what=fleet.logs)
    assert other.process.returncode == 0
    wait_until(lambda: flower.get("workers", status=1)["other@shop"] is False)
    assert flower.get("workers", status=1)[NODE] is True
