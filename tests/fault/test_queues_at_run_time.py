"""Queues come and go under load: nothing is lost, nothing runs twice, and the node consumes what it was told to."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from celeriac.app.result import AsyncResult
from tests.integration.project import PATIENCE, Project, wait_until
from tests.integration.stores import RabbitStore
from tests.size import scaled

pytestmark = pytest.mark.fault


class Producer:
    """Publish to queues of a project, on and on, until told to stop."""

    def __init__(self, project: Project, queues: list[str]) -> None:
        self._project = project
        self._queues = queues
        self.results: dict[str, list[AsyncResult[Any]]] = {queue: [] for queue in queues}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        chance = random.Random(11)
        while not self._over.wait(0.002):
            queue = chance.choice(self._queues)
            number = len(self.results[queue])
            self.results[queue].append(self._project.call("noted", f"{queue}-{number}", queue=queue))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def told(project: Project, command: str, **arguments: Any) -> Any:
    """Say something to the node `w1`, and return what it answers."""

    def answers() -> list[dict[str, Any]] | None:
        return project.app.control.broadcast(
            command, arguments, pattern="w1@*", matcher="glob", reply=True, limit=1, timeout=5
        )

    [answer] = wait_until(answers, what=f"an answer to {command}\n{project.logs()}")
    [value] = answer.values()
    return value


def consumed(project: Project) -> set[str]:
    return {queue["name"] for queue in told(project, "active_queues")}


def waiting(project: Project, queues: list[str]) -> set[str]:
    """Return in which of these queues, which are all there are, something waits."""
    if isinstance(project.store, RabbitStore):
        return project.store.waiting(queues)
    return {kept.queue for kept in project.kept()}


@pytest.mark.engines("sqlite", "redis", "rabbitmq")
def test_queues_that_come_and_go_lose_nothing(project: Project) -> None:
    queues = [f"q{number}" for number in range(scaled(100))]
    node = project.start(concurrency=4)
    producer = Producer(project, ["celery", *queues])
    chance = random.Random(5)

    wanted = {"celery"}
    for _ in range(3 * len(queues)):
        queue = chance.choice(queues)
        if queue in wanted:
            wanted.discard(queue)
            assert told(project, "cancel_consumer", queue=queue) == {"ok": f"no longer consuming from {queue}"}
        else:
            wanted.add(queue)
            assert told(project, "add_consumer", queue=queue) == {"ok": f"add consumer {queue}"}
    assert consumed(project) == wanted
    producer.stop()
    left = sorted(set(queues) - wanted)
    wait_until(lambda: waiting(project, ["celery", *queues]) <= set(left), within=2 * PATIENCE, what=project.logs())
    ended = project.runs()
    # What waits in queues that nobody consumes has not been touched by their coming and going.
    assert {kept.accounts for kept in project.kept()} <= {(False, None, 0, 0, 0)}

    for queue in left:
        told(project, "add_consumer", queue=queue)
    published = {f"{queue}-{number}" for queue, sent in producer.results.items() for number in range(len(sent))}
    wait_until(lambda: published <= project.runs().keys() and project.is_empty(), within=4 * PATIENCE)

    assert consumed(project) == {"celery", *queues}
    assert len(ended) < len(published)
    assert node.stop() == 0
    assert project.runs() == dict.fromkeys(published, 1)
    assert {one.state for sent in producer.results.values() for one in sent} == {"SUCCESS"}
    project.assert_clean()
