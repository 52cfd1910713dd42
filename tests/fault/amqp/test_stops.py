"""A node that stops lets others have at once what it has not begun."""

from __future__ import annotations

import signal

import pytest

from tests.integration.project import Project, wait_until
from tests.integration.stores import RabbitStore
from tests.servers.redis import DURABLE
from tests.size import late_after

pytestmark = [pytest.mark.fault, pytest.mark.serial]

GOES_BACK_WITHIN = late_after(1.0)
"""Seconds; otherwise it goes back when the two have ended, which wait for the test."""

WAITING = 100
QUEUES = {"classic": {}, "quorum": {"task_default_queue_type": "quorum"}}


@pytest.mark.parametrize("queue", QUEUES)
def test_what_has_not_begun_goes_back_at_once_while_what_runs_ends(rabbitmq_server, redis_server, project_on, queue):
    project: Project = project_on(rabbitmq_server(), results_on=redis_server(*DURABLE), **QUEUES[queue])
    node = project.start(concurrency=2)
    running = [project.call("gated", name, "gate") for name in ("a", "b")]
    for name in ("a", "b"):
        project.wait_begun(name)
    for number in range(WAITING):
        project.call("noted", f"later-{number}")
    assert isinstance(project.store, RabbitStore)
    store = project.store

    node.signal(signal.SIGTERM)

    wait_until(lambda: store.ready("celery") == WAITING, within=GOES_BACK_WITHIN, what="all that has not begun")
    assert node.process.poll() is None, "two tasks run"
    project.open_gate("gate")
    assert node.wait_exit() == 0, node.log_end
    assert all(result.ready() for result in running)
    assert store.ready("celery") == WAITING
